"""Stages as data: what moves, for how long, on which terms. No code elsewhere looks at a stage's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vhap.config.track import (
    EpochStageConfig,
    LandmarkEpochConfig,
    LandmarkStepConfig,
    ParamGroup,
    StepStageConfig,
    TrackConfig,
    hidden_regions,
    keeps_texture,
)

LANDMARK_ROUNDS = 10
LAST_RESULT = 30
"""Number of a finished run's result, which scripts of other trackers name by their epochs."""
JOINT_ROUNDS, REFINING_ROUNDS, SURFACE_ROUNDS = 20, 2, 4
"""Each frame starts beside its landmarks as far as solved frames near it do: two rounds are as good as four."""
COARSE_SIDE = 192
FINE_FACE_PX = 320
"""What more pixels bring is in doc/benchmarks.md."""

PLACE: tuple[ParamGroup, ...] = ("cam", "pose", "shape", "joints", "expr")
"""Groups that move the head."""

Kind = Literal[
    "landmark_identity", "landmark_frames", "landmark_all", "identity", "hair", "frames", "moving_offset", "surface"
]
"""landmark_identity: what all frames share, by landmarks, with the frames that differ most; landmark_frames: every
frame; landmark_all: both. identity, frames: the same by pictures, frames window after window. hair: laid on the
outlines of the mattes. moving_offset: an offset for each frame, one after the other. surface: light, offsets and
texture of all frames, in this order, as the head stands."""
MOVED: dict[Kind, tuple[ParamGroup, ...]] = {
    "identity": (*PLACE, "texture", "lights"),
    "hair": ("static_offset",),
    "frames": ("pose", "joints", "expr"),
    "moving_offset": ("dynamic_offset",),
    "surface": ("lights", "static_offset", "texture"),
}
"""What stages of pictures can move. Identities are solved with the albedo that explains the pictures best."""
WITHOUT_LANDMARKS: tuple[Kind, ...] = ("hair", "moving_offset", "surface")
"""Stages in which landmarks move nothing."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    groups: what is solved for. jaw_line: whether jaw-line landmarks count. rounds: at most so many. coarse: on pictures
    shrunk by `coarse_factor`, which suits stages that still look for the place. fixed_texture, fixed_outline: regions
    whose texture or outline moves no vertex. result: number of the result that it ends with, None where it ends with
    none.
    """

    name: str
    kind: Kind
    groups: tuple[ParamGroup, ...]
    jaw_line: bool
    rounds: int
    coarse: bool = False
    fixed_texture: tuple[str, ...] = ()
    fixed_outline: tuple[str, ...] = ()
    result: int | None = None

    @property
    def photometric(self) -> bool:
        return not self.kind.startswith("landmark")


def build_stages(config: TrackConfig) -> list[Stage]:
    """The stages of a run in order. With exp.photometric off the two landmark tracking stages take the place of the
    photometric ones."""
    plan, model = config.pipeline, config.model
    landmarks = [
        _stage(config, "lmk_init_rigid", "landmark_identity", LANDMARK_ROUNDS),
        _stage(config, "lmk_init_all", "landmark_identity", LANDMARK_ROUNDS),
    ]
    if not config.exp.photometric:
        return [
            *landmarks,
            _stage(config, "lmk_sequential_tracking", "landmark_frames", LANDMARK_ROUNDS),
            _stage(config, "lmk_global_tracking", "landmark_all", LANDMARK_ROUNDS),
        ]
    hair = _stage(config, "rgb_init_offset", "hair", 1)
    moving = _stage(config, "rgb_sequential_offset", "moving_offset", SURFACE_ROUNDS, plan.rgb_sequential_tracking)
    return [
        *landmarks,
        _stage(config, "rgb_init_texture", "identity", JOINT_ROUNDS, coarse=True),
        _stage(config, "rgb_init_all", "identity", JOINT_ROUNDS),
        *([hair] if model.use_static_offset and config.w.silhouette > 0 else []),
        _stage(config, "rgb_sequential_tracking", "frames", REFINING_ROUNDS),
        *([moving] if model.use_dynamic_offset else []),
        _stage(config, "rgb_global_tracking", "surface", SURFACE_ROUNDS),
    ]


def _stage(
    config: TrackConfig,
    name: str,
    kind: Kind,
    rounds: int,
    options: LandmarkStepConfig | LandmarkEpochConfig | None = None,
    coarse: bool = False,
) -> Stage:
    """A stage from its options, those of its name where none are given."""
    options = options or getattr(config.pipeline, name)
    assert options is not None
    aligned = options if isinstance(options, StepStageConfig | EpochStageConfig) else StepStageConfig()
    hidden, moves = hidden_regions(config.model), _moves(config)
    asked = options.num_epochs if isinstance(options, LandmarkEpochConfig) else options.num_steps
    can_move = MOVED.get(kind, PLACE)
    return Stage(
        name=name,
        kind=kind,
        groups=tuple(group for group in options.optimizable_params if group in can_move and moves.get(group, True)),
        jaw_line=kind in WITHOUT_LANDMARKS
        or config.w.always_enable_jawline_landmarks
        or not options.disable_jawline_landmarks,
        rounds=rounds if asked is None else asked,
        coarse=coarse,
        fixed_texture=() if kind == "hair" else (*aligned.align_texture_except, *hidden),
        fixed_outline=(*aligned.align_boundary_except, *hidden),
        result=_result(kind, asked),
    )


def _result(kind: Kind, asked: int | None) -> int | None:
    if kind in ("landmark_frames", "frames"):
        return 0
    return (asked or LAST_RESULT) if kind in ("landmark_all", "surface") else None


def _moves(config: TrackConfig) -> dict[ParamGroup, bool]:
    """What the model's options let move at all."""
    model = config.model
    fixed_offset = model.fix_shape if model.fix_offset is None else model.fix_offset
    return {
        "shape": not model.fix_shape,
        "static_offset": model.use_static_offset and not fixed_offset,
        "dynamic_offset": model.use_dynamic_offset,
        "texture": not keeps_texture(model),
        "lights": model.light_path is None and config.render.lighting_type == "SH",
    }


def lines_of_unmoved(config: TrackConfig) -> list[str]:
    """A line for each group among a stage's optimizable_params that it cannot move."""
    lines = []
    for stage in build_stages(config):
        options = getattr(config.pipeline, stage.name, None)
        can_move = (*MOVED.get(stage.kind, PLACE), *(MOVED["moving_offset"] if stage.kind == "frames" else ()))
        other = [] if options is None else [group for group in options.optimizable_params if group not in can_move]
        if other:
            lines.append(
                f"--pipeline.{stage.name}.optimizable_params {' '.join(other)} has no effect: that stage moves "
                f"{' '.join(can_move)}"
            )
    return lines


def fine_factor(face_px: float) -> int:
    """By how much pictures are shrunk in stages that are not coarse: a face, as wide or high as its landmarks are,
    keeps FINE_FACE_PX."""
    factor = 1
    while face_px / (2 * factor) >= FINE_FACE_PX:
        factor *= 2
    return factor


def coarse_factor(size: tuple[int, int]) -> int:
    """By how much pictures (height, width) are shrunk in coarse stages: their longer side stays at least 192."""
    factor = 1
    while max(size) // (2 * factor) >= COARSE_SIDE:
        factor *= 2
    return factor
