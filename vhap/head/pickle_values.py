"""Arrays as pickles hold them, rebuilt by our own code: numpy's, scipy's sparse, chumpy's and torch's.

No object of those libraries is made from what a file says: numpy.dtype with a state of its own corrupts memory, an
ndarray takes any shape. Here an array comes from bytes that are there, one of a few plain dtypes and a shape that
fits them exactly.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vhap.head.pickle_machine import Budget, Made, Name, PickleMachine, RefusedName, Unreadable, plain_key
from vhap.util.errors import shown

PLAIN_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,5}")
MAX_AXES = 8
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@dataclass
class Dtype(Made):
    """A plain dtype: its kind and size, O for objects, and its byte order."""

    code: str
    order: str = "<"

    def numpy(self) -> np.dtype:
        if not PLAIN_DTYPE.fullmatch(self.code):
            raise Unreadable(f"an array of dtype {shown(self.code)}")
        return np.dtype(self.order + self.code)


@dataclass
class Array(Made):
    """An array that waits for its state; of objects: `items` beside the shape."""

    values: np.ndarray | None = None
    items: list[Any] | None = None
    shape: tuple[int, ...] = ()


@dataclass
class Instance(Made):
    """An object whose arrays lie in its state."""

    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    values: np.ndarray


def array_of(data: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """The array of a shape in exactly these bytes, in native byte order. order: C or F. Raises Unreadable."""
    if len(shape) > MAX_AXES or any(type(size) is not int or not 0 <= size < 1 << 40 for size in shape):
        raise Unreadable("an array of impossible shape")
    if dtype.itemsize * math.prod(shape) != len(data):
        raise Unreadable(f"{len(data)} bytes for an array of shape {shape} and dtype {dtype}")
    if not data:
        return np.zeros(shape, dtype)
    values = np.frombuffer(data, np.uint8)
    if dtype.kind == "b":
        return (values != 0).reshape(shape, order=_order(order))
    typed = values.view(dtype)
    if dtype.kind == "U" and (typed.view(dtype.byteorder.replace("|", "=") + "u4") > 0x10FFFF).any():
        raise Unreadable("an array of damaged text")
    return typed.astype(dtype.newbyteorder("=")).reshape(shape, order=_order(order))


def _order(order: str) -> Any:
    if order not in ("C", "F"):
        raise Unreadable("an array in an unknown order")
    return order


def _bytes_of(value: Any) -> bytes:
    """Bytes, or a Python 2 string of them."""
    if isinstance(value, str):
        return value.encode("latin1")
    if not isinstance(value, bytes):
        raise Unreadable(f"a {type(value).__name__} in place of bytes")
    return value


def _text_of(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else _checked(value, str)


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Unreadable(f"a {type(value).__name__} in place of {kind.__name__}")
    return value


def _counted(arguments: tuple[Any, ...], least: int, most: int) -> tuple[Any, ...]:
    """The arguments, filled up with None."""
    if not least <= len(arguments) <= most:
        raise Unreadable(f"a call with {len(arguments)} arguments")
    return arguments + (None,) * (most - len(arguments))


def _make_dtype(arguments: tuple[Any, ...], budget: Budget) -> Dtype:
    code, *_ = _counted(arguments, 1, 3)
    code = _text_of(code)
    if code in ("O8", "O4", "O"):
        return Dtype(DTYPE, "O")
    order = code[:1] if code[:1] in ("<", ">", "|", "=") else "<"
    made = Dtype(DTYPE, code.lstrip("<>|="), order)
    made.numpy()
    return made


def _fill_dtype(made: Any, state: Any, budget: Budget) -> None:
    """(version, byte order, sub-array, names, fields, size, alignment, flags): the dtype's code has the size."""
    if len(_checked(state, tuple)) < 5 or state[2:5] != (None, None, None):
        raise Unreadable("a structured dtype")
    order = _text_of(state[1])
    if order not in ("<", ">", "|", "="):
        raise Unreadable("a dtype of unknown byte order")
    made.order = order


def _make_array(arguments: tuple[Any, ...], budget: Budget) -> Array:
    """numpy's _reconstruct: an empty array, whose content comes in its state."""
    kind, shape, _ = _counted(arguments, 1, 3)
    if not isinstance(kind, Name) or kind.text not in ARRAY_KINDS or (shape is not None and shape != (0,)):
        raise Unreadable("an array of another kind")
    return Array(RECONSTRUCT)


