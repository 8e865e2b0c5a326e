"""Files with the name of a class a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.sources.class_names import class_names, tell_unused


@pytest.mark.parametrize(
    "content",
    [b"cat\nbig dog\n", b"cat\r\nbig dog", b"\xef\xbb\xbfcat\nbig dog\n\n",
     "cat\nbig dog".encode("utf-16")],
)  # fmt: skip
def test_names_stand_one_a_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    assert class_names(tmp_path / "names.txt") == ["cat", "big dog"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it names no class; write one a line"),
        (b"cat\n\ndog\n", "line 2: it is empty"),
        (b"cat\ndog\ncat\n", "the class 'cat' is there twice; correct the file"),
        (b"cat\nn/a\n", "'n/a' is no name of a class"),
        (b"a/b\n", "the class 'a/b' holds a slash or a control character; correct"),
        (b"a\x07b\n", "holds a slash or a control character"),
        (b"caf\xe9 \xff\n", "UTF-8"),
        (
            b"1 cat\n0 dog\n",
            "each line begins with a number, such as '1 cat'; write the names alone",
        ),
        (b"1: cat\n2: dog\n", "each line begins with a number"),
    ],
)
def test_what_is_no_list_of_names_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(XprobeError, match=r"names\.txt.*" + words):
        class_names(tmp_path / "names.txt")


def test_a_name_that_no_image_has_is_told(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\nhorse\n")
    with pytest.warns(XprobeWarning, match="shards has no image of dog, horse; check that the fir"):
        tell_unused(tmp_path / "names.txt", ["cat", "cat"], Path("shards"))
    tell_unused(tmp_path / "names.txt", ["horse", "dog", "cat"], Path("shards"))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match=r"--classes .*none: it cannot be read \(no such file"):
        class_names(tmp_path / "none")
    with pytest.raises(XprobeError, match="it cannot be read"):
        class_names(tmp_path)


def test_names_may_begin_with_numbers_that_are_none_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("2 doors\n4 doors\n")
    assert class_names(tmp_path / "names.txt") == ["2 doors", "4 doors"]
