"""The value of a pickle as plain arrays, numbers, texts, lists and dictionaries; chumpy's and scipy's objects become
the arrays that they stand for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vhap.head.pickle_machine import Budget, Name, PickleMachine, RefusedName, Unreadable
from vhap.head.pickle_values import ADMITTED, Array, Dtype, Instance, Storage, instance_name

MAX_DEPTH = 16
MAX_DENSE = 1 << 24
"""Numbers of a sparse matrix that is written out; FLAME's regressor has 25 thousand."""
SPARE = 1 << 16
AMPLIFICATION = 8
"""What may be made of a file: this many times its bytes. Bytes that are text first, then bytes, then an array in a
tensor's storage take five."""

CHUMPY, SELECTION = instance_name("chumpy.ch.Ch"), instance_name("chumpy.reordering.Select")
COLUMNS, ROWS = instance_name("scipy.sparse.csc_matrix"), instance_name("scipy.sparse.csr_matrix")
_CHUMPY = {"Ch": CHUMPY, "Select": SELECTION}
_SPARSE = {"csc_matrix": COLUMNS, "csc_array": COLUMNS, "csr_matrix": ROWS, "csr_array": ROWS}


def plain_pickle(data: bytes) -> Any:
    """What the first pickle in `data` holds. Raises Unreadable, RefusedName, or a ValueError of damaged values."""
    budget = Budget(AMPLIFICATION * len(data) + SPARE)
    return _Plain(len(data) + SPARE).of(PickleMachine(data, _find, budget).run(), 0)[0]


def _find(module: str, name: str) -> Name:
    """chumpy and scipy moved these classes between their modules; ours stand for them wherever they lay."""
    found = ADMITTED.get((module, name))
    if found is None and module.partition(".")[0] == "chumpy":
        found = _CHUMPY.get(name)
    if found is None and module.startswith("scipy.sparse"):
        found = _SPARSE.get(name)
    if found is None:
        raise RefusedName(f"{module}.{name}")
    return found


class _Plain:
    """Converts values, each distinct one once. A list that stands in many lists is counted wherever it stands, since
    whoever makes an array of them writes it out so often."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[int, tuple[Any, int, int] | None] = {}

    def of(self, value: Any, depth: int) -> tuple[Any, int, int]:
        """The plain value, the number of values in it, and the levels below it."""
        if isinstance(value, Array) and value.values is not None:
            return value.values, 1, 0
        if isinstance(value, (Name, Dtype)):
            return value.text if isinstance(value, Name) else value.order + value.code, 1, 0
        if isinstance(value, Storage):
            return value.values, 1, 0
        if not isinstance(value, (list, tuple, dict, set, Array, Instance)):
            return value, 1, 0
        if id(value) in self._known:
            known = self._known[id(value)]
            if known is None:
                raise Unreadable("a value that contains itself")
            _check_depth(depth + known[2])
            return known
        _check_depth(depth)
        self._known[id(value)] = None
        made = self._container(value, depth)
        if made[1] > self._most:
            raise Unreadable("lists many times as large as the file")
        self._known[id(value)] = made
        return made

    def _container(self, value: Any, depth: int) -> tuple[Any, int, int]:
        if isinstance(value, set):
            return set(value), 1 + len(value), 0
        if isinstance(value, Instance):
            wanted = FIELDS[value.name.text]
            parts = {key: value.state[key] for key in wanted if key in value.state}
            plain, count, levels = self._container(parts, depth)
            return _array_of_instance(value.name, plain), count, levels
        keys, items = (list(value), list(value.values())) if isinstance(value, dict) else ([], value)
        items = value.items if isinstance(value, Array) else items
        if items is None:
            raise Unreadable("an array without its content")
        made = [self.of(item, depth + 1) for item in items]
        plain = [item for item, _, _ in made]
        count, levels = 1 + sum(n for _, n, _ in made), 1 + max((below for _, _, below in made), default=0)
        if isinstance(value, dict):
            return dict(zip(keys, plain)), count, levels
        if isinstance(value, Array):
            return _objects(plain, value.shape), count, levels
        return (tuple(plain) if isinstance(value, tuple) else plain), count, levels


FIELDS = {
    CHUMPY.text: ("x",),
    SELECTION.text: ("a", "idxs", "preferred_shape"),
    COLUMNS.text: ("_shape", "shape", "data", "indices", "indptr"),
    ROWS.text: ("_shape", "shape", "data", "indices", "indptr"),
}
"""What is read of an object's state."""


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unreadable(f"values nested deeper than {MAX_DEPTH} levels")


def _objects(items: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    made = np.empty(len(items), object)
    for index, item in enumerate(items):
        made[index] = item
    return made.reshape(shape)


def _array_of_instance(name: Name, state: dict[str, Any]) -> np.ndarray:
    if name is CHUMPY:
        return number_array(state.get("x"))
    if name is SELECTION:
        return _selection(state)
    return _dense(state, name is COLUMNS)


def number_array(value: Any) -> np.ndarray:
    """Numbers or truth values, of an array or of lists. Raises Unreadable."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unreadable(f"no array ({error})") from error
    if array.dtype.kind not in "biuf":
        raise Unreadable(f"an array of {array.dtype} in place of numbers")
    return array


def _indices(value: Any, most: int) -> np.ndarray:
    ids = number_array(value).reshape(-1)
    if ids.dtype.kind not in "iu" or (len(ids) and not 0 <= ids.min() <= ids.max() < most):
        raise Unreadable(f"other indices than whole numbers below {most}")
    return ids.astype(np.int64)


def _selection(state: dict[str, Any]) -> np.ndarray:
    """chumpy's Select: entries of another array, in a shape of their own."""
    values = number_array(state.get("a")).reshape(-1)
    chosen = values[_indices(state.get("idxs"), len(values))]
    shape = state.get("preferred_shape")
    if shape is None:
        return chosen
    sizes = _indices(shape, 1 << 40).tolist()
    if math.prod(sizes) != len(chosen):
        raise Unreadable(f"{len(chosen)} numbers for an array of shape {sizes}")
    return chosen.reshape(sizes)


def _dense(state: dict[str, Any], by_columns: bool) -> np.ndarray:
    shape = state.get("_shape", state.get("shape"))
    if not isinstance(shape, tuple) or len(shape) != 2 or any(type(side) is not int or side < 0 for side in shape):
        raise Unreadable("a sparse matrix without its shape")
    if shape[0] * shape[1] > MAX_DENSE:
        raise Unreadable(f"a sparse matrix of {shape[0]} x {shape[1]} numbers")
    major, minor = shape[::-1] if by_columns else shape
    data = number_array(state.get("data")).reshape(-1)
    across, starts = _indices(state.get("indices"), minor), _indices(state.get("indptr"), len(data) + 1)
    counts = np.diff(starts)
    if len(starts) != major + 1 or (counts < 0).any() or starts[0] != 0 or not starts[-1] == len(data) == len(across):
        raise Unreadable("a sparse matrix whose parts do not fit together")
    dense = np.zeros((major, minor), data.dtype)
    np.add.at(dense, (np.repeat(np.arange(major), counts), across), data)
    return dense.T if by_columns else dense