def _fill_array(made: Any, state: Any, budget: Budget) -> None:
    """(version, shape, dtype, is Fortran, data); before version 1 without its number."""
    if len(_checked(state, tuple)) not in (4, 5):
        raise Unreadable("the state of no array")
    shape, dtype, is_fortran, data = state[-4:]
    shape = (shape,) if isinstance(shape, int) else _checked(shape, tuple)
    order = "F" if is_fortran else "C"
    if _checked(dtype, Dtype).code != "O":
        data = _bytes_of(data)
        budget.spend(len(data))
        made.values = array_of(data, dtype.numpy(), shape, order)
        return
    if len(_checked(data, list)) != math.prod(_checked(size, int) for size in shape) or len(shape) > MAX_AXES:
        raise Unreadable("an array of objects without them")
    if len(shape) > 1 and order == "F":
        raise Unreadable("an array of objects in Fortran order")
    made.items, made.shape = data, shape


def _make_scalar(arguments: tuple[Any, ...], budget: Budget) -> Any:
    dtype, data = _counted(arguments, 2, 2)
    return array_of(_bytes_of(data), _checked(dtype, Dtype).numpy(), (), "C")[()]


def _make_from_buffer(arguments: tuple[Any, ...], budget: Budget) -> Array:
    """Protocol 5; order K of numpy 2 names the axes that a transposed array has."""
    data, dtype, shape, order, axes = _counted(arguments, 4, 5)
    data = _bytes_of(data)
    budget.spend(len(data))
    by_axes = order == "K" and axes is not None
    values = array_of(data, _checked(dtype, Dtype).numpy(), _checked(shape, tuple), "C" if by_axes else order)
    if by_axes:
        axes = tuple(_checked(axis, int) for axis in _checked(axes, tuple))
        if sorted(axes) != list(range(values.ndim)):
            raise Unreadable("axes that are none of the array's")
        values = values.transpose(axes)
    return Array(FROM_BUFFER, values)


def _make_encoded(arguments: tuple[Any, ...], budget: Budget) -> bytes:
    """Bytes as protocols 0 to 2 of Python 3 write them: a text, and latin1 to encode it by."""
    text, encoding = _counted(arguments, 0, 2)
    if text is None:
        return b""
    if isinstance(text, bytes) and encoding is None:
        return text
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Unreadable("bytes in another encoding than latin1")
    budget.spend(len(text))
    return text.encode("latin1")


def _make_set(arguments: tuple[Any, ...], budget: Budget) -> set[Any]:
    (items,) = _counted(arguments, 0, 1)
    items = [] if items is None else items
    if not isinstance(items, (list, tuple, set)):
        raise Unreadable("a set of something else than a list")
    budget.spend(len(items))
    return {plain_key(item) for item in items}


def _make_ordered(arguments: tuple[Any, ...], budget: Budget) -> dict[Any, Any]:
    (items,) = _counted(arguments, 0, 1)
    budget.spend(len(_checked([] if items is None else items, list)))
    made = {}
    for item in items or []:
        if not isinstance(item, (list, tuple)) or len(item) != 2:
            raise Unreadable("a dictionary of other things than pairs")
        made[plain_key(item[0])] = item[1]
    return made


def instance_name(text: str) -> Name:
    """The name of a class whose objects are made without arguments and then get a state, a dictionary."""

    def make(arguments: tuple[Any, ...], budget: Budget) -> Instance:
        _counted(arguments, 0, 0)
        return Instance(name)

    name = Name(text, make, _fill_instance)
    return name


def _make_old_instance(arguments: tuple[Any, ...], budget: Budget) -> Any:
    """copy_reg's _reconstructor (protocols 0 and 1): a class, the base `object` and None."""
    kind, base, state = _counted(arguments, 3, 3)
    if not isinstance(kind, Name) or kind.make is None or base is not OBJECT or state is not None:
        raise Unreadable("an object of another kind")
    return kind.make((), budget)


def _make_new_instance(arguments: tuple[Any, ...], budget: Budget) -> Any:
    if len(arguments) != 1 or not isinstance(arguments[0], Name) or arguments[0].make is None:
        raise Unreadable("an object of another kind")
    return arguments[0].make((), budget)


def _fill_instance(made: Any, state: Any, budget: Budget) -> None:
    state = state[0] if isinstance(state, tuple) and len(state) == 2 else state
    made.state = _checked(state, dict)


