"""Options of exporting a tracking run, and of combining exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.data import Division
from vhap.config.ranges import Count, Epoch, FramesASecond, Pixels, Scale

MeshFormat = Literal["obj", "ply", "gltf"]
GltfAnimation = Literal["blendshapes", "frames"]
World = Literal["given", "tracked"]
Layout = Literal[
    "gaussian_avatars", "nerf", "metrical", "insta", "flashavatar", "imavatar", "hravatar", "cap4d",
    "gaussian_head_avatar", "nerfstudio", "instant_ngp", "colmap", "gagavatar",
    "usd",
]  # fmt: skip
"""`nerf` is another name of gaussian_avatars, the first one it had."""
StandsStill = Literal["head", "world"]
DivisionMode = Literal["random_group", "random_single", "last", "none"]


@dataclass(frozen=True)
class ExportConfig:
    src_folder: Path
    """Output folder of a tracking run, or one of its run folders; the newest run counts."""
    tgt_folder: Path
    """Where the dataset is written; `_epochN` is appended where --epoch is given."""
    subset: str | None = None
    """Which of the tracked timesteps (cameras): ti3, ti3tj9, tn20, ts5 (ci0, cn4, cs2), joined by `_`."""
    scale_factor: Scale = 1.0
    """Scales pictures and intrinsics, on top of the scale that was tracked; above 0, at most 1."""
    background_color: Literal["white", "black"] = "white"
    """What stands behind the person."""
    clean_rim: bool = True
    """Give pixels at the matte's rim the person's own colour, so that no bright or dark line of the filmed background
    surrounds hair and ears. Off: colours as filmed, also where the background shines through."""
    flame_mode: Literal["param", "mesh"] = "param"
    """Head of each timestep as parameters, or as an OBJ mesh with its expression coefficients."""
    create_mask_from_mesh: bool = True
    """Fade the mask out below the neck, and take the head's silhouette where there are no alpha maps. Off: the
    mask is the alpha map, or everything where there is none."""
    epoch: Epoch = -1
    """Epoch of the result; -1 is the last, which also counts as 30 where fewer were needed."""
    center_principal_point: bool = False
    """Pad the pictures so that the principal point is their centre, as trainers assume that take only the angle
    of view."""
    division: Division | None = None
    """NeRSemble: export these cameras by their serials (train, val, front-view, side-view, six-view), those included
    that were not tracked. None: the tracked ones."""
    world: World = "given"
    """Rigs: the axes and the unit of the calibration, so that exported cameras are the given ones, or those of
    tracking, metric and along the rig's mean axes. flame_param has a `scale` where the calibration is not metric."""
    center_head: bool = True
    """Move the world so that the head's mean translation is its origin."""
    keep_lost_frames: bool = False
    """Also export pictures that show nothing of the head (black, no face, the head outside, an empty matte), whose
    pose is a neighbour's. They are left out otherwise, and listed as `lost_frames` in transforms.json."""
    layout: Layout = "gaussian_avatars"
    """Which trainer's files are written (doc/layouts.md has the table): gaussian_avatars (or nerf): transforms.json
    and the head's parameters; metrical: metrical-tracker's folder; insta: INSTA, INSTA-pytorch, FateAvatar, RGBAvatar;
    flashavatar; imavatar: IMavatar, PointAvatar, MonoGaussianAvatar, SplattingAvatar; hravatar; cap4d;
    gaussian_head_avatar; nerfstudio, instant_ngp and colmap: pictures and cameras for trainers of scenes; gagavatar;
    usd: the animated head with its cameras for Blender, Houdini, Unreal and others (pip install "vhap[usd]").
    What a layout cannot hold is refused before anything is written."""
    stands_still: StandsStill = "head"
    """nerfstudio, instant_ngp, colmap: the head, around which the cameras then move, or the world (rigs)."""
    masks: bool = True
    """nerfstudio, instant_ngp: masks that leave out pixels beside the person, each in its reader's own polarity. Off:
    these are transparent alone."""
    picture_size: Pixels | None = None
    """Side of the square pictures of insta, metrical, imavatar, hravatar and gaussian_head_avatar, px. None: as
    tracked, without scaling. flashavatar and gagavatar always have 512."""
    test_frames: Count | None = None
    """insta: how many of the last frames are for testing. None: 350, as its readers have it."""
    drop_offsets: bool = False
    """Leave the head's offsets out where a layout has no place for them. Off: such a run is refused."""
    cap4d_model: Path | None = None
    """cap4d: flame2023_no_jaw.pkl, with blink_blendshape.npy beside it, to which the tracked head is refitted."""
    fps: FramesASecond | None = None
    """usd: frames a second of the recording. None: as preprocessing extracted them, else 25."""
    dry_run: bool = False
    """Say what would be written (folders, files, an estimate of the bytes), and write nothing."""


@dataclass(frozen=True)
class MeshExportConfig:
    src_folder: Path
    """Output folder of a tracking run, or one of its run folders; the newest run counts."""
    tgt_folder: Path
    """Where the meshes are written; `_epochN` is appended where --epoch is given."""
    format: tuple[MeshFormat, ...] = ("obj",)
    """One or several: a mesh a frame with UVs and the tracked texture (obj), a bare mesh a frame (ply), the animated
    head in one file head.glb (gltf)."""
    subset: str | None = None
    """Which of the tracked timesteps: ti3, ti3tj9, tn20, ts5, joined by `_`."""
    epoch: Epoch = -1
    """Epoch of the result; -1 is the last, which also counts as 30 where fewer were needed."""
    fps: FramesASecond | None = None
    """Frames a second of the recording, for the times of animation and coefficients. None: as preprocessing
    extracted them, else 25."""
    gltf_animation: GltfAnimation = "blendshapes"
    """What moves the head in head.glb: its expression coefficients as morph targets and its joints as a skin, or
    every frame as a morph target of its own (12 bytes a vertex and frame, for viewers without skins)."""
    world: World = "given"
    """Rigs: the axes and the unit of the calibration, or those of tracking, metric and along the rig's mean axes."""
    curves: bool = False
    """ARKit's curves (blendshapes.csv) of a head whose expressions lack some of ARKit's names, as FLAME's, GNM's and
    the built-in ones: those of the run converted to ICT-FaceKit, whose files are needed."""


@dataclass(frozen=True)
class CombineConfig:
    src_folders: tuple[Path, ...]
    """Exports of one subject, side by side in one folder, in the order of the division. Their names say the subject,
    SUBJECT_...; names without `_` say none, and then the tracked shapes must be those of one person."""
    tgt_folder: Path
    """The union, of any name, beside its sources."""
    division_mode: DivisionMode = "random_group"
    """Which sequences are held out for testing: one of every ten (random_group), one of all (random_single), the
    last one, or none: then the test split is the end of every sequence, as exported. Random choices depend on the
    subject only, which is the sources' name up to the first `_`."""
