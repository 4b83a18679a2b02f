"""Stages as data: what moves, for how long, on which terms. No code elsewhere looks at a stage's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vhap.config.track import EpochStageConfig, ParamGroup, StepStageConfig, TrackConfig

MAX_EPOCHS = 30
COARSE_SIDE = 192
GLOBAL_RATE_FACTOR, EPOCH_RATE_DECAY = 0.1, 0.9


Bake = Literal["keep", "tint", "init", "all"]


@dataclass(frozen=True)
class Stage:
    """One stage.

    groups: what is optimised. photometric: picture terms or landmarks only. temporal: terms to the previous
    frame. jaw_line: whether jaw-line landmarks count. steps: at most this many on each batch of frames.
    epochs: passes over all frames (None: not a stage of epochs). sequential: batches of consecutive frames, one
    after the other; else the initialisation's frames. obeyed: explicit counts, no stop on a plateau. coarse: on
    pictures shrunk by `coarse_factor`, four times cheaper, which suits stages that still look for the place.
    bake: the albedo at its start. keep it; tint the painted one towards the pictures; or take the one that fits the
    pictures best, of the initialisation's frames (init) or of all.
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
    bake: Bake = "keep"
    rate_factor: float = 1.0


def build_stages(config: TrackConfig, painted: bool = False) -> list[Stage]:
    """The stages of a run in order.

    painted: the head brings a painted texture, on which brows, lids and lips lie where they belong; the head is aligned
    to the pictures with it before the texture moves, for later the texture would follow the pose. With exp.photometric
    off the two landmark tracking stages take the place of the photometric ones.
    """
    plan = config.pipeline
    stages = [
        _init("lmk_init_rigid", plan.lmk_init_rigid, config),
        _init("lmk_init_all", plan.lmk_init_all, config),
    ]
    if config.exp.photometric:
        if painted:
            stages.append(_init("rgb_init_painted", plan.rgb_init_painted, config, photometric=True, bake="tint"))
        stages += [
            _init("rgb_init_texture", plan.rgb_init_texture, config, photometric=True, bake="init"),
            _init("rgb_init_all", plan.rgb_init_all, config, photometric=True),
            _sequential("rgb_sequential_tracking", plan.rgb_sequential_tracking, config, photometric=True),
            _global("rgb_global_tracking", plan.rgb_global_tracking, config, photometric=True),
        ]
    else:
        stages += [
            _sequential("lmk_sequential_tracking", plan.lmk_sequential_tracking, config, photometric=False),
            _global("lmk_global_tracking", plan.lmk_global_tracking, config, photometric=False),
        ]
    return stages


def coarse_factor(size: tuple[int, int]) -> int:
    """By how much pictures (height, width) are shrunk in coarse stages: their longer side stays at least 192."""
    factor = 1
    while max(size) // (2 * factor) >= COARSE_SIDE:
        factor *= 2
    return factor


def _jaw_line(stage: StepStageConfig | EpochStageConfig, config: TrackConfig) -> bool:
    return config.w.always_enable_jawline_landmarks or not stage.disable_jawline_landmarks


def _init(
    name: str, stage: StepStageConfig, config: TrackConfig, photometric: bool = False, bake: Bake = "keep"
) -> Stage:
    return Stage(
        name=name,
        groups=stage.optimizable_params,
        photometric=photometric,
        temporal=False,
        jaw_line=_jaw_line(stage, config),
        steps=500 if stage.num_steps is None else stage.num_steps,
        epochs=None,
        sequential=False,
        obeyed=stage.num_steps is not None,
        coarse=photometric,
        bake=bake,
    )


def _sequential(name: str, stage: StepStageConfig, config: TrackConfig, photometric: bool) -> Stage:
    return Stage(
        name=name,
        groups=stage.optimizable_params,
        photometric=photometric,
        temporal=True,
        jaw_line=_jaw_line(stage, config),
        steps=50 if stage.num_steps is None else stage.num_steps,
        epochs=None,
        sequential=True,
        obeyed=stage.num_steps is not None,
        coarse=photometric,
    )


def _global(name: str, stage: EpochStageConfig, config: TrackConfig, photometric: bool) -> Stage:
    return Stage(
        name=name,
        groups=stage.optimizable_params,
        photometric=photometric,
        temporal=True,
        jaw_line=_jaw_line(stage, config),
        steps=1,
        epochs=MAX_EPOCHS if stage.num_epochs is None else stage.num_epochs,
        sequential=False,
        obeyed=stage.num_epochs is not None,
        rate_factor=GLOBAL_RATE_FACTOR,
        bake="all" if photometric else "keep",
    )
