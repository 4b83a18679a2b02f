"""Where the tensors of a network's program lie among a picture's floats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vhap.detect.networks.kernel_layout import FIELDS, LANES, Field, Step
from vhap.detect.networks.tflite_file import Graph, Operator

Shape = tuple[int, int, int]
"""Rows, columns and channels of a picture's tensor."""


@dataclass(frozen=True)
class Place:
    """A tensor among a picture's floats: where it begins, its pixels, floats from one to the next, and its shape."""

    start: int
    pixels: int
    pitch: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """steps: (S, fields) of `kernel_layout.Field`. weights: (W,) float32. floats: of each picture. left: operators
    for torch, after the program. places: of the input, and of tensors that are read by those or are the network's
    outputs."""

    steps: np.ndarray
    weights: np.ndarray
    floats: int
    source: Place
    places: Mapping[int, Place]
    left: tuple[Operator, ...]


@dataclass
class Draft:
    """A step whose tensors have no places yet. fields: by name, without those."""

    kind: str
    source: int
    rest: int | None
    target: int
    shape: Shape
    fields: dict[str, int] = field(default_factory=dict)


def placed(
    graph: Graph,
    drafts: Sequence[Draft],
    shapes: Mapping[int, Shape],
    flat: Mapping[int, int],
    weights: np.ndarray,
    left: Sequence[Operator],
) -> Program:
    """Places for all tensors, each where an earlier one has ended.

    shapes: of all tensors of the drafts and the input. flat: tensors of another shape -> the tensor with their floats.
    """
    (source,) = graph.inputs
    kept = {number for operator in left for number in operator.inputs} | set(graph.outputs)
    kept_made = {flat.get(number, number) for number in kept}
    ends = {number: index for index, draft in enumerate(drafts) for number in (draft.source, draft.rest)}
    memory = _Memory()
    pitch = {number: whole(shape[2]) for number, shape in shapes.items()} | {source: shapes[source][2]}
    for draft in drafts:
        # A copy of the input with borders has pixels as the input.
        if draft.kind == "BORDER" and draft.target < 0:
            pitch[draft.target] = pitch[draft.source]
        # What no step reads is not filled up.
        if draft.kind == "SPREAD" and draft.target not in ends:
            pitch[draft.target] = draft.shape[2]
    starts = {source: memory.take(math.prod(shapes[source]))}
    steps = np.zeros((len(drafts), FIELDS), np.int32)
    for index, draft in enumerate(drafts):
        starts[draft.target] = memory.take(draft.shape[0] * draft.shape[1] * pitch[draft.target])
        rows, columns, channels = shapes[draft.source]
        values = {
            "STEP": Step[draft.kind], "SOURCE": starts[draft.source], "TARGET": starts[draft.target],
            "REST": -1 if draft.rest is None else starts[draft.rest],
            "ROWS": draft.shape[0], "COLUMNS": draft.shape[1], "CHANNELS": pitch[draft.target],
            "REST_CHANNELS": 0 if draft.rest is None else pitch[draft.rest], "SOURCE_ROWS": rows,
            "SOURCE_COLUMNS": columns, "SOURCE_CHANNELS": channels, "SOURCE_PITCH": pitch[draft.source],
            **draft.fields,
        }  # fmt: skip
        for name, value in values.items():
            steps[index, Field[name]] = value
        for number in {draft.source, draft.rest} - {None}:
            if ends[number] == index and number not in kept_made:
                memory.give(starts[number])
    places = {
        number: Place(starts[made], math.prod(shapes[made][:2]), pitch[made], graph.shapes[number])
        for number in kept
        if (made := flat.get(number, number)) in starts
    }
    entry = Place(starts[source], math.prod(shapes[source][:2]), pitch[source], graph.shapes[source])
    return Program(steps, weights, memory.size, entry, places, tuple(left))


class _Memory:
    """Floats that are taken and given back, in whole vectors."""

    def __init__(self) -> None:
        self.size = 0
        self._taken: dict[int, int] = {}

    def take(self, count: int) -> int:
        count, start = whole(count), 0
        for first, length in sorted(self._taken.items()):
            if first - start >= count:
                break
            start = first + length
        self._taken[start] = count
        self.size = max(self.size, start + count)
        return start

    def give(self, start: int) -> None:
        del self._taken[start]


def whole(count: int) -> int:
    """As many floats in whole vectors."""
    return -(-count // LANES) * LANES
