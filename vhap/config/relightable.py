"""Options of the commands that prepare a subject's folder for trainers of relightable avatars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from vhap.config.parsing import ParsingMethod
from vhap.config.ranges import (
    BoxScale,
    Count,
    FocalPixels,
    FramesASecondOrOwn,
    Index,
    Pixels,
    PrincipalPoint,
    Range,
    Weight,
    Workers,
)

SubjectMatting = Literal["auto", "input", "mediapipe", "mediapipe_video", "robust_video_matting"]
HeadName = Literal["auto", "flame", "gnm", "ict", "builtin"]


@dataclass(frozen=True)
class CropConfig:
    """SOURCE/NAME holds NAME.mp4, or pictures of your own in image/."""

    source: Path
    """Folder of subjects."""
    name: str
    """The subject: its folder's name in --source, and that of its video."""
    fps: FramesASecondOrOwn = -1
    """Pictures taken from each second of video, at most as many as it has; -1: all."""
    image_size: tuple[Pixels, Pixels] = (512, 512)
    """Height and width of the pictures that are written."""
    matting: bool = False
    """Take the background away: RGBA pictures; else RGB."""
    crop_image: bool = False
    """Cut the pictures to the head; else all of them is shown."""
    mask_clothes: bool = True
    """With --matting: make clothes transparent, too."""
    crop_range: tuple[Index, Index, Index, Index] | None = None
    """Rows y0 to y1 and columns x0 to x1 of the video's pictures, ends exclusive: nothing else of them is looked at."""
    bbox_scale: BoxScale = 2.2
    """With --crop_image: size of the box, in widths of the face."""
    crop_box: Literal["all", "first"] = "all"
    """With --crop_image: one box that holds the head of all pictures, or the box of the first one."""
    premultiplied: bool = False
    """Write colours times alpha, as older tools did; trainers that composite count soft edges twice then."""
    keep_masks: bool = False
    """With --matting: keep alpha maps in mask/ and class maps in seg/."""
    parsing: ParsingMethod = "auto"
    """With --matting: how the 19 classes of seg/ are found. face-parsing: BiSeNet with weights of yours, which knows
    clothes as well; mediapipe: landmarks and colours; mesh: the head of the subject's finished run, and colours; auto:
    face-parsing where its weights are found, else mediapipe, completed by the head once there is a run."""
    parsing_weights: Path | None = None
    """Weights of face-parsing (79999_iter.pth); by default the environment, then the cache folder."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 640,360 who is at that pixel of the video (of
    --crop_range, where it is given), auto the largest."""
    matting_method: SubjectMatting = "auto"
    """What tells the person from the background. input: the video's own alpha channel; auto: input where there is one
    that is not opaque everywhere, else mediapipe, which needs no weights."""
    matting_weights: Path | None = None
    """Weights of robust_video_matting; by default the environment, then the cache folder."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where robust_video_matting runs."""
    n_jobs: Workers = 0
    """Face detectors that run at the same time; 0 takes one for each core."""


@dataclass(frozen=True)
class KeypointConfig:
    """The 68 iBUG points of every picture of a subject."""

    path: Path
    """The subject's folder, with pictures in image/ or images/."""
    landmark_source: Literal["mediapipe", "face-alignment"] = "mediapipe"
    """Landmark detector; face-alignment is a package of its own."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 300,200 who is at that pixel, auto the
    largest."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where face-alignment runs."""
    n_jobs: Workers = 0
    """Detectors that run at the same time; 0 takes one for each core."""


@dataclass(frozen=True)
class IrisConfig:
    """The two iris centres of every picture of a subject."""

    path: Path
    """The subject's folder, with pictures in image/ or images/."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 300,200 who is at that pixel, auto the
    largest."""
    n_jobs: Workers = 0
    """Detectors that run at the same time; 0 takes one for each core."""


