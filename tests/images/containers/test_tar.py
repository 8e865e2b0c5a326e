"""Members of archives: none is lost without a word, whatever happened to the archive."""

from __future__ import annotations

import io
import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xprobe.base.errors import XprobeWarning
from xprobe.images.containers.tar import ArchiveError, members

NAMES = [f"a/{i}.png" for i in range(6)]
BLOCK = tarfile.BLOCKSIZE


def packed(
    names: Sequence[str] = tuple(NAMES), kind: int = tarfile.PAX_FORMAT, **fields: Any
) -> bytes:
    """Return a tar of small files; `fields` are set in the headers of all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            content = name.encode() * 90
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def starts(content: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [member.offset for member in tar]


def look(file: Path, content: bytes) -> tuple[dict[str, bytes], str]:
    """Return the contents of the members by name, and what was said of the archive."""
    file.write_bytes(content)
    read, words = {}, ""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            for name, (offset, size) in members(file):
                assert 0 <= offset <= offset + size <= len(content)
                read[name] = content[offset : offset + size]
        except ArchiveError as error:
            words = str(error)
    return read, "".join([words, *(str(warning.message) for warning in told)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.tar"


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_whole_archive_is_read_without_a_word(file: Path, kind: int) -> None:
    names = [*NAMES, "a/" + "long" * 20 + "/" + "n" * 90, "é.png"]
    read, words = look(file, packed(names, kind))
    assert read == {name: name.encode() * 90 for name in names}
    assert words == ""


# --- damage ------------------------------------------------------------------------------

WHOLE = packed()
FOURTH = starts(WHOLE)[3]
BODY = WHOLE[: starts(WHOLE)[-1] + 3 * BLOCK]  # There are no zeros at its end.


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WHOLE[:FOURTH], "its end is missing"),
        (WHOLE[: FOURTH + 200], f"damaged or cut at byte {FOURTH:,}; 200 bytes from there on"),
        (WHOLE[: FOURTH + BLOCK + 20], f"cut at byte {FOURTH:,}; 532 bytes from there on"),
        (WHOLE[: FOURTH + 5] + b"X" + WHOLE[FOURTH + 6 :], f"cut at byte {FOURTH:,}"),
        (WHOLE[:FOURTH] + bytes(BLOCK) + WHOLE[FOURTH + BLOCK :], f"cut at byte {FOURTH:,}"),
        (WHOLE[: FOURTH - 700] + bytes(2101), "no multiple of 512"),
    ],
    ids=["cut before a header", "cut in a header", "cut in data", "a bad header", "zeros", "gone"],
)
def test_damage_is_an_error_after_the_members_before_it(
    file: Path, content: bytes, said: str
) -> None:
    read, words = look(file, content)
    assert list(read) == NAMES[:3]
    assert said in words


def test_an_archive_without_its_end_is_told_and_can_be_mended(file: Path) -> None:
    for content in (BODY, BODY[:-200]):
        read, words = look(file, content)
        assert list(read) == NAMES
        added = int(words.partition("truncate -s +")[2].split()[0])
        assert look(file, content + bytes(added)) == (read, "")


@pytest.mark.parametrize("zeros", [BLOCK, 2 * BLOCK, 99 * BLOCK])
def test_zeros_to_the_end_are_an_end(file: Path, zeros: int) -> None:
    assert look(file, BODY + bytes(zeros))[1] == ""


def test_joined_archives_are_read_to_the_last_and_told(file: Path) -> None:
    parts = [packed([f"{i}/{name}" for name in NAMES]) for i in range(3)]
    read, words = look(file, b"".join(parts))
    assert list(read) == [f"{i}/{name}" for i in range(3) for name in NAMES]
    assert f"from byte {len(parts[0]):,} on" in words and "joined" in words
    read, words = look(file, parts[0] + parts[1][:900])
    assert list(read) == [f"0/{name}" for name in NAMES]
    assert "damaged or cut" in words


def test_what_follows_the_end_and_is_no_archive_is_told(file: Path) -> None:
    read, words = look(file, WHOLE + b"more" * 300)
    assert list(read) == NAMES
    assert f"cut at byte {len(WHOLE):,}; 1,200 bytes" in words


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b" + bytes(600), b"text " * 300, bytes(200)])
def test_what_is_no_archive_is_refused(file: Path, content: bytes) -> None:
    assert "no tar archive that can be read" in look(file, content)[1] or not content.strip(b"\0")


def sealed(header: bytearray) -> bytes:
    """Return a header with the checksum that belongs to it."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    "content",
    [
        packed(pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                            "GNU.sparse.name": "x", "GNU.sparse.realsize": "1000000000000"}),
        packed(pax_headers={"size": "-5000"}),
        packed(pax_headers={"size": "9" * 30}),
        sealed(bytearray(WHOLE[:124] + b"77777777777\0" + WHOLE[136:BLOCK])) + WHOLE[BLOCK:],
        sealed(bytearray(WHOLE[:124] + b"\x80" + b"\x7f" * 11 + WHOLE[136:BLOCK])) + WHOLE[BLOCK:],
        sealed(bytearray(WHOLE[:124] + b"77777777777\0" + WHOLE[136:156] + b"L" + WHOLE[157:BLOCK]))
        + WHOLE[BLOCK:],
    ],
    ids=["sparse", "negative", "beyond numbers", "octal", "binary", "a name of 8 GiB"],
)  # fmt: skip
def test_a_size_is_believed_only_where_the_archive_has_it(file: Path, content: bytes) -> None:
    assert "damaged or cut at byte 0" in look(file, content)[1]


