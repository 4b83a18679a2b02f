"""Reads the opcodes of pickles, protocols 0 to 5, in our own code: Python's unpickler is never started.

What a pickle names is looked up in a table of our own functions, so that none of another module's is ever called.
Memory and time are bounded by the length of the file: lengths are checked against the bytes that are there, and
whatever is made from bytes that were read already is charged to a budget.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_PROTOCOL = 5
MAX_INTEGER_BYTES = 64
MAX_LINE = 1 << 16
_MARK = object()


class Unreadable(ValueError):
    """What was found instead of a pickle of arrays."""


class RefusedName(ValueError):
    """A name that is not in the table, as module.name."""


@dataclass
class Budget:
    """Bytes or items that may still be made."""

    left: int

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise Unreadable("a content many times as large as the file")


@dataclass(frozen=True)
class Name:
    """An admitted name: `make` gets the arguments of a call, `fill` the made value and the state that follows."""

    text: str
    make: Callable[[tuple[Any, ...], Budget], Any] | None = None
    fill: Callable[[Any, Any, Budget], None] | None = None


@dataclass
class Made:
    """Base of the values that a name makes and that a state may follow."""

    name: Name


class PickleMachine:
    """One pickle in `data` from `position` on, which `run` moves behind its end.

    find: module, name -> Name; raises RefusedName. persistent: what a persistent id means; None refuses them.
    """

    def __init__(
        self,
        data: bytes,
        find: Callable[[str, str], Name],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.data, self.position = data, 0
        self._find, self._budget, self._persistent = find, budget, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The pickle's value. Raises Unreadable or RefusedName, and ValueErrors of damaged numbers and texts."""
        self._stack, self._memo = [], {}
        while (code := self.take(1)) != pickle.STOP:
            action = _ACTIONS.get(code)
            if action is None:
                raise Unreadable(f"the opcode {code!r}")
            action(self)
        return self.pop()

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise Unreadable("a file that ends too early")
        taken, self.position = self.data[self.position : end], end
        return taken

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise Unreadable("a file that ends too early")
        return self.take(end + 1 - self.position)[:-1]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def integer_line(self) -> int:
        text = self.line()
        if len(text) > MAX_INTEGER_BYTES:
            raise Unreadable("an integer of many digits")
        return int(text.removesuffix(b"L"))

    def text_line(self) -> str:
        text = self.line()
        if len(text) > MAX_LINE:
            raise Unreadable("a name of many characters")
        return text.decode("utf-8")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        value = self.top()
        self._stack.pop()
        return value

    def top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise Unreadable("an opcode without its operand")
        return self._stack[-1]

    def pop_tuple(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def pop_marked(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise Unreadable("an opcode without its mark")

    def pop_or_mark(self) -> None:
        if not self._stack:
            raise Unreadable("an opcode without its operand")
        self._stack.pop()

    def put(self, key: int) -> None:
        self._memo[key] = self.top()

    def memoize(self) -> None:
        self.put(len(self._memo))

    def get(self, key: int) -> None:
        if key not in self._memo:
            raise Unreadable("a reference to nothing")
        self.push(self._memo[key])

    def extend(self, items: list[Any]) -> None:
        _of_type(self.top(), list).extend(items)

    def set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise Unreadable("a key without its value")
        target = _of_type(self.top(), dict)
        for key, value in zip(items[::2], items[1::2]):
            target[plain_key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        _of_type(self.top(), set).update([plain_key(item) for item in items])

    def push_name(self, module: Any, name: Any) -> None:
        self.push(self._find(_of_type(module, str), _of_type(name, str)))

    def push_dict(self, items: list[Any]) -> None:
        self.push({})
        self.set_items(items)

    def push_set(self, items: list[Any]) -> None:
        self.push({plain_key(item) for item in items})

    def call(self, name: Any, arguments: Any) -> None:
        found, values = _of_type(name, Name), _of_type(arguments, tuple)
        if found.make is None:
            raise Unreadable(f"a call of {found.text}")
        self.push(found.make(values, self._budget))

    def build(self) -> None:
        state = self.pop()
        value = self.top()
        if not isinstance(value, Made) or value.name.fill is None:
            raise Unreadable("a state for a value that takes none")
        value.name.fill(value, state, self._budget)

    def push_persistent(self, key: Any) -> None:
        if self._persistent is None:
            raise Unreadable("a persistent id")
        self.push(self._persistent(key))


def plain_key(value: Any) -> Any:
    """A key of a dict or a set. Deeply nested tuples are none: hashing them would exhaust the C stack."""
    if type(value) not in (str, bytes, int, float, bool, type(None)):
        raise Unreadable(f"a {type(value).__name__} as a key")
    return value


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Unreadable(f"a {type(value).__name__} in place of a {kind.__name__}")
    return value


def _string_line(machine: PickleMachine) -> None:
    """A Python 2 string of protocol 0: quoted, bytes escaped."""
    text = machine.line().strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise Unreadable("a string without quotes")
    machine.push(codecs.escape_decode(text[1:-1])[0].decode("latin1"))  # pyright: ignore[reportAttributeAccessIssue]


def _integer_or_bool_line(machine: PickleMachine) -> None:
    """Protocols 0 and 1 write truth values as integers of two digits."""
    if machine.data[machine.position : machine.position + 3] in (b"00\n", b"01\n"):
        machine.push(machine.line() == b"01")
        return
    machine.push(machine.integer_line())


def _long(machine: PickleMachine, layout: str) -> None:
    count = machine.number(layout)
    if not 0 <= count <= MAX_INTEGER_BYTES:
        raise Unreadable("an integer of many bytes")
    machine.push(int.from_bytes(machine.take(count), "little", signed=True))


def _text(machine: PickleMachine, layout: str) -> None:
    machine.push(machine.take(machine.number(layout)).decode("utf-8", "surrogatepass"))


def _python2_string(machine: PickleMachine, layout: str) -> None:
    count = machine.number(layout)
    if count < 0:
        raise Unreadable("a string of negative length")
    machine.push(machine.take(count).decode("latin1"))


def _protocol(machine: PickleMachine) -> None:
    if (protocol := machine.number("<B")) > MAX_PROTOCOL:
        raise Unreadable(f"a pickle of protocol {protocol}")


def _new_object(machine: PickleMachine, keywords: bool) -> None:
    if keywords and machine.pop() != {}:
        raise Unreadable("an object with keywords")
    name, arguments = machine.pop_tuple(2)
    machine.call(name, arguments)


def _global(machine: PickleMachine) -> None:
    module, name = machine.text_line(), machine.text_line()
    machine.push_name(module, name)


def _instance(machine: PickleMachine) -> None:
    _global(machine)
    machine.call(machine.pop(), tuple(machine.pop_marked()))


def _object(machine: PickleMachine) -> None:
    items = machine.pop_marked()
    if not items:
        raise Unreadable("an opcode without its operand")
    machine.call(items[0], tuple(items[1:]))


def _pop_to_mark(machine: PickleMachine) -> None:
    machine.pop_marked()


def _frame(machine: PickleMachine) -> None:
    """The length of what follows, which is there to read ahead."""
    machine.take(8)


def _append(machine: PickleMachine) -> None:
    item = machine.pop()
    machine.extend([item])


_ACTIONS: dict[bytes, Callable[[PickleMachine], None]] = {
    pickle.MARK: lambda m: m.push(_MARK),
    pickle.POP: lambda m: m.pop_or_mark(),
    pickle.POP_MARK: _pop_to_mark,
    pickle.DUP: lambda m: m.push(m.top()),
    pickle.FLOAT: lambda m: m.push(float(m.text_line())),
    pickle.INT: _integer_or_bool_line,
    pickle.BININT: lambda m: m.push(m.number("<i")),
    pickle.BININT1: lambda m: m.push(m.number("<B")),
    pickle.BININT2: lambda m: m.push(m.number("<H")),
    pickle.LONG: lambda m: m.push(m.integer_line()),
    pickle.LONG1: lambda m: _long(m, "<B"),
    pickle.LONG4: lambda m: _long(m, "<i"),
    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.BINFLOAT: lambda m: m.push(m.number(">d")),
    pickle.STRING: _string_line,
    pickle.BINSTRING: lambda m: _python2_string(m, "<i"),
    pickle.SHORT_BINSTRING: lambda m: _python2_string(m, "<B"),
    pickle.UNICODE: lambda m: m.push(m.line().decode("raw-unicode-escape")),
    pickle.BINUNICODE: lambda m: _text(m, "<I"),
    pickle.SHORT_BINUNICODE: lambda m: _text(m, "<B"),
    pickle.BINUNICODE8: lambda m: _text(m, "<Q"),
    pickle.BINBYTES: lambda m: m.push(m.take(m.number("<I"))),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.take(m.number("<B"))),
    pickle.BINBYTES8: lambda m: m.push(m.take(m.number("<Q"))),
    pickle.BYTEARRAY8: lambda m: m.push(m.take(m.number("<Q"))),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.pop_marked())),
    pickle.TUPLE1: lambda m: m.push(m.pop_tuple(1)),
    pickle.TUPLE2: lambda m: m.push(m.pop_tuple(2)),
    pickle.TUPLE3: lambda m: m.push(m.pop_tuple(3)),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.LIST: lambda m: m.push(m.pop_marked()),
    pickle.APPEND: _append,
    pickle.APPENDS: lambda m: m.extend(m.pop_marked()),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.DICT: lambda m: m.push_dict(m.pop_marked()),
    pickle.SETITEM: lambda m: m.set_items(list(m.pop_tuple(2))),
    pickle.SETITEMS: lambda m: m.set_items(m.pop_marked()),
    pickle.EMPTY_SET: lambda m: m.push(set()),
    pickle.ADDITEMS: lambda m: m.add_items(m.pop_marked()),
    pickle.FROZENSET: lambda m: m.push_set(m.pop_marked()),
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: lambda m: m.push_name(*m.pop_tuple(2)),
    pickle.REDUCE: lambda m: m.call(*m.pop_tuple(2)),
    pickle.NEWOBJ: lambda m: _new_object(m, False),
    pickle.NEWOBJ_EX: lambda m: _new_object(m, True),
    pickle.INST: _instance,
    pickle.OBJ: _object,
    pickle.BUILD: lambda m: m.build(),
    pickle.BINPERSID: lambda m: m.push_persistent(m.pop()),
    pickle.PUT: lambda m: m.put(m.integer_line()),
    pickle.BINPUT: lambda m: m.put(m.number("<B")),
    pickle.LONG_BINPUT: lambda m: m.put(m.number("<I")),
    pickle.MEMOIZE: lambda m: m.memoize(),
    pickle.GET: lambda m: m.get(m.integer_line()),
    pickle.BINGET: lambda m: m.get(m.number("<B")),
    pickle.LONG_BINGET: lambda m: m.get(m.number("<I")),
    pickle.PROTO: _protocol,
    pickle.FRAME: _frame,
}
"""Refused: extension codes, persistent ids as lines, buffers outside the file (EXT*, PERSID, *_BUFFER)."""
