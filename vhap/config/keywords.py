"""Options given as keywords: the fields of a config, or of one of its groups, by their own names."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from vhap.config.data import RecordingConfig
from vhap.config.legacy import ELSEWHERE, REMOVED, line_of_removed
from vhap.config.loading import from_plain, to_plain
from vhap.config.ranges import check_ranges
from vhap.config.track import ModelConfig, TrackConfig
from vhap.config.translate import options_of
from vhap.util.errors import InputError, shown
from vhap.util.log import get_logger

C = TypeVar("C")


def from_keywords(kind: type[C], options: Mapping[str, Any]) -> C:
    """`kind` with its defaults and these options.

    A name is a field of `kind` or of one of its groups (`head` is `model.head` of a tracking run); a group may also be
    given whole, as its dataclass or as a mapping (`w={"landmark": 3}`). Options that were removed are named in the log.
    Raises InputError for unknown names, missing and wrong values, and for a name that several groups have.
    """
    config, lines = from_keywords_with_lines(kind, options)
    for line in lines:
        get_logger().warning(line)
    return config


def from_keywords_with_lines(kind: type[C], options: Mapping[str, Any]) -> tuple[C, list[str]]:
    """As from_keywords, with the lines for the log: what has no effect any more."""
    lines: list[str] = []
    if prefixes := _prefixes(kind):
        known = {f"{prefixes[0]}{name}" for name, _ in options_of(kind)}
        options = _in_todays_words(options, prefixes, known, lines)
    return _config(kind, options), lines


def _prefixes(kind: type) -> list[str]:
    """Of dotted names of a tracking run's options: those that keywords of `kind` stand for."""
    if issubclass(kind, TrackConfig):
        # Groups of today, and those that have gone as a whole.
        groups = {field.name for field in dataclasses.fields(kind)} | {name.partition(".")[0] for name in REMOVED}
        return ["", *(f"{group}." for group in sorted(groups))]
    return ["model."] if issubclass(kind, ModelConfig) else ["data."] if issubclass(kind, RecordingConfig) else []


def _in_todays_words(
    options: Mapping[str, Any], prefixes: list[str], known: Collection[str], lines: list[str]
) -> dict[str, Any]:
    """Without what was removed, of which lines get one each. known: dotted names of today's options."""
    kept = {}
    for name, value in options.items():
        dotted = [f"{prefix}{name}" for prefix in prefixes]
        if any(option in known for option in dotted):
            kept[name] = value
        elif removed := next((option for option in dotted if option in REMOVED | ELSEWHERE), None):
            lines.append(line_of_removed(f"{name}={shown(value)}", removed))
        elif isinstance(value, Mapping):
            inner = _in_todays_words(value, [f"{dotted[0]}."], known, lines)
            if inner or not value:
                kept[name] = inner
        else:
            kept[name] = value
    return kept


def _config(kind: type[C], options: Mapping[str, Any]) -> C:
    hints = typing.get_type_hints(kind)
    groups = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        group = None if name in hints else _group_of(name, groups, hints)
        if group is not None:
            inner.setdefault(group, {})[name] = value
        elif name in groups and isinstance(value, Mapping):
            inner.setdefault(name, {}).update(value)
        else:
            values[name] = _checked(hints[name], value, name)
    for group, chosen in inner.items():
        # A group that is given whole, and single options of it: these count.
        start = values.get(group, _default(kind, group))
        values[group] = _with(groups[group], start, chosen, group)
    config = _made(kind, values)
    check_ranges(config, "")
    return config


def checked(config: C) -> C:
    """A config that was made by hand, with values of its fields' types. InputError where one has another."""
    made = from_plain(type(config), to_plain(config), type(config).__name__)
    check_ranges(made, "")
    return made


def _group_of(name: str, groups: Mapping[str, Any], hints: Mapping[str, Any]) -> str:
    having = [group for group, hint in groups.items() if name in {field.name for field in dataclasses.fields(hint)}]
    if len(having) == 1:
        return having[0]
    if having:
        raise InputError(
            f"expected an option that one group has, found {name!r} in {' and '.join(having)}; "
            f"give {having[0]}={{{name!r}: ...}}"
        )
    known = [*hints, *(field.name for hint in groups.values() for field in dataclasses.fields(hint))]
    raise InputError(f"expected a known option, found {name!r}; {_remedy(name, known)}")


def _remedy(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"try {', '.join(near)}" if near else "remove it"


def _default(kind: type, group: str) -> Any:
    """A group's default value; None where it has none."""
    (field,) = (field for field in dataclasses.fields(kind) if field.name == group)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _with(kind: Any, start: Any, options: Mapping[str, Any], where: str) -> Any:
    """A group with some options changed; nested groups likewise."""
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in options.items():
        if name not in hints:
            raise InputError(f"expected a known option of {where}, found {name!r}; {_remedy(name, hints)}")
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            values[name] = _with(hints[name], getattr(start, name, None), value, f"{where}.{name}")
        else:
            values[name] = _checked(hints[name], value, f"{where}.{name}")
    return _made(kind, values) if start is None else dataclasses.replace(start, **values)


def _checked(hint: Any, value: Any, where: str) -> Any:
    """The value in the option's own type; text for a path and a list for a tuple are taken."""
    return from_plain(hint, to_plain(value), where)


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    required = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in required if name not in values]:
        raise InputError(f"expected {', '.join(missing)} among the options of {kind.__name__}, found none; give them")
    return kind(**values)
