"""What a layout cannot hold is refused before anything is written: reason, and what to do instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vhap.config.export import ExportConfig
from vhap.config.no_effect import changed_options
from vhap.export.layouts.base import NO_EFFECT, LayoutRules
from vhap.export.nerf_dataset import ExportSource
from vhap.util.errors import InputError
from vhap.util.log import get_logger

FLAME_2020 = "flame2020"
"""Name of the head that generic_model.pkl holds; results say it beside the file's hash."""


def check_head(layout: str, rules: LayoutRules, head_name: str) -> None:
    """InputError where the layout's readers pose another head than the run's."""
    name = head_name.lower()
    fits = {"any": True, "FLAME": name.startswith("flame"), "FLAME 2020": name == FLAME_2020}
    if fits[rules.heads]:
        return
    if rules.heads == "FLAME 2020" and name.startswith("flame"):
        raise InputError(
            f"expected a run of FLAME 2020 for --layout {layout}, whose readers pose it, found {head_name}, whose "
            "coefficients mean another shape there; vhap convert-head RUN --to flame --flame_model_path "
            ".../generic_model.pkl makes a run of it"
        )
    raise InputError(
        f"expected a run of {rules.heads} for --layout {layout}, whose readers pose FLAME, found the head {head_name}, "
        "whose coefficients would mean another shape there; vhap convert-head RUN --to flame makes a run of FLAME"
    )


def check_source(layout: str, rules: LayoutRules, source: ExportSource, config: ExportConfig) -> None:
    """InputError where a run of the right head holds what the layout cannot."""
    if rules.one_camera and len(source.cameras) != 1:
        raise InputError(
            f"expected a run by one camera for --layout {layout}, found {len(source.cameras)}; choose one by --subset, "
            "as --subset ci0, or take --layout gaussian_avatars"
        )
    check_coefficients(layout, rules, source)
    if not rules.offsets and not config.drop_offsets and (mean := offset_mm(source)) > 0:
        raise InputError(
            f"expected a head without offsets for --layout {layout}, which has no place for them, found some of "
            f"{mean:.2f} mm on average; track with --model.no_use_static_offset, or give --drop_offsets to write the "
            "head without them"
        )
    count = len(source.result.timestep_id)
    if rules.test_frames is not None and count <= rules.test_frames:
        raise InputError(
            f"expected more than {rules.test_frames} frames for --layout {layout}, since its readers always take the "
            f"last {rules.test_frames} for testing, found {count}; film and track more"
        )


def check_coefficients(layout: str, rules: LayoutRules, source: ExportSource) -> None:
    """InputError where coefficients that are not zero lie beyond those that the readers take."""
    values = {"shape": source.result.shape.reshape(1, -1), "expr": source.result.expr}
    for name, most in (("shape", rules.n_shape), ("expr", rules.n_expr)):
        if most is not None and np.any(values[name][:, most:]):
            raise InputError(
                f"expected at most {most} {name} coefficients for --layout {layout}, found {values[name].shape[1]}, "
                f"and cut off they would be another face; track with --model.n_{name} {most}"
            )


def offset_mm(source: ExportSource) -> float:
    """Mean length of the head's offsets, those that move included."""
    result = source.result
    offsets = [values for values in (result.static_offset, result.dynamic_offset) if values is not None]
    return sum(1000 * float(np.linalg.norm(values, axis=-1).mean()) for values in offsets)


def without_offsets(source: ExportSource) -> ExportSource:
    return replace(source, result=replace(source.result, static_offset=None, dynamic_offset=None))


def report_no_effect(layout: str, rules: LayoutRules, config: ExportConfig) -> None:
    """A line for each option that was set and changes nothing."""
    reasons = {name: why for name, why in NO_EFFECT.items() if name not in rules.options} | dict(rules.no_effect)
    for name, value in changed_options(config):
        if name in reasons:
            get_logger().warning("--%s %s has no effect with --layout %s: %s", name, value, layout, reasons[name])
