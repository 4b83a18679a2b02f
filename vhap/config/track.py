"""Options of a tracking run: names and defaults are the ones users' scripts rely on."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from vhap.config.data import (
    DataConfig,
    MultiviewDataConfig,
    NersembleDataConfig,
    NersembleV2DataConfig,
    SingleFrameDataConfig,
)
from vhap.config.ranges import Count, CountOrNone, Index, Pixels, Weight
from vhap.util.errors import InputError

ParamGroup = Literal["cam", "pose", "shape", "joints", "expr", "texture", "lights", "static_offset", "dynamic_offset"]


@dataclass(frozen=True)
class ModelConfig:
    head: Literal["auto", "flame", "gnm", "ict", "builtin", "file"] = "auto"
    """Head model; auto takes FLAME if its file is there, else GNM, else ICT-FaceKit, else the built-in head. file:
    that of head_path."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    head_path: Path | None = None
    """A head of your own, with head file: an npz as vhap.head.head_file.save_head writes it."""
    n_shape: Count = 300
    """Identity coefficients, at most as many as the head has."""
    n_expr: Count = 100
    """Expression coefficients, at most as many as the head has."""
    add_teeth: bool = True
    """Give FLAME rows of teeth (120 more vertices)."""
    remove_lip_inside: bool = False
    """Leave out the triangles inside the mouth; vertices stay as they are."""
    tex_resolution: Pixels = 2048
    """Bound of the texture's side: it is estimated and written at the resolution that the pictures support."""
    use_static_offset: bool = True
    """A displacement of every vertex, the same in all frames: hair, ears, what the head model cannot show. Without it,
    `hair` counts as occluded."""
    use_dynamic_offset: bool = False
    """A further displacement for each frame."""
    flame_params_path: Path | None = None
    """A saved tracked_flame_params npz of the same head: its shape, offsets and texture are where this run starts."""
    fix_shape: bool = False
    """Keep the shape of flame_params_path."""
    fix_offset: bool | None = None
    """Keep its offsets as well. None: where the shape is kept."""
    fix_texture: bool | None = None
    """Keep its texture as well. None: where the shape is kept."""
    focal_path: Path | None = None
    """A saved tracked_flame_params npz of a run by the same camera, whose solved focal length is kept: data.fx, in the
    pixels of this recording."""
    light_path: Path | None = None
    """A light.json whose light is kept, of an earlier run or of a studio. Without it the light is separated from the
    albedo, unless the texture is kept."""
    occluded: tuple[str, ...] = ()
    """Regions hidden by hair or clothes: neither their texture nor their outline is aligned."""
    tex_painted: bool = True
    """Start from the head's painted texture where there is one, else from a flat colour by region."""
    residual_tex: bool = True
    """`tex_extra` of the result is what the albedo adds to the base texture. Off: the albedo itself. The result holds
    that as `albedo` in any case."""


@dataclass(frozen=True)
class RenderConfig:
    backend: Literal["auto", "warp", "nvdiffrast", "reference"] = "auto"
    """Renderer. auto is warp, on CPU and CUDA."""
    lighting_type: Literal["SH", "constant"] = "SH"
    """Nine spherical-harmonic coefficients for each colour channel, or a constant white light."""


