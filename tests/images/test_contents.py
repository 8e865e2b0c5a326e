"""Files, members of archives, and file systems that fail for a while."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.base.regular import open_regular
from xprobe.images import contents
from xprobe.images.containers import marks
from xprobe.images.containers.tar import members


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "shard.tar"
    with tarfile.open(file, "w") as tar:
        for name in ("a/1.png", "a/2.png", "a/1.cls"):
            data = f"content of {name}".encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file


def test_a_member_is_read_by_name_and_by_place(archive: Path) -> None:
    places = dict(members(archive))
    assert list(places) == ["a/1.png", "a/2.png", "a/1.cls"]
    path = f"{archive}::a/2.png"
    assert contents.is_member(path) and not contents.is_member(str(archive))
    assert contents.read(path) == contents.read(path, places["a/2.png"]) == b"content of a/2.png"
    with pytest.raises(FileNotFoundError, match="no such member"):
        contents.read(f"{archive}::a/3.png")


def test_an_archive_that_changed_is_looked_through_again(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "FRESH_S", 0)
    assert contents.read(f"{archive}::a/1.png")
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("new.png")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"new"))
    assert contents.read(f"{archive}::new.png") == b"new"


def test_a_member_that_the_archive_is_too_short_for_is_not_read(archive: Path) -> None:
    size = archive.stat().st_size
    for span in ((0, 10**15), (size - 5, 6), (size + 5, 1)):
        with pytest.raises(OSError, match=r"ends before|allowed"):
            contents.read(f"{archive}::a/1.png", span)


def test_members_before_damage_are_read_and_others_name_it(archive: Path) -> None:
    places = dict(members(archive))
    archive.write_bytes(archive.read_bytes()[: places["a/2.png"][0] - 300])
    assert contents.read(f"{archive}::a/1.png") == b"content of a/1.png"
    with pytest.raises(FileNotFoundError, match=r"no such member; .* damaged or cut at byte"):
        contents.read(f"{archive}::a/2.png")


def test_the_last_member_of_a_name_counts_as_when_unpacked(archive: Path) -> None:
    with tarfile.open(archive, "a") as tar:
        member = tarfile.TarInfo("a/1.png")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"new"))
    with pytest.warns(XprobeWarning, match=r"1 members have the name of an earlier one.*a/1\.png"):
        assert contents.read(f"{archive}::a/1.png") == b"new"


def test_only_regular_files_of_a_bounded_size_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), f"{tmp_path}/pipe.tar::a.png", "/dev/zero"):
        if path.endswith("a.png"):
            os.mkfifo(tmp_path / "pipe.tar")
        with pytest.raises(OSError, match="not a regular file") as info:
            contents.read(path)
        assert contents.reason_of(info.value).startswith("not a regular file, but a")
    (tmp_path / "large").write_bytes(b"12345")
    monkeypatch.setattr(contents, "MOST_BYTES", 4)
    with pytest.raises(OSError, match="5 bytes, more than 4 allowed"):
        contents.read(str(tmp_path / "large"))


def test_the_system_says_why_without_a_capital() -> None:
    assert contents.reason_of(OSError(errno.EIO, "Input/output error")) == "input/output error"
    assert contents.reason_of(OSError("In words")) == "in words"


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shard.tar"
    with tarfile.open(file, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(XprobeError, match="unpacked"):
        list(members(file))


class Failing:
    """A replacement of `open_regular` that fails a few times."""

    def __init__(self, times: int, number: int) -> None:
        self.left, self.number = times, number

    def __call__(self, path: str) -> tuple[int, int]:
        if self.left:
            self.left -= 1
            raise OSError(self.number, "away")
        return open_regular(path)


@pytest.fixture
def waits() -> Iterator[list[float]]:
    yield []


def test_a_file_system_that_is_away_for_a_moment_is_waited_for(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"here")
    monkeypatch.setattr(contents, "open_regular", Failing(3, errno.ESTALE))
    assert contents.read(str(file), wait=waits.append) == b"here"
    assert waits == list(contents.PATIENCE_S)
    monkeypatch.setattr(contents, "open_regular", Failing(4, errno.EIO))
    with pytest.raises(OSError, match="away"):
        contents.read(str(file), wait=waits.append)


def test_a_file_that_is_not_there_is_not_waited_for(tmp_path: Path, waits: list[float]) -> None:
    with pytest.raises(FileNotFoundError):
        contents.read(str(tmp_path / "none"), wait=waits.append)
    assert waits == []


def test_every_image_is_of_one_part_and_stays_there() -> None:
    names = [f"real/a/{i}.png" for i in range(1000)]
    parts_of = {n: [i for i in range(1, 8) if contents.is_of_shard(n, i, 7)] for n in names}
    assert all(len(parts) == 1 for parts in parts_of.values())
    sizes = [sum(parts == [i] for parts in parts_of.values()) for i in range(1, 8)]
    assert min(sizes) > 100


def test_a_part_is_read_the_same_where_a_system_cannot_read_from_a_place(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_pread", contents._seek_and_read)
    for name in ("a/2.png", "a/1.png"):
        assert contents.read(f"{archive}::{name}") == f"content of {name}".encode()


def test_an_archive_that_was_lost_while_open_is_opened_again(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents.read(f"{archive}::a/1.png")
    lost = contents._opened(str(archive), marks.mark_of(str(archive)))
    waits: list[float] = []

    def read(descriptor: int, size: int, offset: int) -> bytes:
        if descriptor == lost._descriptor:
            raise OSError(errno.ESTALE, "stale file handle")
        return os.pread(descriptor, size, offset)

    monkeypatch.setattr(contents, "_pread", read)
    assert contents.read(f"{archive}::a/1.png", wait=waits.append) == b"content of a/1.png"
    assert len(waits) == 1


def test_an_archive_that_was_replaced_is_opened_again(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "FRESH_S", 0)
    contents.read(f"{archive}::a/1.png")
    other = archive.with_name("other")
    other.write_bytes(archive.read_bytes().replace(b"content", b"CONTENT"))
    other.replace(archive)
    assert contents.read(f"{archive}::a/1.png") == b"CONTENT of a/1.png"
