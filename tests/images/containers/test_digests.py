"""A file that is written anew has another digest, whatever its size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xprobe.base.regular import IrregularFileError
from xprobe.images.containers.digests import sampled_digest


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 2**20, 3 * 2**20 + 5])
def test_it_knows_a_file_by_its_beginning_its_end_and_its_size(tmp_path: Path, size: int) -> None:
    file = tmp_path / "rows.parquet"
    content = bytes(i % 251 for i in range(size))
    file.write_bytes(content)
    digest = sampled_digest(str(file))
    assert len(digest) == 16
    assert digest == sampled_digest(str(file))
    changed = [content + b"\0", content[:-1]]
    changed += [b"\xff" + content[1:], content[:-1] + b"\xff", content[::-1]]
    for other in changed if size > 1 else changed[:1]:
        file.write_bytes(other)
        assert sampled_digest(str(file)) != digest


@pytest.mark.parametrize("place", range(0, 2**20, 2**16 - 7))
def test_a_file_of_a_mebibyte_is_read_whole(tmp_path: Path, place: int) -> None:
    file = tmp_path / "rows.arrow"
    content = bytearray(2**20)
    file.write_bytes(content)
    digest = sampled_digest(str(file))
    content[place] = 1
    file.write_bytes(content)
    assert sampled_digest(str(file)) != digest


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sampled_digest(str(tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IrregularFileError, match="a named pipe"):
        sampled_digest(str(tmp_path / "pipe"))