@dataclass(frozen=True)
class LossWeightConfig:
    """Weights of the terms: twice the default counts twice; 0 switches a term off."""

    landmark: Weight = 10.0
    """Mean confidence-weighted L1 distance, coordinates normalised to [-1, 1]."""
    always_enable_jawline_landmarks: bool = True
    """Use jaw-line points in every stage, whatever the stage says."""
    photo: Weight = 30.0
    """Colour differences at the points of the surface. 0 is not possible: see exp.no_photometric."""
    reg_shape: Weight = 0.3
    """Mean square of the identity coefficients."""
    reg_expr: Weight = 0.03
    """Mean square of the expression coefficients."""
    reg_neck: Weight = 0.3
    """Neck rotation against the identity."""
    reg_jaw: Weight = 0.3
    """Jaw rotation against the identity, more so where it closes too far or turns sideways."""
    reg_eyes: Weight = 0.03
    """Eye rotations against the identity and against each other."""
    reg_offset: Weight = 300.0
    """Length of the vertices' offsets (mean absolute value, metres)."""
    reg_offset_relax_coef: Weight = 1.0
    """Factor on that in the relaxed regions."""
    reg_offset_relax_for: tuple[str, ...] = ("hair", "ears")
    """Relaxed regions of reg_offset."""
    reg_offset_lap: Weight = 1e6
    """Change of the mesh's uniform Laplacian by the offsets, squared."""
    reg_offset_lap_relax_coef: Weight = 0.1
    """Factor on that in the relaxed regions."""
    reg_offset_lap_relax_for: tuple[str, ...] = ("hair", "ears")
    """Relaxed regions of reg_offset_lap."""
    reg_offset_rigid: Weight = 300.0
    """Variance of the offsets inside each of some regions."""
    reg_offset_rigid_for: tuple[str, ...] = ("left_ear", "right_ear", "neck", "left_eye", "right_eye", "lips_tight")
    """Regions that offsets move as a whole."""
    reg_offset_dynamic: Weight = 3e5
    """Change of the moving offsets since the previous frame, squared."""
    silhouette: Weight = 10.0
    """Difference of the head's coverage and the alpha map along the outline, where there are alpha maps. 0: outlines
    count nowhere, and no hair is laid on them."""
    smooth_trans: Weight = 300.0
    """Change of the translation since the previous frame, squared."""
    smooth_rot: Weight = 30.0
    """Change of the head's rotation, squared."""
    smooth_neck: Weight = 30.0
    """Change of the neck's rotation, squared."""
    smooth_jaw: Weight = 0.1
    """Change of the jaw's rotation, squared."""
    smooth_expr: Weight = 1.0
    """Change of the expression coefficients, squared."""


@dataclass(frozen=True)
class LogConfig:
    interval_scalar: CountOrNone = 100
    """Rounds between scalars in TensorBoard; 0 writes none."""
    interval_media: CountOrNone = 500
    """0 writes no pictures to `train/`; else each photometric stage ends with one."""
    image_format: Literal["jpg", "png"] = "jpg"
    """Format of those pictures."""
    max_num_views: Count = 3
    """Cameras of a timestep shown in one of those pictures (frames, where there is one camera), evenly chosen."""
    max_eval_frames: CountOrNone = 8
    """Frames in `eval_<epoch>/`, as pictures and as meshes, evenly chosen; 0 for none."""


@dataclass(frozen=True)
class LandmarkStepConfig:
    num_steps: CountOrNone | None = None
    """Rounds at most (of each window of frames, in sequential stages); 0 leaves the stage out. Stages end when a round
    gains nothing more."""
    optimizable_params: tuple[ParamGroup, ...] = ()
    """Groups of unknowns that move."""
    disable_jawline_landmarks: bool = False
    """Leave the jaw-line points out (see w.always_enable_jawline_landmarks)."""


@dataclass(frozen=True)
class StepStageConfig(LandmarkStepConfig):
    align_texture_except: tuple[str, ...] = ()
    """Regions whose texture moves no vertex."""
    align_boundary_except: tuple[str, ...] = ()
    """Regions whose outline moves no vertex."""


@dataclass(frozen=True)
class LandmarkEpochConfig:
    num_epochs: CountOrNone | None = None
    """Rounds at most. rgb_global_tracking: of the offsets; light and texture are solved in closed form. The finished
    run's result has this number, else 30."""
    optimizable_params: tuple[ParamGroup, ...] = ()
    """Groups of unknowns that move."""
    disable_jawline_landmarks: bool = False
    """Leave the jaw-line points out (see w.always_enable_jawline_landmarks)."""


@dataclass(frozen=True)
class EpochStageConfig(LandmarkEpochConfig):
    align_texture_except: tuple[str, ...] = ()
    """Regions whose texture moves no vertex."""
    align_boundary_except: tuple[str, ...] = ()
    """Regions whose outline moves no vertex."""


