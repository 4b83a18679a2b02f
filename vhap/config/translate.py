"""The command line of other trackers' scripts, translated by the tables of legacy.py before it is parsed. What is not
taken as it was typed is said in one line each."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any

from vhap.config.legacy import ELSEWHERE, NONE_MEANS, REMOVED, VALUE_MEANS, line_of_removed
from vhap.config.no_effect import default_of
from vhap.config.ranges import hints_of
from vhap.config.track import TrackConfig
from vhap.util.errors import InputError


@dataclass(frozen=True)
class Known:
    """An option of a command. hint: its type; default: MISSING where there is none."""

    hint: Any
    default: Any

    @property
    def plain(self) -> Any:
        return typing.get_args(self.hint)[0] if typing.get_origin(self.hint) is Annotated else self.hint

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off, or None as well."""
        return self.plain is bool or {*typing.get_args(self.plain)} == {bool, type(None)}


@dataclass
class Word:
    """An option as typed, with its values. name: dotted, with underscores; negative: its no- form."""

    typed: str
    name: str = ""
    negative: bool = False
    values: list[str] = field(default_factory=list)

    def as_typed(self) -> str:
        return " ".join([self.typed, *self.values])


def translated(words: Sequence[str], kind: type) -> tuple[list[str], list[str]]:
    """The command line in this program's words, and a line for each option that was changed or dropped.

    kind: the command's config; InputError where an option has an empty value.
    """
    known = dict(options_of(kind))
    result: list[str] = []
    # By option, so that each is named once: of values that stand there twice the last counts.
    lines: dict[str, str] = {}
    for word in _grouped(words, known):
        if "" in word.values:
            raise InputError(f"expected a value for {word.typed}, found an empty one; give one or leave the option out")
        for rule in (_dropped, _flag, _without_landmarks, _none, _other_value):
            found = rule(word, known, kind)
            if found is None:
                continue
            replacement, line = found
            result += replacement
            if line:
                lines[word.name] = line
            break
        else:
            result += [word.typed, *word.values]
    return result, [*lines.values()]


def options_of(kind: Any, prefix: str = "") -> Iterator[tuple[str, Known]]:
    """Dotted names and types of a config's options."""
    if not dataclasses.is_dataclass(kind):
        return
    hints = hints_of(typing.cast(type, kind))
    for option in dataclasses.fields(kind):
        name, hint = f"{prefix}{option.name}", hints[option.name]
        if dataclasses.is_dataclass(hint):
            yield from options_of(hint, f"{name}.")
        else:
            yield name, Known(hint, default_of(option))


def _grouped(words: Sequence[str], known: dict[str, Known]) -> Iterator[Word]:
    """Options with the values that follow them; what stands before the first option, as values of an empty one."""
    current: Word | None = None
    for text in words:
        if current is None or re.match(r"--|-[A-Za-z]", text):
            if current is not None:
                yield current
            option, sign, value = text.partition("=")
            name, negative = _name(option, known)
            current = Word(option, name, negative, [value] if sign else [])
        else:
            current.values.append(text)
    if current is not None:
        yield current


def _name(option: str, known: dict[str, Known]) -> tuple[str, bool]:
    """--data.no-use-alpha-map and --no-data.use_alpha_map are data.use_alpha_map, negative."""
    name = re.sub("^--", "", option).replace("-", "_")
    if name in known:
        return name, False
    for positive in (re.sub(r"(^|\.)no_(?=[^.]*$)", r"\1", name), re.sub("^no_", "", name)):
        if positive != name and (positive in known or positive in REMOVED or positive in ELSEWHERE):
            return positive, True
    return name, False


Found = tuple[list[str], str | None] | None


def _dropped(word: Word, known: dict[str, Known], kind: type) -> Found:
    if word.name in known or not is_tracking(kind) or word.name not in REMOVED | ELSEWHERE:
        return None
    return [], line_of_removed(word.as_typed(), word.name)


def is_tracking(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, TrackConfig)


def _flag(word: Word, known: dict[str, Known], kind: type) -> Found:
    """--model.use_static_offset False, and --no-model.use_static_offset, as --model.no_use_static_offset. Older tools
    also write true and 1. A switch that may be None takes its value as a word."""
    option = known.get(word.name)
    if option is None or not option.is_switch or word.name == "data.use_landmark":
        return None
    words = {"true": True, "1": True, "false": False, "0": False}
    on = words.get(" ".join(word.values).lower(), None if word.values else True)
    if on is None:
        return None
    return _switch(word.name, on != word.negative, option.plain is not bool), None


def _switch(name: str, on: bool, by_word: bool) -> list[str]:
    group, dot, last = name.rpartition(".")
    return [f"--{name}", str(on)] if by_word else [f"--{group}{dot}{last if on else f'no_{last}'}"]


def _without_landmarks(word: Word, known: dict[str, Known], kind: type) -> Found:
    """Tracking starts from landmarks; without them they weigh nothing once pictures are looked at."""
    if word.name != "data.use_landmark" or "w.landmark" not in known:
        return None
    if word.values not in ([], ["True"], ["False"]):
        return None
    if (word.values != ["False"]) != word.negative:
        return ["--data.use_landmark"], None
    return ["--w.landmark", "0"], (
        f"{word.as_typed()} is taken as --w.landmark 0: tracking starts from landmarks, "
        "which then weigh nothing in the stages that see pictures"
    )


def _none(word: Word, known: dict[str, Known], kind: type) -> Found:
    option = known.get(word.name)
    if option is None or word.values != ["None"] or word.negative or option.default is MISSING:
        return None
    hint = option.plain
    if type(None) in typing.get_args(hint) or hint is str:
        return None
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[-1] is Ellipsis:
        return [word.typed], f"{word.as_typed()} is taken as none of them"
    means = next((value for pattern, value in NONE_MEANS.items() if fnmatchcase(word.name, pattern)), None)
    if "none" in typing.get_args(hint):
        means = "none"
    if means is None:
        return [], f"{word.as_typed()} is taken as the default, {option.default}"
    return [word.typed, means], f"{word.as_typed()} is taken as {word.typed} {means}"


def _other_value(word: Word, known: dict[str, Known], kind: type) -> Found:
    if word.name not in known or len(word.values) != 1:
        return None
    value, reason = VALUE_MEANS.get((word.name, word.values[0]), (None, ""))
    if (word.name, word.values) == ("render.backend", ["nvdiffrast"]) and not importlib.util.find_spec("nvdiffrast"):
        value, reason = "auto", "nvdiffrast is not installed"
    if value is None:
        return None
    return [word.typed, value], f"{word.as_typed()} is taken as {word.typed} {value}: {reason}"
