"""Pickles: what is admitted, and that nothing of an attack is done."""

from __future__ import annotations

import copyreg
import functools
import io
import os
import pickle
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from makers import pickled_by_python_2

from xprobe.images.containers.unpickle import PickleError, unpickle

PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6)

VALUE = {
    "labels": [0, 255, 65_535, -7, 2**40], "data": PIXELS, "bytes": b"\0\xff", "none": [b"", None],
    "text": "über", "numbers": (1.5, True, False), "empty": ((), {}), "list": [[1], (2, 3)],
}  # fmt: skip


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return list(left) == list(right) and all(map(equal, left.values(), right.values()))
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else left == right


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_that_python_3_wrote(protocol: int) -> None:
    assert equal(unpickle(pickle.dumps(VALUE, protocol)), VALUE)


def test_values_that_python_2_wrote() -> None:
    value = {"labels": [3, 4, 500, -1], "data": PIXELS, "text": "fa\xdfade", "long": "x" * 300}
    read = unpickle(pickled_by_python_2(value))
    assert equal(read, value)
    assert read["data"].dtype == np.uint8
    assert not read["data"].flags.writeable


def test_an_array_in_the_order_of_columns() -> None:
    columns = np.asfortranarray(PIXELS)
    assert b"\x88C" in pickle.dumps(columns, 4)
    assert np.array_equal(unpickle(pickle.dumps(columns, 4)), PIXELS)


