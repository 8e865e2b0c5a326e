"""Folders on disk as they are listed, and what happens if they cannot be."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from makers import SavePicture

from xprobe.base.errors import XprobeError
from xprobe.images.config import DataConfig
from xprobe.images.read import read
from xprobe.images.sources.tree import Folder, Listing

Make = Callable[..., Path]

FAILURES = (errno.EACCES, errno.EIO, errno.ESTALE, errno.EPERM, errno.ETIMEDOUT, errno.ENOTCONN)


class Failing:
    """What lists the entries of a folder, and fails after some of them."""

    def __init__(self, entries: Any, code: int, after: int) -> None:
        self.entries, self.code, self.after = entries, code, after

    def __enter__(self) -> Iterator[Any]:
        return self._entries()

    def __exit__(self, *_: object) -> None:
        self.entries.close()

    def _entries(self) -> Iterator[Any]:
        for i, entry in enumerate(self.entries):
            if i == self.after:
                raise OSError(self.code, os.strerror(self.code))
            yield entry


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``fail(folder, code, after=None)``: listing it fails at once, or after some entries."""

    def refuse(folder: Path, code: int, after: int | None = None) -> None:
        scandir = os.scandir

        def listed(path: str) -> Any:
            if str(path) != str(folder):
                return scandir(path)
            if after is None:
                raise OSError(code, os.strerror(code), path)
            return Failing(scandir(path), code, after)

        monkeypatch.setattr(os, "scandir", listed)

    return refuse


@pytest.mark.parametrize("code", FAILURES)
@pytest.mark.parametrize("folder", ["real", "real/a", "real/a/more", "synthetic/g/b", "test"])
def test_a_folder_that_cannot_be_listed_is_an_error_with_its_name(
    make_data: Make, fail: Callable[..., None], folder: str, code: int
) -> None:
    data = make_data(test=1, generators=("g",))
    (data / "real/a/more").mkdir()
    fail(data / folder, code)
    with pytest.raises(XprobeError, match=f"{data / folder}: this folder cannot be listed") as end:
        read(data)
    assert os.strerror(code).lower() in str(end.value)


def test_a_listing_that_breaks_off_is_an_error(make_data: Make, fail: Callable[..., None]) -> None:
    data = make_data(real=4)
    fail(data / "real/a", errno.EIO, after=2)
    with pytest.raises(XprobeError, match=f"{data / 'real/a'}: this folder cannot be listed"):
        read(data)


def test_a_folder_that_nothing_reads_need_not_be_listed(
    make_data: Make, fail: Callable[..., None]
) -> None:
    data = make_data()
    (data / "lost").mkdir()
    fail(data / "lost", errno.EACCES)
    assert len(read(data)) == 24


@pytest.mark.parametrize("link", ["real/c", "real/a/more", "synthetic/g", "test"])
def test_a_link_without_suffix_that_leads_nowhere_is_an_error(make_data: Make, link: str) -> None:
    data = make_data()
    (data / link).symlink_to(data / "gone")
    with pytest.raises(XprobeError, match=f"{data / link}: this link leads nowhere .to .*gone"):
        read(data)


def test_a_link_to_an_image_that_is_gone_is_an_image_that_cannot_be_read(make_data: Make) -> None:
    data = make_data(real=2)
    (data / "real/a/9.png").symlink_to(data / "gone.png")
    (data / "real/a/8.png").symlink_to(data / "real/a/8.png")  # leads to itself
    manifest = read(data)
    ids = ["real/a/8.png", "real/a/9.png"]
    assert [i for i, digest in zip(manifest.id, manifest.sha256, strict=True) if not digest] == ids


def test_circles_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "b")
    assert [names for _, names in Folder(str(tmp_path / "a")).walk()] == [(), ("again",)]


def test_folders_may_be_deeper_than_calls() -> None:
    def list_one_more(path: str) -> Listing:
        return Listing(("d",) * (path.count("/") < 2000), (), path)

    assert sum(1 for _ in Folder("a", lister=list_one_more).walk()) == 2001


def test_folders_and_files_are_sorted_and_hidden_ones_apart(tmp_path: Path) -> None:
    for name in ("b", "a", ".git", "__MACOSX", "@eaDir"):
        (tmp_path / name).mkdir()
    for name in ("2.png", "1.png", "._1.png", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    folder = Folder(str(tmp_path), "real")
    assert [(inner.name, inner.id) for inner in folder.folders] == [
        ("a", "real/a"),
        ("b", "real/b"),
    ]
    assert folder.files == ["1.png", "2.png"]
    assert set(folder.hidden) == {
        ".git", "__MACOSX", "@eaDir", "._1.png", "Thumbs.db", ".DS_Store",
    }  # fmt: skip


def test_a_file_is_a_picture_by_its_suffix_or_by_what_it_holds(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    picture = save_picture(tmp_path / "0.png").read_bytes()
    for name in ("1", "2.heif", "3.dat"):
        (tmp_path / name).write_bytes(picture)
    for name in ("4", "5.heic", "notes.txt"):
        (tmp_path / name).write_bytes(b"text")
    (tmp_path / "6.json").write_bytes(picture)
    folder = Folder(str(tmp_path))
    pictures = [name for name in (*folder.files, "gone") if folder.holds_picture(name)]
    assert sorted(pictures) == ["0.png", "1", "2.heif", "3.dat"]


@pytest.mark.filterwarnings("ignore:.*taken as")
@pytest.mark.parametrize("option", ["DATA", "--real"])
def test_a_folder_is_listed_once_in_each_reading_however_many_sources_are_asked_for_it(
    tmp_path: Path, save_picture: SavePicture, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    data, listed, scandir = tmp_path / "data", list[str](), os.scandir
    for label in ("cat", "dog"):
        save_picture(data / label / "1.png")

    def record(path: str) -> Any:
        listed.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", record)

    def images() -> int:
        if option == "DATA":
            return len(read(data, whole=False))
        return len(read(whole=False, config=DataConfig(real=(str(data),))))

    assert images() == 2
    assert sorted(listed) == [str(data), str(data / "cat"), str(data / "dog")]
    save_picture(data / "dog" / "2.png", colour=9)
    assert images() == 3
