"""Headers of archives: those that are plain are read as tarfile reads them, in less time."""

from __future__ import annotations

import io
import tarfile
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from xprobe.images.containers import tar_headers
from xprobe.images.containers.tar import members
from xprobe.images.containers.tar_headers import ArchiveError, headers

BLOCK = tarfile.BLOCKSIZE
KINDS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
NAMES = ("a/0.png", "b" * 100, f"{'d' * 60}/{'e' * 60}/3.png", "é.png", "5/", "./6.cls")


def packed(rng: np.random.Generator, kind: int) -> bytes:
    """Return an archive of files of odd sizes and of other members, with whole times or without."""
    buffer = io.BytesIO()
    mtime = float(rng.choice([0, 1_700_000_000, 1_700_000_000.25]))
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name in NAMES:
            member = tarfile.TarInfo(name)
            member.mtime, member.uid, member.uname = mtime, 1000, "somebody"
            if rng.random() < 0.2:
                types = (tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.AREGTYPE)
                member.type = types[rng.integers(len(types))]
                member.linkname = NAMES[0] if member.type == tarfile.SYMTYPE else ""
            if member.isreg():
                member.size = int(rng.choice([0, 1, 511, 512, 513, 1500]))
            tar.addfile(member, io.BytesIO(rng.bytes(member.size)))
    return buffer.getvalue()


def sealed(header: bytes) -> bytes:
    """Return a header with the checksum that belongs to it."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return an archive with damage somewhere, most often in a block that may be a header."""
    start = BLOCK * int(rng.integers(len(content) // BLOCK))
    block = bytearray(content[start : start + BLOCK])
    place = int(rng.integers(BLOCK))
    match rng.integers(5):
        case 0:
            return content[: start + place]
        case 1:
            return content + (bytes(BLOCK), bytes(2 * BLOCK), b"x" * 700, content)[place % 4]
        case 2:
            block[place] ^= 1 << int(rng.integers(8))
            return content[:start] + bytes(block) + content[start + BLOCK :]
        case 3:
            block[156] = b"0\x001234567xgXLKSDMV"[place % 18]
        case 4:
            width = int(rng.choice([1, 8, 12]))
            filling = (b"\0", b" ", b"7", b"0", b"\x80", b"\xff", b"=")[place % 7]
            block[place : place + width] = filling * len(block[place : place + width])
    return content[:start] + sealed(bytes(block)) + content[start + BLOCK :]


Seen = tuple[list[tuple[str, tuple[int, int]]], str, list[str]]


def seen(file: Path) -> Seen:
    """Return the members of an archive, its error, and what was said of it."""
    every, words = [], ""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            for member in members(file):
                every.append(member)
        except ArchiveError as error:
            words = str(error)
    return every, words, [str(warning.message) for warning in told]


@pytest.fixture
def by_tarfile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Seen]:
    """Return a function that reads an archive as tarfile alone does."""

    def none(_: object, place: int, __: int) -> Generator[tar_headers.Header, None, int]:
        yield from ()
        return place

    def read(file: Path) -> Seen:
        with monkeypatch.context() as patch:
            patch.setattr(tar_headers, "_plain_headers", none)
            return seen(file)

    return read


@pytest.mark.parametrize("kind", KINDS)
def test_plain_headers_are_read_as_tarfile_reads_them_whatever_the_damage(
    tmp_path: Path, by_tarfile: Callable[[Path], Seen], kind: int
) -> None:
    rng = np.random.default_rng(kind)
    file = tmp_path / "x.tar"
    for _ in range(10):
        content = packed(rng, kind)
        for case in (content, *(damaged(content, rng) for _ in range(20))):
            file.write_bytes(case)
            assert seen(file) == by_tarfile(file)


def test_a_header_unlike_the_one_before_it_is_read_as_tarfile_reads_it(
    tmp_path: Path, by_tarfile: Callable[[Path], Seen]
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for i in range(3):
            tar.addfile(tarfile.TarInfo(f"{i}.png"))
    content, file = buffer.getvalue(), tmp_path / "x.tar"
    for place in range(0, BLOCK, 3):
        for sign in (b"=", b"1"):
            header = bytearray(content[2 * BLOCK : 3 * BLOCK])
            header[place : place + 1] = sign
            file.write_bytes(content[: 2 * BLOCK] + sealed(bytes(header)) + content[3 * BLOCK :])
            assert seen(file) == by_tarfile(file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mtime", [1, 1.5])
def test_tarfile_is_asked_for_the_first_plain_header_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, mtime: float
) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=kind) as tar:
        for i in range(9):
            member = tarfile.TarInfo(f"{i}.png")
            member.mtime, member.size = mtime, 600
            tar.addfile(member, io.BytesIO(bytes(600)))
    asked, parse = [], tarfile.TarInfo.frombuf.__func__  # type: ignore[attr-defined]

    def counted(kind: type, block: bytes, *further: str) -> tarfile.TarInfo:
        asked.append(block)
        member: tarfile.TarInfo = parse(kind, block, *further)
        return member

    monkeypatch.setattr(tarfile.TarInfo, "frombuf", classmethod(counted))
    assert len(list(headers(str(tmp_path / "x.tar"), is_told=True))) == 9
    is_extended = kind == tarfile.PAX_FORMAT and mtime == 1.5
    assert len(asked) == 2 + is_extended  # The first member, and the zeros at the end.


def test_records_on_all_members_that_follow_are_heeded(tmp_path: Path) -> None:
    about = {"path": "one name for all"}
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT, pax_headers=about) as tar:
        for i in range(3):
            tar.addfile(tarfile.TarInfo(f"{i}.png"))
    assert [name for name, _ in members(tmp_path / "x.tar")] == ["one name for all"] * 3


def test_a_sparse_file_is_told_in_any_format(tmp_path: Path) -> None:
    """GNU tar writes its map of holes in front of the content, and states it in records."""
    content = b"1\n512\n512\n".ljust(BLOCK, b"\0") + b"x" * BLOCK
    about = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes.png",
             "GNU.sparse.realsize": "1024"}  # fmt: skip
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("GNUSparseFile.0/holes.png")
        member.size, member.pax_headers = len(content), about
        tar.addfile(member, io.BytesIO(content))
    with pytest.warns(match=r"1 members of a type that cannot be read.*holes\.png"):
        assert list(members(tmp_path / "x.tar")) == []
