"""Pickles that hold arrays of bytes, text, numbers, lists, tuples and dictionaries: nothing else.

A pickle is a program for a small machine, which may call any function that it names. The machine of
this module is not that of Python's module pickle. It knows the few instructions that the values
above need, calls no function that a pickle names, and imports nothing: the names of NumPy's arrays
stand for classes of this module. Everything else is refused by its name, before it is done.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class PickleError(ValueError):
    """A pickle is damaged, or holds something else than what is admitted."""


def unpickle(content: bytes) -> Any:
    """Return the value that a pickle holds, of any protocol, as Python 2 or Python 3 wrote it.

    Texts of Python 2, which are bytes, are texts in Latin-1. Arrays cannot be written to.

    Raises:
        PickleError: the content is no whole pickle, or holds anything else than arrays of uint8,
            bytes, text, numbers, truth values, None, lists, tuples and dictionaries.
    """
    machine = _Machine(len(content))
    try:
        for instruction, argument, _ in pickletools.genops(content):
            machine.do(instruction.name, argument)
        return machine.result()
    except PickleError:
        raise
    except Exception as error:  # A damaged pickle makes its readers raise errors of any type.
        raise PickleError(f"damaged or cut: {str(error) or type(error).__name__}") from error


class _Named:
    """What a name in a pickle stands for: it is called with values, and nothing else is done."""

    def __init__(self, name: str, call: Callable[..., Any] | None) -> None:
        self.name, self.call = name, call


class _Type:
    """The type of an array, ``numpy.dtype``, which is uint8."""

    def __init__(self, name: object, *_flags: object) -> None:
        if name not in ("u1", "|u1", "uint8"):
            raise PickleError(f"it holds an array of type {name!r}, and uint8 alone is read")


class _Array:
    """An array that is filled in by a later instruction."""

    def __init__(self, *_arguments: object) -> None:
        self.values: Bytes | None = None

    def fill(self, _version: object, shape: Any, dtype: object, fortran: object, raw: Any) -> None:
        """Take the state of an array, as NumPy writes it."""
        self.values = _array_of(raw, dtype, shape, "F" if fortran else "C")


def _array_of(raw: Any, dtype: object, shape: Any, order: Any) -> Bytes:
    """Return an array, also as NumPy writes it in protocol 5: bytes, type, shape and order."""
    if not isinstance(dtype, _Type) or not isinstance(raw, str | bytes | bytearray):
        raise PickleError("it holds an array of objects, and uint8 alone is read")
    content = raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)
    return np.frombuffer(content, np.uint8).reshape(shape, order=order)


class _Machine:
    """The stack and the memory of a pickle, and what its instructions do to them."""

    def __init__(self, size: int) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}
        self._copied = size  # So many bytes may be copied out of its values, each once.

    def do(self, name: str, argument: Any) -> None:
        """Carry out an instruction of `pickletools.opcodes`."""
        if name in _PUSHED:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _IGNORED:
            raise PickleError(f"it holds the instruction {name}, and values alone are read")

    def result(self) -> Any:
        """Return what is left at the end.

        Raises:
            PickleError: nothing, or more than one value.
        """
        (value,) = map(_finished, self._stack)
        _check_whole(value)
        return value

    def pop(self) -> Any:
        """Return the uppermost value, with an array in place of what was filled in to be one."""
        if self._marks and self._marks[-1] >= len(self._stack):
            raise PickleError("damaged: a value is missing")
        return _finished(self._stack.pop())

    def pop_all(self) -> list[Any]:
        """Return the values above the last mark."""
        mark = self._marks.pop()
        values = [_finished(value) for value in self._stack[mark:]]
        del self._stack[mark:]
        return values

    def mark(self, _argument: Any) -> None:
        self._marks.append(len(self._stack))

    def put(self, index: Any) -> None:
        self._memory[int(index)] = self._stack[-1]

    def memorise(self, _argument: Any) -> None:
        self._memory[len(self._memory)] = self._stack[-1]

    def get(self, index: Any) -> None:
        self._stack.append(self._memory[int(index)])

    def add_tuple(self, _argument: Any) -> None:
        self._stack.append(tuple(self.pop_all()))

    def add_pair(self, _argument: Any) -> None:
        values = [self.pop(), self.pop()]
        self._stack.append(tuple(reversed(values)))

    def add_single(self, _argument: Any) -> None:
        self._stack.append((self.pop(),))

    def add_triple(self, _argument: Any) -> None:
        values = [self.pop(), self.pop(), self.pop()]
        self._stack.append(tuple(reversed(values)))

    def add_list(self, _argument: Any) -> None:
        self._stack.append(self.pop_all())

    def add_dict(self, _argument: Any) -> None:
        values = self.pop_all()
        self._stack.append({})
        self._set_items(values)

    def append(self, _argument: Any) -> None:
        self._extend([self.pop()])

    def appends(self, _argument: Any) -> None:
        self._extend(self.pop_all())

    def set_item(self, _argument: Any) -> None:
        values = [self.pop(), self.pop()]
        self._set_items([*reversed(values)])

    def set_items(self, _argument: Any) -> None:
        self._set_items(self.pop_all())

    def name(self, argument: Any) -> None:
        """Take a name ``module name``, as protocols before 4 have it."""
        self._stack.append(_named(*argument.split(" ", 1)))

    def stacked_name(self, _argument: Any) -> None:
        name, module = self.pop(), self.pop()
        self._stack.append(_named(module, name))

    def call(self, _argument: Any) -> None:
        """Make a value of one of the classes of this module."""
        arguments, named = self.pop(), self.pop()
        if not isinstance(named, _Named) or named.call is None or not isinstance(arguments, tuple):
            raise PickleError("it calls something that is none of NumPy's arrays")
        if named.call in (_encoded, _array_of):
            self._count(arguments[0])
        self._stack.append(named.call(*arguments))

    def build(self, _argument: Any) -> None:
        """Fill in an array, or pass over what a type says of itself further."""
        state = self.pop()
        value = self._stack[-1]
        if isinstance(value, _Array) and isinstance(state, tuple):
            self._count(state[-1])
            value.fill(*state)
        elif not isinstance(value, _Type):
            raise PickleError(f"it sets what is inside of a value of type {_words(value)}")

    def _count(self, content: Any) -> None:
        """Count the bytes that are copied of a value; of one that is named often there is no end.

        Raises:
            PickleError: they are more than the whole pickle has.
        """
        if isinstance(content, str | bytearray):  # An array of bytes shares them.
            self._copied -= len(content)
        if self._copied < 0:
            raise PickleError("it makes bytes of more text than it holds")

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise PickleError(f"it appends to a value of type {_words(target)}")
        target += values

    def _set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise PickleError(f"it sets items of a value of type {_words(target)}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Tuples inside of tuples may take for ever to hash.
            if not isinstance(key, str | bytes | int | float):
                raise PickleError(f"it has a key of type {_words(key)}")
            target[key] = value


def _finished(value: Any) -> Any:
    return value.values if isinstance(value, _Array) and value.values is not None else value


def _check_whole(whole: Any) -> None:
    """Refuse a value in which anything stands that is only a means to make values."""
    seen: set[int] = set()
    parts = [whole]
    while parts:
        part = parts.pop()
        if isinstance(part, list | tuple | dict):
            if id(part) not in seen:
                seen.add(id(part))
                parts += part.values() if isinstance(part, dict) else part
        elif isinstance(part, _Named | _Type | _Array):
            raise PickleError(f"it holds {_words(part)} as a value")


def _words(value: Any) -> str:
    return value.name if isinstance(value, _Named) else type(value).__name__.strip("_").lower()


def _encoded(text: Any, encoding: Any) -> bytes:
    """Return bytes as Python 3 writes them into a pickle that Python 2 shall read."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleError("it encodes something else than bytes")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


_NAMES: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("_codecs", "encode"): _encoded,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _Type,
}
_NAMES |= {
    (f"numpy.{core}.{module}", name): call
    for core in ("core", "_core")
    for module, name, call in (
        ("multiarray", "_reconstruct", _Array),
        ("numeric", "_frombuffer", _array_of),
    )
}


def _named(module: object, name: object) -> _Named:
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _NAMES:
        raise PickleError(f"it names {module}.{name}, which is not admitted")
    return _Named(f"{module}.{name}", _NAMES[module, name])


# Instructions by what they do, as `pickletools` calls them. Those that are not listed here make
# objects, lead to objects outside of the pickle, or are never written.
_PUSHED = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
     "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
     "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
)  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_IGNORED = frozenset(("PROTO", "FRAME", "STOP"))
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memorise,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.add_tuple,
    "TUPLE1": _Machine.add_single,
    "TUPLE2": _Machine.add_pair,
    "TUPLE3": _Machine.add_triple,
    "LIST": _Machine.add_list,
    "DICT": _Machine.add_dict,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
