"""Options that change nothing in runs of some kind, by the other options. A run names those of them that were set.
Options that change nothing in any run are in legacy.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from vhap.config.track import TrackConfig

Trait = Literal[
    "landmarks only", "with pictures", "no offset", "no static offset", "no dynamic offset",
    "not FLAME", "not GNM", "not ICT-FaceKit", "no video",
]  # fmt: skip


@dataclass(frozen=True)
class NoEffect:
    """options: dotted names, as patterns. traits: runs that have all of these leave the options without effect."""

    options: tuple[str, ...]
    instead: str
    traits: tuple[Trait, ...]


NO_EFFECT = (
    NoEffect(("data.target_fps", "data.matting_method"), "they are of --data.video", ("no video",)),
    NoEffect(("model.add_teeth",), "the head has teeth of its own", ("not FLAME",)),
    NoEffect(("model.flame_model_path",), "see --model.head", ("not FLAME",)),
    NoEffect(("model.gnm_path",), "see --model.head", ("not GNM",)),
    NoEffect(("model.ict_facekit_path",), "see --model.head", ("not ICT-FaceKit",)),
    NoEffect(("w.reg_offset_dynamic",), "see --model.use_dynamic_offset", ("no dynamic offset",)),
    NoEffect(("pipeline.rgb_init_offset.*",), "see --model.use_static_offset", ("no static offset",)),
    NoEffect(
        (
            "pipeline.rgb_init_offset.disable_jawline_landmarks",
            "pipeline.rgb_global_tracking.disable_jawline_landmarks",
        ),
        "landmarks move nothing in that stage",
        ("with pictures",),
    ),
    NoEffect(
        ("pipeline.rgb_init_offset.align_texture_except",),
        "hair is laid on outlines; see --pipeline.rgb_init_offset.align_boundary_except",
        ("with pictures",),
    ),
    NoEffect(("w.reg_offset*",), "see --model.use_static_offset", ("no offset",)),
    NoEffect(
        ("pipeline.lmk_sequential_tracking.*", "pipeline.lmk_global_tracking.*"),
        "rgb_sequential_tracking and rgb_global_tracking run; the lmk ones do by --exp.no_photometric",
        ("with pictures",),
    ),
    NoEffect(
        ("w.landmark", "w.reg_offset*"),
        "--exp.no_photometric fits identity, expression, joints and motion to landmarks",
        ("landmarks only",),
    ),
    NoEffect(
        ("pipeline.rgb_*", "w.photo", "w.silhouette", "model.occluded"),
        "--exp.no_photometric leaves the pictures out",
        ("landmarks only",),
    ),
)


def lines_of_no_effect(config: TrackConfig, traits: set[Trait]) -> list[str]:
    """A line for each option that was set, to another value than its default, and has no effect in such a run."""
    told = [entry for entry in NO_EFFECT if traits.issuperset(entry.traits)]
    lines = []
    for name, value in changed_options(config):
        found = [entry for entry in told if any(fnmatchcase(name, pattern) for pattern in entry.options)]
        if found:
            lines.append(
                f"{as_typed(name, value)} has no effect here ({', '.join(found[0].traits)}): {found[0].instead}"
            )
    return lines


def traits_of(config: TrackConfig) -> set[Trait]:
    """model.head is decided."""
    model, rgb = config.model, config.exp.photometric
    static, dynamic = model.use_static_offset, model.use_dynamic_offset
    holds: dict[Trait, bool] = {
        "landmarks only": not rgb,
        "with pictures": rgb,
        "no offset": not static and not dynamic,
        "no static offset": not static,
        "no dynamic offset": not dynamic,
        "not FLAME": model.head != "flame",
        "not GNM": model.head != "gnm",
        "not ICT-FaceKit": model.head != "ict",
        "no video": getattr(config.data, "video", None) is None,
    }
    return {trait for trait, held in holds.items() if held}


def changed_options(config: Any, usual: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of options unlike their defaults: those of `usual`, else the fields' own."""
    for field in fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        default = default_of(field) if usual is None else getattr(usual, field.name)
        if is_dataclass(value):
            yield from changed_options(value, None if default is MISSING else default, f"{name}.")
        elif default is not MISSING and value != default:
            yield name, value


def default_of(field: Field) -> Any:
    """MISSING where there is none."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def as_typed(name: str, value: Any) -> str:
    """An option as on the command line."""
    if isinstance(value, bool):
        group, _, last = name.rpartition(".")
        return f"--{group}.{last if value else f'no_{last}'}"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([f"--{name}", *map(str, values)])
