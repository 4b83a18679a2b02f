"""Configs as plain YAML with a schema version: written from dataclasses, read back through their types only."""

from __future__ import annotations

import dataclasses
import os
import sys
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vhap.config.legacy import without_removed
from vhap.config.ranges import check_ranges
from vhap.util.errors import InputError, shown
from vhap.util.files import read_bytes, write_text

SCHEMA_VERSION = 1
MAX_DEPTH = 32
C = TypeVar("C")

# The parser in C where PyYAML has it: ten times as fast.
_SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def save_config(path: str | Path, config: Any) -> None:
    write_text(path, yaml.safe_dump({"schema_version": SCHEMA_VERSION, **to_plain(config)}, sort_keys=False))


def load_config(path: str | Path, kind: type[C]) -> C:
    """Builds `kind` from YAML; unknown keys, missing keys and wrong types are InputErrors, code is never run. Options
    that runs had before they were removed are left out: they changed nothing."""
    path = Path(path)
    plain = read_yaml(path)
    if not isinstance(plain, dict) or plain.pop("schema_version", None) != SCHEMA_VERSION:
        raise InputError(f"expected schema_version {SCHEMA_VERSION} in {path}, found another; track again")
    config = from_plain(kind, without_removed(plain), str(path))
    check_ranges(config, f"{path}:")
    return config


class _Loader(_SAFE_LOADER):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    """YAML's plain types. A key that stands twice is refused: one of its values would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep)
        if len(made) < len(node.value):
            names = [key.value for key, _ in node.value]
            raise yaml.YAMLError(f"the key {shown(next((n for n in names if names.count(n) > 1), '?'))} stands twice")
        return made


def read_yaml(path: Path) -> Any:
    """Plain YAML. Aliases are refused, as 457 bytes of them stand for billions of values, and so is deep nesting."""
    content = read_bytes(path, "a config")
    try:
        text = content.decode("utf-8")
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    # Numbers and dates of impossible values are ValueErrors, as bytes that are not UTF-8.
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        reason = shown(str(error).splitlines()[0])
        raise InputError(f"expected plain YAML in {path}, found something else ({reason}); remake it") from error


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_SAFE_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"the alias {shown(event.anchor)}: aliases are not read")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"values nested deeper than {MAX_DEPTH} levels")


def to_plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as dicts, strings and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, str | Path):
        return _plain_text(str(value))
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    # A number of numpy's.
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        return typing.cast(Any, value).item()
    return value


def _plain_text(text: str) -> str | bytes:
    """Bytes where a file's name is not UTF-8, since YAML's text is."""
    content = os.fsencode(text)
    return text if content == text.encode("utf-8", "ignore") else content


def from_plain(kind: Any, plain: Any, where: str) -> Any:
    """The inverse of to_plain for a type; `where` names the place in error messages."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_from(kind, plain, where)
    if origin in (typing.Union, types.UnionType):
        return _union_from(arguments, plain, where)
    if origin is typing.Literal:
        if any(type(plain) is type(choice) and plain == choice for choice in arguments):
            return plain
        raise InputError(f"expected one of {list(arguments)} at {where}, found {shown(plain)}; correct it")
    if origin is tuple and isinstance(plain, list):
        kinds = [arguments[0]] * len(plain) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(plain):
            return tuple(from_plain(k, item, where) for k, item in zip(kinds, plain))
    if kind in (str, Path) and isinstance(plain, bytes):
        return from_plain(kind, os.fsdecode(plain), where)
    if kind is Path and isinstance(plain, str) and "\0" not in plain:
        return Path(plain)
    if kind is float and isinstance(plain, (int, float)) and not isinstance(plain, bool):
        if not abs(plain) <= sys.float_info.max:
            raise InputError(f"expected a finite number at {where}, found {shown(plain)}; correct it")
        return float(plain)
    if kind in (int, str, bool, type(None)) and type(plain) is kind:
        return plain
    raise InputError(f"expected {getattr(kind, '__name__', kind)} at {where}, found {shown(plain)}; correct it")


def _dataclass_from(kind: Any, plain: Any, where: str) -> Any:
    known = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(plain, dict):
        raise InputError(f"expected the options of {kind.__name__} at {where}, found {shown(plain)}; correct it")
    if unknown := [name for name in plain if name not in known]:
        raise InputError(f"expected known options at {where}, found {', '.join(map(shown, unknown))}; remove them")
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
