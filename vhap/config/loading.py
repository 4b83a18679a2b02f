"""Configs as plain YAML with a schema version: written from dataclasses, read back through their types only."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vhap.config.ranges import check_ranges
from vhap.util.errors import InputError, shown
from vhap.util.files import write_text

SCHEMA_VERSION = 1
C = TypeVar("C")


def save_config(path: str | Path, config: Any) -> None:
    write_text(path, yaml.safe_dump({"schema_version": SCHEMA_VERSION, **to_plain(config)}, sort_keys=False))


def load_config(path: str | Path, kind: type[C]) -> C:
    """Builds `kind` from YAML; unknown keys, missing keys and wrong types are InputErrors, code is never run."""
    path = Path(path)
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
    except FileNotFoundError as error:
        raise InputError(f"expected a config at {path}, found nothing; check the path") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"expected plain YAML in {path}, found something else ({shown(reason)}); remake it") from error
    if not isinstance(plain, dict) or plain.pop("schema_version", None) != SCHEMA_VERSION:
        raise InputError(f"expected schema_version {SCHEMA_VERSION} in {path}, found another; track again")
    config = from_plain(kind, plain, str(path))
    check_ranges(config, f"{path}:")
    return config


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, which nothing here writes and by which a few lines expand without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def to_plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as dicts, strings and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: Any, plain: Any, where: str) -> Any:
    """The inverse of to_plain for a type; `where` names the place in error messages."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_from(kind, plain, where)
    if origin in (typing.Union, types.UnionType):
        return _union_from(arguments, plain, where)
    if origin is typing.Literal:
        if plain in arguments:
            return plain
        raise InputError(f"expected one of {list(arguments)} at {where}, found {shown(plain)}; correct it")
    if origin is tuple and isinstance(plain, list):
        kinds = [arguments[0]] * len(plain) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(plain):
            return tuple(from_plain(k, item, where) for k, item in zip(kinds, plain))
    if kind is Path and isinstance(plain, str):
        return Path(plain)
    if kind is float and isinstance(plain, (int, float)) and not isinstance(plain, bool):
        return _as_float(plain)
    if kind in (int, str, bool, type(None)) and type(plain) is kind:
        return plain
    raise InputError(f"expected {getattr(kind, '__name__', kind)} at {where}, found {shown(plain)}; correct it")


def _as_float(number: float) -> float:
    """Infinity for an integer that has no float."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _dataclass_from(kind: Any, plain: Any, where: str) -> Any:
    known = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(plain, dict):
        raise InputError(f"expected the options of {kind.__name__} at {where}, found {shown(plain)}; correct it")
    if unknown := sorted(map(str, set(plain) - set(known))):
        raise InputError(f"expected known options at {where}, found {shown(unknown)}; remove them")
    hints = typing.get_type_hints(kind)
    values = {name: from_plain(hints[name], value, f"{where}:{name}") for name, value in plain.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"expected all options of {kind.__name__} at {where}, found some missing ({error})") from error


def _union_from(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    if isinstance(plain, dict) and all(dataclasses.is_dataclass(kind) for kind in kinds):
        # By its names, so that a wrong value is told as such and not as options of another kind.
        names = [{field.name for field in dataclasses.fields(kind)} for kind in kinds]
        differing = [(len(set(plain) - known), len(known - set(plain))) for known in names]
        return from_plain(kinds[differing.index(min(differing))], plain, where)
    for kind in kinds:
        try:
            return from_plain(kind, plain, where)
        except InputError:
            continue
    raise InputError(f"expected one of {[str(kind) for kind in kinds]} at {where}, found {shown(plain)}; correct it")
