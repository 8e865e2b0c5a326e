"""Text files: encodings and line ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.text import is_whole, lines_of, read_text, start_of

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
TEXT = "path,é\nŝ\n漢,1"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_usual_encoding_and_line_end_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(file) == TEXT.replace("\n", end)
    assert list(lines_of(file)) == TEXT.split("\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_another_encoding_is_refused_with_its_line_and_the_remedy(
    tmp_path: Path, end: bytes
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(end.join([b"path,label", b"1.png,a", b"2.png,\xe9t\xe9"]))
    with pytest.raises(XprobeError, match=r"a.csv, line 3: byte 0xe9 .* save the file as UTF-8"):
        read_text(file)


def test_a_cut_file_of_utf_16_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(TEXT.encode("utf-16")[:-1])
    with pytest.raises(XprobeError, match=r"a.csv, line 3: "):
        read_text(file)


def test_lines_keep_the_bytes_of_file_names(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"caf\xe9.png\n\n b \n")
    assert list(lines_of(file)) == ["caf\udce9.png", "", " b "]


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xfe", b"\xff\xfea", b"a\0", b"\0\0"])
def test_a_stump_of_a_file_is_text_or_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    assert len(list(lines_of(file))) <= 1
    try:
        read_text(file)
    except XprobeError as error:
        assert "line 1" in str(error)


def test_the_start_of_a_text_leaves_out_a_character_that_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes("aé".encode())
    assert [start_of(file, n) for n in (0, 1, 2, 3, 9)] == ["", "a", "a", "aé", "aé"]
    file.write_text("aé", "utf-16")
    assert start_of(file, 5) == "a"


@pytest.mark.parametrize("text", ["", "a", "über\n", "日本", "\U0001f600"])
def test_whole_texts(text: str) -> None:
    assert is_whole(text)
    assert not is_whole(f"{text}\0") and not is_whole(f"{text}\ud83d")
