"""Images of archives and lists: each of them, and a word about what is left out."""

from __future__ import annotations

import io
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.features.items import Item, items_in


@pytest.fixture
def picture(tmp_path: Path, save_picture: Callable[..., Path]) -> bytes:
    return save_picture(tmp_path / "picture.png").read_bytes()


def pack(file: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def names(file: Path) -> list[str]:
    return [item.path.rpartition("::")[2] for item in items_in(file)]


def test_members_are_images_by_suffix_or_else_by_content(tmp_path: Path, picture: bytes) -> None:
    file = pack(tmp_path / "x.tar", {
        "0.png": picture, "1": picture, "2.heif": picture, "3.png": b"damaged", "4.avif": picture,
        "._0.png": b"metadata", "a/__MACOSX/0.png": picture, "a/._1": picture,
    })  # fmt: skip
    assert names(file) == ["0.png", "1", "2.heif", "3.png", "4.avif"]


def test_what_lies_beside_images_needs_no_word(tmp_path: Path, picture: bytes) -> None:
    beside = {f"0.{suffix}": b"x" for suffix in ("json", "txt", "cls")} | {".DS_Store": b"x"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(pack(tmp_path / "x.tar", {"0.png": picture, **beside})) == ["0.png"]


def test_what_looks_like_an_image_and_is_none_is_counted(tmp_path: Path, picture: bytes) -> None:
    others = {"0.heic": b"\0\0\0\x18ftypheic", "1.heic": b"x", "2": b"x", "3.jxl": b""}
    file = pack(tmp_path / "x.tar", {"0.png": picture, **others})
    with pytest.warns(match=r"are left out: 2 \.heic, 1 without suffix, 1 \.jxl"):
        assert names(file) == ["0.png"]


def test_a_damaged_archive_stops_no_list(tmp_path: Path, picture: bytes) -> None:
    for name in ("a", "b", "c"):
        pack(tmp_path / f"{name}.tar", {f"{name}{i}.png": picture for i in range(3)})
    cut = tmp_path / "b.tar"
    cut.write_bytes(cut.read_bytes()[:1800])
    (tmp_path / "list.txt").write_text("a.tar\nb.tar\nnone.tar\nc.tar\n")
    unread: list[str] = []
    found = [item.path.rpartition("::")[2] for item in items_in(tmp_path / "list.txt", unread)]
    assert found == ["a0.png", "a1.png", "a2.png", "b0.png", "c0.png", "c1.png", "c2.png"]
    assert len(unread) == 2
    assert "b.tar: damaged or cut at byte" in unread[0]
    assert unread[1] == f"{tmp_path / 'none.tar'}: no such file or directory"
    with pytest.raises(XprobeError, match=r"b\.tar: damaged"):
        list(items_in(tmp_path / "list.txt"))


def test_a_list_names_files_and_archives_and_goes_on_after_each_fault(
    tmp_path: Path, picture: bytes
) -> None:
    pack(tmp_path / "some.tar", {"in.png": picture})
    (tmp_path / "list.txt").write_text("1.png 0\nsome.tar\nhttp://x.org/1.png\n1.png\n")
    (tmp_path / "1.png").write_bytes(picture)
    items = list(items_in(tmp_path / "list.txt"))
    ids = ["1.png", f"{tmp_path}/some.tar::in.png", "http://x.org/1.png", "1.png"]
    assert [item.id for item in items] == ids
    assert items[0] == Item("1.png", str(tmp_path / "1.png"))
    assert [bool(item.fault) for item in items] == [False, False, True, False]