@dataclass(frozen=True)
class OptimizeConfig:
    """Fits FLAME to a subject's pictures."""

    path: Path
    """The subject's folder: image/ (or images/) and, where they are, mask/, keypoint.json and iris.json."""
    shape_from: Path = Path(".")
    """Folder of another subject of the same person, whose shape is kept; `.` for none."""
    save_name: str = "flame_params"
    """Name of the file for IMavatar's readers, without its ending."""
    fx: FocalPixels | None = None
    """Focal length in pixels. None solves for it."""
    fy: FocalPixels | None = None
    """Vertical focal length in pixels. None takes fx."""
    cx: PrincipalPoint | None = None
    """Principal point from the left edge, pixels. None takes the centre, as trainers do."""
    cy: PrincipalPoint | None = None
    """Principal point from the top edge, pixels. None takes the centre, as trainers do."""
    size: Pixels | None = None
    """Side of the square pictures, which is checked. None takes pictures of any size."""
    n_shape: Count = 100
    """Shape coefficients; trainers take 100."""
    n_expr: Count = 50
    """Expression coefficients; trainers take 50, unless they are told otherwise."""
    with_eyelid: bool = False
    """No effect: lids are written where the head has lid bases, and FLAME's own files have none."""
    with_translation: bool = False
    """Write the head's translation as such. Off: the movement is in each picture's world_mat."""
    with_translation_camera: bool = False
    """No effect: the movement is solved once, and --with_translation says where it is written."""
    lambda_translation_diff: Weight = 5.0
    """Change of the translation since the previous picture, against 5, which is our own weight."""
    lambda_pose_diff: Weight = 10.0
    """Change of the rotations of head, neck and jaw since the previous picture, against 10, which is our own weight."""
    photometric: bool = True
    """Fit to the pictures; without, to landmarks only."""
    use_keypoints: bool = True
    """Fit to keypoint.json and iris.json where they are. Off: landmarks are detected anew."""
    head: HeadName = "auto"
    """Head model; trainers pose FLAME 2020."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    allow_other_head: bool = False
    """Write the coefficients of another head than FLAME, and its meshes beside them, in meshes/."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""


@dataclass(frozen=True)
class ReconstructConfig:
    """Writes DECA's codes of a subject's pictures."""

    inputpath: Path
    """The subject's pictures, as SUBJECT/image. Also -i."""
    savefolder: Path
    """Where runs and pictures go, as SUBJECT/deca; code.json is written beside it, where optimize reads it. A folder
    of another name holds code.json itself. Also -s."""
    saveCode: bool = True
    """Write code.json."""
    saveVis: bool = False
    """Write each picture with the head over it into savefolder."""
    sample_step: Count = 1
    """Every so many pictures."""
    render_orig: bool = True
    """Show the head over whole pictures. Off: over the face's square of 224 pixels. See saveVis."""
    head: HeadName = "auto"
    """Head model; DECA's codes are FLAME's."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""


@dataclass(frozen=True)
class AlbedoConfig:
    """Takes the light out of a subject's pictures."""

    input_dir: Path
    """The subject's pictures: SUBJECT/image or SUBJECT/images."""
    output_dir: Path
    """Where albedo pictures are written, under the pictures' names: SUBJECT/albedo for trainers."""
    image_interval: Annotated[int, Range(1, 1_000_000)] = 1
    """Only pictures whose number is a multiple of this."""
    method: Literal["picture", "texture"] = "picture"
    """picture: the picture divided by the shading of the tracked head; texture: the tracked head's texture without
    light, white where the head model shows nothing."""
    model_dir: Path | None = None
    """Folder with a network of yours, albedo.pt, which takes the place of --method; doc/relightable.md says how."""
    allow_unknown_weights: bool = False
    """Load albedo.pt. TorchScript is a program: a file from elsewhere can write files and run operators on this machine
    while it is loaded."""
    model_size: Pixels = 256
    """With --model_dir: side of the square pictures that the network takes."""
    batch_size: Count = 1
    """With --model_dir: pictures that the network is given at once."""
    ddim: Count | None = None
    """No effect: a network of --model_dir holds its own steps."""
    head: HeadName = "auto"
    """Head that is fitted where the subject was not tracked before."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""


@dataclass(frozen=True)
class RelightableConfig:
    """SOURCE/NAME holds NAME.mp4, or pictures of your own in image/; after it everything that trainers read."""

    source: Path
    """Folder of subjects."""
    name: str
    """The subject: its folder's name in --source, and that of its video."""
    fps: FramesASecondOrOwn = -1
    """Pictures taken from each second of video, at most as many as it has; -1: all."""
    image_size: tuple[Pixels, Pixels] = (512, 512)
    """Height and width of the pictures that are written."""
    mask_clothes: bool = True
    """Make clothes transparent."""
    keep_masks: bool = False
    """Keep alpha maps in mask/ and class maps in seg/."""
    parsing: ParsingMethod = "auto"
    """How the 19 classes of seg/ are found, as in crop_and_matting.py; by mesh and auto they are made of the fit."""
    image_interval: Annotated[int, Range(1, 1_000_000)] = 3
    """Albedo of the pictures whose number is a multiple of this."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 640,360 who is at that pixel, auto the
    largest."""
    shape_from: Path = Path(".")
    """Folder of another subject of the same person, whose shape is kept; `.` for none."""
    head: HeadName = "flame"
    """Head that is fitted; trainers read FLAME's numbers only."""
    allow_other_head: bool = False
    """With another --head: go on without tracked_params.json's meaning, and write meshes beside it."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""