def _steps(
    *groups: ParamGroup,
    count: int | None = None,
    jaw_line: bool = True,
    texture: tuple[str, ...] = (),
    boundary: tuple[str, ...] = (),
) -> StepStageConfig:
    return field(default_factory=lambda: StepStageConfig(count, groups, not jaw_line, texture, boundary))


def _epochs(*groups: ParamGroup, jaw_line: bool = True, boundary: tuple[str, ...] = ()) -> EpochStageConfig:
    return field(default_factory=lambda: EpochStageConfig(None, groups, not jaw_line, (), boundary))


_EVERYTHING: tuple[ParamGroup, ...] = ("cam", "pose", "shape", "joints", "expr", "texture", "lights")
_NOT_SKIN = ("hair", "boundary", "neck")
_IN_MOUTH = ("lip_inside", "teeth")


@dataclass(frozen=True)
class PipelineConfig:
    """The stages, in the order in which they run.

    rgb_init_texture (on small pictures) and rgb_init_all solve for identity, cameras and light with the frames that
    differ most, rgb_sequential_tracking for every frame, with the albedo that explains all pictures best.
    rgb_init_offset lays hair on the outlines of the mattes. rgb_global_tracking separates the light from the albedo,
    solves for static_offset, and makes the texture. Of optimizable_params a stage takes what it can move.
    """

    lmk_init_rigid: LandmarkStepConfig = LandmarkStepConfig(None, ("cam", "pose"))
    lmk_init_all: LandmarkStepConfig = LandmarkStepConfig(None, ("cam", "pose", "shape", "joints", "expr"))
    rgb_init_texture: StepStageConfig = _steps(
        *_EVERYTHING, texture=(*_NOT_SKIN, *_IN_MOUTH, "eyeballs"), boundary=("boundary", "bottomline")
    )
    rgb_init_all: StepStageConfig = _steps(
        *_EVERYTHING, texture=(*_NOT_SKIN, *_IN_MOUTH, "eyeballs"), boundary=("boundary", "bottomline")
    )
    rgb_init_offset: StepStageConfig = _steps("static_offset", boundary=("bottomline",))
    rgb_sequential_tracking: StepStageConfig = _steps(
        "pose", "joints", "expr", "dynamic_offset", texture=_NOT_SKIN, boundary=("boundary", "bottomline")
    )
    rgb_global_tracking: EpochStageConfig = _epochs(
        "lights", "static_offset", "texture", jaw_line=False, boundary=("bottomline",)
    )
    lmk_sequential_tracking: LandmarkStepConfig = LandmarkStepConfig(None, ("pose", "joints", "expr"))
    lmk_global_tracking: LandmarkEpochConfig = LandmarkEpochConfig(None, ("cam", "pose", "shape", "joints", "expr"))


@dataclass(frozen=True)
class ExperimentConfig:
    output_folder: Path = Path("output/track")
    """Where run folders are made."""
    reuse_landmarks: bool = True
    """Use landmark files that are there; else detect again."""
    photometric: bool = True
    """Fit to the pictures; without, to landmarks only."""
    report: bool = True
    """Evaluate the finished run and make its page, report.html."""
    resume: str = "auto"
    """auto continues the newest run in output_folder that has equal options and is not finished; never starts anew;
    else the run folder to continue."""