def _make_storage(arguments: tuple[Any, ...], budget: Budget) -> Storage:
    """What torch.save wrote of one storage before it wrote zip files: five parts, four of them pickles."""
    (data,) = _counted(arguments, 1, 1)
    data = _bytes_of(data)
    budget.spend(len(data))
    described: list[tuple[str, int]] = []

    def describe(key: Any) -> Any:
        if len(_checked(key, tuple)) < 5 or key[0] != "storage" or not isinstance(key[1], Name):
            raise Unreadable("a tensor of another kind")
        described.append((key[1].text, _checked(key[4], int)))
        return described

    machine = PickleMachine(data, _storage_name, budget, describe)
    if machine.run() != TORCH_MAGIC or machine.run() != TORCH_PROTOCOL:
        raise Unreadable("a tensor of another format")
    if _checked(machine.run(), dict).get("little_endian") is not True:
        raise Unreadable("a tensor of a big-endian machine")
    if machine.run() is not described or len(described) != 1:
        raise Unreadable("a tensor of another kind")
    machine.run()
    kind, count = described[0]
    dtype = np.dtype(STORAGES[kind.removeprefix("torch.")])
    if struct.unpack("<q", machine.take(8))[0] != count or count < 0:
        raise Unreadable("a tensor of another size")
    return Storage(array_of(machine.take(count * dtype.itemsize), dtype, (count,), "C"))


def _storage_name(module: str, name: str) -> Name:
    if module != "torch" or name not in STORAGES:
        raise RefusedName(f"{module}.{name}")
    return Name(f"torch.{name}")


def _make_tensor(arguments: tuple[Any, ...], budget: Budget) -> Array:
    """A view of a storage; entries that share memory are written out, and charged."""
    storage, offset, shape, strides, *_ = _counted(arguments, 4, 7)
    values = _checked(storage, Storage).values
    shape = tuple(_checked(size, int) for size in _checked(shape, tuple))
    strides = tuple(_checked(stride, int) for stride in _checked(strides, tuple))
    if len(shape) != len(strides) or len(shape) > MAX_AXES or min((0, *shape, *strides, _checked(offset, int))) < 0:
        raise Unreadable("a tensor of impossible shape")
    budget.spend(math.prod(shape) * values.itemsize)
    if 0 in shape:
        return Array(TENSOR, np.zeros(shape, values.dtype))
    if offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) >= len(values):
        raise Unreadable("a tensor that is larger than its storage")
    steps = [stride * values.itemsize for stride in strides]
    return Array(TENSOR, np.lib.stride_tricks.as_strided(values[offset:], shape, steps).copy())


OBJECT, NDARRAY = Name("object"), Name("numpy.ndarray")
DTYPE = Name("numpy.dtype", _make_dtype, _fill_dtype)
RECONSTRUCT = Name("_reconstruct", _make_array, _fill_array)
FROM_BUFFER, TENSOR = Name("_frombuffer", _make_from_buffer), Name("_rebuild_tensor_v2", _make_tensor)
ARRAY_KINDS = ("numpy.ndarray", "numpy.matrix", "numpy.memmap")
_SETS, _BYTES = Name("set", _make_set), Name("bytes", _make_encoded)
_ORDERED = Name("OrderedDict", _make_ordered)
_BUILTINS = {"object": OBJECT, "set": _SETS, "frozenset": _SETS, "bytes": _BYTES, "bytearray": _BYTES}
_COPIES = {"_reconstructor": Name("_reconstructor", _make_old_instance), "__newobj__": Name("n", _make_new_instance)}

ADMITTED: dict[tuple[str, str], Name] = {
    **{(module, name): made for module in ("builtins", "__builtin__") for name, made in _BUILTINS.items()},
    **{(module, name): made for module in ("copyreg", "copy_reg") for name, made in _COPIES.items()},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): Name("scalar", _make_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): FROM_BUFFER for core in ("core", "_core")},
    **{(f"numpy.{core}.memmap", "memmap"): Name("numpy.memmap") for core in ("core", "_core")},
    ("numpy", "dtype"): DTYPE,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "memmap"): Name("numpy.memmap"),
    ("numpy", "matrix"): Name("numpy.matrix"),
    ("numpy.matrixlib.defmatrix", "matrix"): Name("numpy.matrix"),
    ("_codecs", "encode"): _BYTES,
    ("collections", "OrderedDict"): _ORDERED,
    ("torch._utils", "_rebuild_tensor_v2"): TENSOR,
    ("torch._utils", "_rebuild_tensor"): TENSOR,
    ("torch.storage", "_load_from_bytes"): Name("_load_from_bytes", _make_storage),
}
