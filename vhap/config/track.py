"""Options of a tracking run: names and defaults are the ones users' scripts rely on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vhap.config.data import DataConfig

ParamGroup = Literal["cam", "pose", "shape", "joints", "expr", "texture", "lights"]


@dataclass(frozen=True)
class ModelConfig:
    head: Literal["auto", "flame", "ict", "builtin"] = "auto"
    """Head model; auto takes FLAME if its file is there, else ICT-FaceKit, else the built-in head."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in asset/flame/."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    n_shape: int = 300
    """Identity coefficients, at most as many as the head has."""
    n_expr: int = 100
    """Expression coefficients, at most as many as the head has."""
    add_teeth: bool = True
    """Give FLAME rows of teeth (120 more vertices)."""
    tex_resolution: int = 2048
    """Side of the written texture; it is optimised at the resolution that the pictures support."""
    tex_painted: bool = True
    """Start from the head's painted texture where there is one, else from a flat colour by region."""


@dataclass(frozen=True)
class RenderConfig:
    backend: Literal["auto", "warp", "nvdiffrast", "reference"] = "auto"
    """Renderer. auto is warp, on CPU and CUDA."""
    lighting_type: Literal["SH", "constant"] = "SH"
    """Nine spherical-harmonic coefficients for each colour channel, or a constant white light."""


@dataclass(frozen=True)
class LearningRateConfig:
    """Adam's rates; all are multiplied by 0.1 in global stages, there then by 0.9 an epoch."""

    base: float = 5e-3
    translation: float = 1e-3
    expr: float = 5e-2
    camera: float = 5e-3
    light: float = 5e-3


@dataclass(frozen=True)
class LossWeightConfig:
    """Weights of the energy's terms; 0 switches a term off."""

    landmark: float = 10.0
    """Mean confidence-weighted L1 distance, coordinates normalised to [-1, 1]."""
    always_enable_jawline_landmarks: bool = True
    """Use jaw-line points in every stage, whatever the stage says."""
    photo: float = 30.0
    """Absolute colour difference per rendered value."""
    reg_shape: float = 0.3
    """Mean square of the identity coefficients."""
    reg_expr: float = 0.03
    """Mean square of the expression coefficients."""
    reg_neck: float = 0.3
    """Neck rotation against the identity."""
    reg_jaw: float = 0.3
    """Jaw rotation against the identity, more so where it closes too far or turns sideways."""
    reg_eyes: float = 0.03
    """Eye rotations against the identity and against each other."""
    reg_tex_tv: float = 1e4
    """Mean squared difference of neighbouring texels; scaled by (scale_factor / n_downsample_rgb)^2."""
    reg_tex_res_for: tuple[str, ...] = ("sclerae", "teeth")
    """Regions whose texture keeps near the base."""
    reg_tex_res: float = 10.0
    """Mean square of the texture's residual in those regions."""
    reg_light: float | None = None
    """Squared change from the uniform light (None: off)."""
    reg_diffuse: float = 100.0
    """Diffuse shading above one, and its variance across colour channels."""
    smooth_trans: float = 300.0
    """Change of the translation since the previous frame, squared."""
    smooth_rot: float = 30.0
    """Change of the head's rotation, squared."""
    smooth_neck: float = 30.0
    """Change of the neck's rotation, squared."""
    smooth_jaw: float = 0.1
    """Change of the jaw's rotation, squared."""
    smooth_eyes: float = 0.0
    """Change of the eyes' rotation, squared."""
    smooth_expr: float = 1.0
    """Change of the expression coefficients, squared."""


@dataclass(frozen=True)
class LogConfig:
    interval_scalar: int = 100
    """Steps between scalars in TensorBoard."""
    interval_media: int = 500
    """Steps between pictures in `train/`."""
    image_format: Literal["jpg", "png"] = "jpg"
    """Format of those pictures."""
    max_num_views: int = 3
    """Frames shown in one of those pictures."""
    max_eval_frames: int = 8
    """Frames shown in `eval_<epoch>/image_grid/`, evenly chosen; 0 for none."""


@dataclass(frozen=True)
class StepStageConfig:
    num_steps: int | None = None
    """Steps exactly (a frame batch, in sequential stages). None: up to the stage's bound, less on a plateau."""
    optimizable_params: tuple[ParamGroup, ...] = ()
    """Groups of unknowns that move."""
    disable_jawline_landmarks: bool = False
    """Leave the jaw-line points out (see w.always_enable_jawline_landmarks)."""


@dataclass(frozen=True)
class EpochStageConfig:
    num_epochs: int | None = None
    """Passes over all frames, in shuffled batches, exactly. None: up to 30, less on a plateau."""
    optimizable_params: tuple[ParamGroup, ...] = ()
    """Groups of unknowns that move."""
    disable_jawline_landmarks: bool = False
    """Leave the jaw-line points out (see w.always_enable_jawline_landmarks)."""


def _steps(*groups: ParamGroup, jaw_line: bool = True) -> StepStageConfig:
    return field(default_factory=lambda: StepStageConfig(None, groups, not jaw_line))


def _epochs(*groups: ParamGroup, jaw_line: bool = True) -> EpochStageConfig:
    return field(default_factory=lambda: EpochStageConfig(None, groups, not jaw_line))


@dataclass(frozen=True)
class PipelineConfig:
    """The stages, in the order in which they run. rgb_init_painted is for heads with a painted texture only."""

    lmk_init_rigid: StepStageConfig = _steps("cam", "pose")
    lmk_init_all: StepStageConfig = _steps("cam", "pose", "shape", "joints", "expr")
    rgb_init_painted: StepStageConfig = _steps("pose", "shape", "joints", "expr", "lights", jaw_line=False)
    rgb_init_texture: StepStageConfig = _steps("cam", "shape", "texture", "lights")
    rgb_init_all: StepStageConfig = _steps(
        "cam", "pose", "shape", "joints", "expr", "texture", "lights", jaw_line=False
    )
    rgb_sequential_tracking: StepStageConfig = _steps("pose", "joints", "expr", "texture", jaw_line=False)
    rgb_global_tracking: EpochStageConfig = _epochs(
        "cam", "pose", "shape", "joints", "expr", "texture", "lights", jaw_line=False
    )
    lmk_sequential_tracking: StepStageConfig = _steps("pose", "joints", "expr")
    lmk_global_tracking: EpochStageConfig = _epochs("cam", "pose", "shape", "joints", "expr")


@dataclass(frozen=True)
class ExperimentConfig:
    output_folder: Path
    """Where run folders are made."""
    reuse_landmarks: bool = True
    """Use landmark files that are there; else detect again."""
    photometric: bool = True
    """Fit to the pictures; without, to landmarks only."""


@dataclass(frozen=True)
class TrackConfig:
    data: DataConfig
    exp: ExperimentConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    lr: LearningRateConfig = field(default_factory=LearningRateConfig)
    w: LossWeightConfig = field(default_factory=LossWeightConfig)
    log: LogConfig = field(default_factory=LogConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    batch_size: int = 16
    """Consecutive frames solved together, each starting from the last solved frame."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""
    seed: int = 0
    """Runs are deterministic for a seed on one device."""
    dry_run: bool = False
    """Print frames, stages and an estimate of the time, then stop."""