@dataclass(frozen=True)
class TrackConfig:
    """A run of any kind of capture, as config.yml has it; each script reads the subclass for its own captures."""

    data: DataConfig | NersembleDataConfig | MultiviewDataConfig | SingleFrameDataConfig
    exp: ExperimentConfig = field(default_factory=ExperimentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    w: LossWeightConfig = field(default_factory=LossWeightConfig)
    log: LogConfig = field(default_factory=LogConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    begin_stage: str | None = None
    """Leave the stages before this one out; their values come from model.flame_params_path, else from the newest run in
    exp.output_folder, else from the first guess."""
    begin_timestep: Index = 0
    """Initialisation and the sequential pass start at this frame."""
    batch_size: Count = 16
    """Consecutive timesteps solved together, by all cameras, each starting from the last solved one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""
    dry_run: bool = False
    """Print frames, stages and an estimate of the time, then stop."""


def usual_weights(config: TrackConfig) -> LossWeightConfig:
    """Those that runs of this kind have by default."""
    (factory,) = (field.default_factory for field in fields(config) if field.name == "w")
    assert factory is not MISSING
    return factory()


@dataclass(frozen=True)
class MonocularTrackConfig(TrackConfig):
    """One camera."""

    data: DataConfig


def _rig_weights() -> LossWeightConfig:
    """Many views tell shape and expression better than priors and landmarks do."""
    return LossWeightConfig(landmark=3.0, always_enable_jawline_landmarks=False, reg_expr=1e-2, smooth_expr=0.0)


def _rig_pipeline() -> PipelineConfig:
    """The texture rests while the head is followed, and nothing hangs on the torso's colours and outline."""
    torso = ("boundary",)
    return PipelineConfig(
        rgb_sequential_tracking=StepStageConfig(None, ("pose", "joints", "expr", "dynamic_offset"), True, torso, torso),
        rgb_global_tracking=EpochStageConfig(None, ("lights", "static_offset", "texture"), True, torso, torso),
    )


def _one_moment() -> PipelineConfig:
    """As of a rig, without a sequential pass."""
    plan = _rig_pipeline()
    return replace(plan, rgb_sequential_tracking=replace(plan.rgb_sequential_tracking, num_steps=0))


@dataclass(frozen=True)
class RigTrackConfig(TrackConfig):
    """Several calibrated cameras."""

    w: LossWeightConfig = field(default_factory=_rig_weights)
    pipeline: PipelineConfig = field(default_factory=_rig_pipeline)
    batch_size: Count = 1
    """Consecutive timesteps solved together, by all cameras; memory grows with both."""


@dataclass(frozen=True)
class MultiviewTrackConfig(RigTrackConfig):
    """A rig of one's own."""

    data: MultiviewDataConfig


@dataclass(frozen=True)
class SingleFrameTrackConfig(TrackConfig):
    """A static avatar."""

    data: SingleFrameDataConfig
    w: LossWeightConfig = field(default_factory=_rig_weights)
    pipeline: PipelineConfig = field(default_factory=_one_moment)


@dataclass(frozen=True)
class NersembleTrackConfig(RigTrackConfig):
    """A sequence of the NeRSemble dataset."""

    data: NersembleDataConfig


@dataclass(frozen=True)
class NersembleV2TrackConfig(NersembleTrackConfig):
    """A sequence of version 2 of the NeRSemble dataset."""

    data: NersembleV2DataConfig


def keeps_texture(model: ModelConfig) -> bool:
    """Whether the texture is that of flame_params_path."""
    return model.fix_shape if model.fix_texture is None else model.fix_texture


def hidden_regions(model: ModelConfig) -> tuple[str, ...]:
    """model.occluded, with hair where no offsets can show it."""
    return model.occluded if model.use_static_offset or "hair" in model.occluded else (*model.occluded, "hair")


def with_known_occlusions(config: TrackConfig) -> TrackConfig:
    """The options with model.occluded as it counts: that of data.occluded_by_subject for the subject, unless it is
    given, and hair where there are no static offsets."""
    config = _with_those_of_subject(config)
    return replace(config, model=replace(config.model, occluded=hidden_regions(config.model)))


def _with_those_of_subject(config: TrackConfig) -> TrackConfig:
    data = config.data
    if not isinstance(data, NersembleDataConfig) or config.model.occluded:
        return config
    table = {}
    for entry in data.occluded_by_subject:
        subject, _, regions = entry.partition(":")
        if not subject or not regions:
            raise InputError(
                f"expected SUBJECT:REGION[,REGION] in --data.occluded_by_subject, found {entry!r}; correct it"
            )
        table[subject.zfill(3)] = tuple(regions.split(","))
    return replace(config, model=replace(config.model, occluded=table.get(data.subject.zfill(3), ())))