class Reduced:
    """Pickled as a call of a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


def as_persistent(value: object) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, inner: object) -> str | None:
            return "elsewhere" if inner == "secret" else None

    stream = io.BytesIO()
    Pickler(stream, 2).dump(value)
    return stream.getvalue()


class Plain:
    """An object with something inside."""

    def __init__(self) -> None:
        self.inside = 1


touch = f"touch {os.devnull}"

ATTACKS = {
    "os.system": (pickle.dumps(Reduced(os.system, (touch,)), 2), "posix.system"),
    "os.system as text": (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
    "eval": (pickle.dumps(Reduced(eval, ("1",)), 4), "builtins.eval"),
    "partial": (pickle.dumps(functools.partial(eval, "1"), 2), "functools.partial"),
    "chain": (
        pickle.dumps(Reduced(getattr, (Reduced(__import__, ("os",)), "system")), 2),
        "names __builtin__.getattr",
    ),
    "numpy.load": (b"cnumpy\nload\nU\x01a\x85R.", "numpy.load"),
    "numpy scalar": (pickle.dumps([np.int64(1)], 4), r"multiarray\.scalar"),
    "objects": (pickle.dumps(np.array([{}, 1], dtype=object), 4), "type 'O8'"),
    "int64": (pickle.dumps(np.arange(3), 2), "type 'i8'"),
    "object": (pickle.dumps(Plain(), 2), "copy_reg?._reconstructor|names .*Plain"),
    "NEWOBJ": (b"\x80\x02cnumpy\ndtype\n)\x81.", "NEWOBJ"),
    "OBJ": (b"(cnumpy\ndtype\no.", "OBJ"),
    "INST": (b"(inumpy\ndtype\n.", "INST"),
    "persistent": (as_persistent(["secret"]), "BINPERSID"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a state of a name": (b"c_codecs\nencode\n}U\x03abcK\x01sb.", "inside of a value"),
    "a name as value": (b"\x80\x02](c_codecs\nencode\ne.", "_codecs.encode as a value"),
    "a call of text": (b"\x80\x02U\x03abc)R.", "none of NumPy's arrays"),
    "a call of ndarray": (b"\x80\x02cnumpy\nndarray\n)R.", "none of NumPy's arrays"),
    "a module as number": (b"\x80\x04K\x01K\x02\x93.", "names 1.2"),
    "another codec": (b"c_codecs\nencode\nU\x01aU\x03rot\x86R.", "encodes something else"),
    "tuples as keys": (b"\x80\x02})" + 64 * b"q\x01h\x01\x86" + b"K\x01s.", "key of type tuple"),
    "much text": (
        b"\x80\x02](c_codecs\nencode\nq\x01U\xff" + 255 * b"a" + b"U\x06latin1\x86q\x02R"
        + 50 * b"h\x01h\x02R" + b"e.", "more text than it holds",
    ),
    "a length of 2**62": (b"\x80\x04\x8e" + pack("<Q", 2**62) + b"abc.", "damaged or cut"),
    "a length of 2**31": (b"\x80\x03B" + pack("<I", 2**31) + b"abc.", "damaged or cut"),
    "a frame of 2**62": (b"\x80\x04\x95" + pack("<Q", 2**62) + b"\x8c", "damaged or cut"),
    "another shape": (pickled_by_python_2(PIXELS).replace(pack("<i", 6), pack("<i", 7)), "cut"),
    "nothing": (b"", "damaged or cut"),
    "no pickle": (b"\xff\xd8\xff\xe0JFIF", "damaged or cut"),
    "too little": (b"\x80\x020.", "POP"),
    "two values": (b"\x80\x02K\x01K\x02.", "damaged or cut"),
    "a list of none": (b"\x80\x02e.", "damaged or cut"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_anything_else_is_refused_by_its_name(name: str) -> None:
    content, said = ATTACKS[name]
    with pytest.raises(PickleError, match=said):
        unpickle(content)


def test_nothing_of_an_attack_is_done(tmp_path: Path) -> None:
    written = tmp_path / "written"
    attack = pickle.dumps({"data": PIXELS, "labels": Reduced(os.mkdir, (str(written),))}, 2)
    pickle.loads(attack)
    assert written.is_dir()
    written.rmdir()
    with pytest.raises(PickleError, match=r"posix\.mkdir|nt\.mkdir"):
        unpickle(attack)
    assert not written.exists()


def test_an_extension_that_python_knows_is_refused_as_well() -> None:
    copyreg.add_extension("os", "getcwd", 0x7F)
    try:
        with pytest.raises(PickleError, match="instruction EXT1"):
            unpickle(b"\x80\x02\x82\x7f.")
    finally:
        copyreg.remove_extension("os", "getcwd", 0x7F)


def test_a_memory_of_far_numbers_takes_no_memory() -> None:
    assert unpickle(b"\x80\x02K\x05r\xff\xff\xff\x7fj\xff\xff\xff\x7f\x86.") == (5, 5)


def test_a_list_in_itself_ends() -> None:
    value = unpickle(b"\x80\x02]q\x01h\x01a.")
    assert value[0] is value


@pytest.mark.parametrize("write", [pickled_by_python_2, pickle.dumps])
def test_a_pickle_that_is_cut_anywhere(write: Any) -> None:
    content = write({"labels": [1, 2, 300], "data": PIXELS})
    for end in range(len(content)):
        with pytest.raises(PickleError):
            unpickle(content[:end])


def test_damage_raises_no_other_error() -> None:
    rng = np.random.default_rng(0)
    content = pickled_by_python_2({"labels": [1, 2, 300], "data": PIXELS})
    for _ in range(500):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        try:
            unpickle(bytes(damaged))
        except PickleError as error:
            assert str(error)


def test_a_text_that_many_arrays_are_made_of_takes_no_memory() -> None:
    text = b"X" + pack("<I", 1000) + b"a" * 1000 + b"q\x01"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01M\xe8\x03\x85cnumpy\ndtype\nU\x02u1\x85R\x89h\x01tb"
    )
    assert len(unpickle(b"\x80\x02(" + text + array + b"t.")) == 2
    shared = b"\x80\x02(C\x04abcdq\x01" + array.replace(b"M\xe8\x03", b"K\x04") * 200 + b"t."
    assert len(unpickle(shared)) == 201  # Arrays of bytes share them.
    with pytest.raises(PickleError, match="it makes bytes of more text than it holds"):
        unpickle(b"\x80\x02(" + text + array * 200 + b"t.")
