"""Stages as data: what moves, for how long, on which terms. No code elsewhere looks at a stage's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from vhap.config.track import (
    EpochStageConfig,
    LandmarkEpochConfig,
    LandmarkStepConfig,
    ParamGroup,
    StepStageConfig,
    TrackConfig,
    hidden_regions,
    separates_light,
)

LANDMARK_STEPS, INIT_STEPS, TRACKING_STEPS, MAX_EPOCHS = 10, 500, 50, 30
ENOUGH_BATCHES, FEWEST_EPOCHS = 40, 3
"""An uncounted stage of epochs ends with the epoch that brings so many batches; where it moves what each frame has for
itself, with the third at the earliest."""
JOINT_ROUNDS, REFINING_ROUNDS = 20, 4
COARSE_SIDE = 192
GLOBAL_RATE_FACTOR, EPOCH_RATE_DECAY = 0.1, 0.9

PLACE: tuple[ParamGroup, ...] = ("cam", "pose", "joints", "expr")
"""Groups that move the head from frame to frame."""
OF_FRAMES: tuple[ParamGroup, ...] = ("pose", "joints", "expr", "dynamic_offset")
"""Groups of which each frame has its own."""

BackProjection = Literal["keep", "init", "all"]


@dataclass(frozen=True)
class Stage:
    """One stage.

    groups: what is optimised. photometric: picture terms or landmarks only. temporal: terms to the previous
    frame; they count where the place moves. jaw_line: whether jaw-line landmarks count. steps: at most this many on
    each batch of frames. epochs: passes over all frames (None: not a stage of epochs). sequential: batches of
    consecutive frames, one after the other; else the initialisation's frames. obeyed: explicit counts, no stop on a
    plateau. coarse: on pictures shrunk by `coarse_factor`, which suits stages that still look for the place.
    bake: the albedo at its start. keep it, or take the one that fits the pictures best, of the initialisation's frames
    (init) or of all. fixed_texture, fixed_outline: regions whose texture or outline moves no vertex. newton: rounds of
    second order on many frames together, the albedo eliminated, in place of first-order steps. hair: begins with hair
    laid on the outlines. light: begins with the light separated from the albedo, which then stands still.
    """

    name: str
    groups: tuple[ParamGroup, ...]
    photometric: bool
    temporal: bool
    jaw_line: bool
    steps: int
    epochs: int | None
    sequential: bool
    obeyed: bool
    coarse: bool = False
    bake: BackProjection = "keep"
    rate_factor: float = 1.0
    newton: bool = False
    hair: bool = False
    light: bool = False
    fixed_texture: tuple[str, ...] = ()
    fixed_outline: tuple[str, ...] = ()

    def epochs_of(self, n_batches: int) -> int:
        """Passes over so many batches, at most."""
        if self.epochs is None or self.obeyed:
            return self.epochs or 0
        fewest = 1 if set(self.groups).isdisjoint(OF_FRAMES) else FEWEST_EPOCHS
        return min(self.epochs, max(fewest, -(-ENOUGH_BATCHES // n_batches)))


def build_stages(config: TrackConfig) -> list[Stage]:
    """The stages of a run in order. With exp.photometric off the two landmark tracking stages take the place of the
    photometric ones."""
    plan, rgb = config.pipeline, config.exp.photometric
    landmarks = [
        _stage("lmk_init_rigid", plan.lmk_init_rigid, config, LANDMARK_STEPS),
        _stage("lmk_init_all", plan.lmk_init_all, config, LANDMARK_STEPS),
    ]
    if not rgb:
        sequential, everything = plan.lmk_sequential_tracking, plan.lmk_global_tracking
        return [
            *landmarks,
            _stage("lmk_sequential_tracking", sequential, config, LANDMARK_STEPS, temporal=True, sequential=True),
            replace(_stage("lmk_global_tracking", everything, config, 1, temporal=True), steps=LANDMARK_STEPS),
        ]
    sequential, everything = plan.rgb_sequential_tracking, plan.rgb_global_tracking
    coarse = _stage("rgb_init_texture", plan.rgb_init_texture, config, JOINT_ROUNDS, rgb, coarse=True, newton=True)
    fine = _stage("rgb_init_all", plan.rgb_init_all, config, JOINT_ROUNDS, rgb, newton=True)
    offset = _stage("rgb_init_offset", plan.rgb_init_offset, config, INIT_STEPS, rgb, coarse=True, bake="init")
    grows = "static_offset" in offset.groups and config.w.silhouette > 0
    followed = _stage("rgb_sequential_tracking", sequential, config, REFINING_ROUNDS, rgb, sequential=True, newton=True)
    moving = _stage("rgb_sequential_offset", sequential, config, TRACKING_STEPS, rgb, sequential=True)
    globally = _stage(
        "rgb_global_tracking", everything, config, 1, rgb, temporal=True, bake="all", light=separates_light(config)
    )
    return [
        *landmarks,
        coarse,
        fine,
        *([replace(offset, hair=grows)] if config.model.use_static_offset else []),
        followed,
        *([replace(moving, groups=("dynamic_offset",))] if config.model.use_dynamic_offset else []),
        globally,
    ]


def _stage(
    name: str,
    options: LandmarkStepConfig | LandmarkEpochConfig,
    config: TrackConfig,
    most_steps: int,
    photometric: bool = False,
    coarse: bool = False,
    temporal: bool = False,
    sequential: bool = False,
    bake: BackProjection = "keep",
    newton: bool = False,
    light: bool = False,
) -> Stage:
    """A stage from its options. Stages of epochs make one step on each batch, at a tenth of the rates."""
    by_epochs = isinstance(options, LandmarkEpochConfig)
    aligned = options if isinstance(options, StepStageConfig | EpochStageConfig) else StepStageConfig()
    model = config.model
    hidden = hidden_regions(model)
    fixed_offset = model.fix_shape if model.fix_offset is None else model.fix_offset
    fixed_texture = model.fix_shape if model.fix_texture is None else model.fix_texture
    moves: dict[ParamGroup, bool] = {
        "shape": not model.fix_shape,
        "static_offset": model.use_static_offset and not fixed_offset,
        "dynamic_offset": model.use_dynamic_offset,
        "texture": not fixed_texture,
        "lights": model.light_path is None and not light,
    }
    groups: tuple[ParamGroup, ...] = tuple(group for group in options.optimizable_params if moves.get(group, True))
    asked = options.num_epochs if by_epochs else options.num_steps
    count = asked if asked is not None else MAX_EPOCHS if by_epochs else most_steps
    return Stage(
        name=name,
        groups=groups,
        fixed_texture=(*aligned.align_texture_except, *hidden),
        fixed_outline=(*aligned.align_boundary_except, *hidden),
        photometric=photometric,
        temporal=temporal and not set(groups).isdisjoint(PLACE),
        jaw_line=config.w.always_enable_jawline_landmarks or not options.disable_jawline_landmarks,
        steps=1 if by_epochs else count,
        epochs=count if by_epochs else None,
        sequential=sequential,
        obeyed=asked is not None,
        coarse=coarse,
        bake="keep" if fixed_texture else bake,
        rate_factor=GLOBAL_RATE_FACTOR if by_epochs else 1.0,
        newton=newton,
        light=light and count > 0,
    )


def coarse_factor(size: tuple[int, int]) -> int:
    """By how much pictures (height, width) are shrunk in coarse stages: their longer side stays at least 192."""
    factor = 1
    while max(size) // (2 * factor) >= COARSE_SIDE:
        factor *= 2
    return factor