@pytest.mark.parametrize("kind", ["x", "g", "X"])
@pytest.mark.parametrize("place", range(6))
def test_a_file_that_became_an_extended_header_is_told(file: Path, kind: str, place: int) -> None:
    content = packed(kind=tarfile.USTAR_FORMAT)
    start = starts(content)[place]
    header = bytearray(content[start : start + BLOCK])
    header[156:157] = kind.encode()
    read, words = look(file, content[:start] + sealed(header) + content[start + BLOCK :])
    assert len(read) < 6
    assert "damaged" in words


def test_extended_headers_of_any_kind_are_read_without_a_word(file: Path) -> None:
    buffer = io.BytesIO()
    about = {"comment": "of all", "pfad": "ü" * 90}
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=about
    ) as tar:
        for name in ("ü" * 120, "plain", "n" * 300):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = 5, 1.5
            tar.addfile(member, io.BytesIO(b"12345"))
    read, words = look(file, buffer.getvalue())
    assert (len(read), words) == (3, "")


def test_no_change_of_a_few_bytes_loses_a_member_without_a_word(file: Path) -> None:
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(300):
        content = bytearray(WHOLE)
        place = int(rng.integers(len(BODY)))
        match rng.integers(4):
            case 0:
                del content[place:]
            case 1:
                content[place : place + 512] = bytes(len(content[place : place + 512]))
            case 2:
                content[place] ^= 1 << int(rng.integers(8))
            case 3:
                del content[place : place + int(rng.integers(1, 1500))]
        read, words = look(file, bytes(content))
        lost += len(read) < len(NAMES)
        assert len(read) == len(NAMES) or words
    assert lost > 100


# --- links and other types -----------------------------------------------------------------


def with_members(*more: tuple[str, bytes, str]) -> bytes:
    """Return a tar of `NAMES` and of further members (name, type, where it leads)."""
    buffer = io.BytesIO(WHOLE)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name, kind, target in more:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    return buffer.getvalue()


def test_links_bring_the_file_that_they_lead_to(file: Path) -> None:
    content = with_members(
        ("b/hard.png", tarfile.LNKTYPE, "a/1.png"),
        ("b/soft.png", tarfile.SYMTYPE, "../a/2.png"),
        ("b/far.png", tarfile.SYMTYPE, "soft.png"),
    )
    read, words = look(file, content)
    assert [read[f"b/{name}.png"] for name in ("hard", "soft", "far")] == [
        read["a/1.png"], read["a/2.png"], read["a/2.png"],
    ]  # fmt: skip
    assert words == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([("b/1.png", tarfile.SYMTYPE, "/etc/passwd")], "1 links lead to no file of the archive"),
        ([("b/1.png", tarfile.SYMTYPE, "1.png")], "1 links lead to no file"),
        ([("b/1.png", tarfile.GNUTYPE_SPARSE, "")], "1 members of a type that cannot be read"),
        ([("b/1.png", b"M", "")], "1 members of a type that cannot be read"),
        ([("b", tarfile.DIRTYPE, ""), ("c", tarfile.FIFOTYPE, "")], ""),
    ],
    ids=["outside", "circle", "sparse", "volume", "without content"],
)
def test_other_members_are_left_out_and_counted(
    file: Path, more: list[tuple[str, bytes, str]], said: str
) -> None:
    read, words = look(file, with_members(*more))
    assert list(read) == NAMES
    assert said in words and bool(said) == bool(words)


def test_a_warning_is_one_of_this_package(file: Path) -> None:
    file.write_bytes(WHOLE + WHOLE)
    with pytest.warns(XprobeWarning, match="joined"):
        list(members(file))
