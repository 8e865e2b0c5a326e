"""A table is replaced only where the new one loses nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.manifest import Manifest
from xprobe.images.sources.rewrite import rewrite_table


def table(make_manifest: MakeManifest, folder: Path, *names: str, **columns: list[str]) -> Manifest:
    """Return a table of images of a folder, which are there."""
    for name in names:
        (folder / name).write_bytes(b"image")
    n = len(names)
    return make_manifest(
        ["a"] * n, source=["synthetic"] * n, id=[f"g/{name}" for name in names],
        path=[str(folder / name) for name in names], **columns,
    )  # fmt: skip


def test_the_same_again_is_nothing_new(make_manifest: MakeManifest, tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    images = table(make_manifest, tmp_path, "1.png", "2.png")
    assert rewrite_table(images, file)
    assert not rewrite_table(images, file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "2.png", "manifest.csv"]


def test_cells_are_filled_in_images_are_added_and_rows_without_image_go(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    file = tmp_path / "manifest.csv"
    rewrite_table(table(make_manifest, tmp_path, "1.png", "2.png"), file)
    new = table(make_manifest, tmp_path, "1.png", "3.png", parent=["p", ""])
    with pytest.raises(XprobeError, match=r"1 images, such as 2.png \(not in the new table\)"):
        rewrite_table(new, file)
    (tmp_path / "2.png").unlink()
    assert rewrite_table(new, file)
    assert "g/1.png,1.png,a,synthetic,,p," in file.read_text()
    assert "g/3.png" in file.read_text()


def test_nothing_that_a_table_says_is_lost(make_manifest: MakeManifest, tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    images = table(make_manifest, tmp_path, "1.png", parent=["p"])
    rewrite_table(images, file)
    corrected = file.read_text().replace(",p,", ",q,")
    others = ("path,label,source,seed\n1.png,a,synthetic,7\n", "caption\na flood\n", corrected)
    for text in others:
        file.write_text(text)
        with pytest.raises(XprobeError, match="is there, and says otherwise of 1 images"):
            rewrite_table(images, file)
        assert file.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "manifest.csv"]


def test_what_is_no_table_stays(make_manifest: MakeManifest, tmp_path: Path) -> None:
    file = tmp_path / "manifest.jsonl"
    file.write_text("no table\n")
    with pytest.raises(XprobeError, match="in the place of the table to write"):
        rewrite_table(table(make_manifest, tmp_path, "1.png"), file)
    assert file.read_text() == "no table\n"


def test_a_row_of_an_archive_that_is_there_is_not_lost(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    file = tmp_path / "manifest.csv"
    (tmp_path / "x.tar").write_bytes(b"archive")
    paths = [f"{tmp_path}/x.tar::{i}.png" for i in range(2)]
    rewrite_table(make_manifest(["a", "b"], path=paths), file)
    with pytest.raises(XprobeError, match=r"x\.tar::1\.png \(not in the new table\)"):
        rewrite_table(make_manifest(["a"], path=paths[:1]), file)
    (tmp_path / "x.tar").unlink()
    assert rewrite_table(make_manifest(["a"], path=paths[:1]), file)


def test_a_table_is_read_by_its_separator(make_manifest: MakeManifest, tmp_path: Path) -> None:
    images = table(make_manifest, tmp_path, "1.png", "2.png")
    assert rewrite_table(images, tmp_path / "manifest.tsv")
    assert not rewrite_table(images, tmp_path / "manifest.tsv")
    file = tmp_path / "manifest.csv"
    file.write_text("path;label;source\n1.png;a;synthetic\n")  # As spreadsheets write it.
    assert rewrite_table(images, file)
    assert "g/2.png,2.png,a" in file.read_text()


def test_rows_that_come_back_are_told_where_that_is_asked_for(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    file = tmp_path / "manifest.csv"
    images = table(make_manifest, tmp_path, "1.png", "2.png")
    rewrite_table(images, file)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.warns(XprobeWarning, match="1 image was not in it and is now: 2.png; rows that"):
        assert rewrite_table(images, file, tells_added=True)
