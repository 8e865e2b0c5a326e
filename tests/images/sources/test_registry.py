"""Sources of images by their rows, xprobe's own and those of other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from makers import MakeData, put_package

import xprobe
from xprobe.base.errors import XprobeError
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.registry import SOURCES_OF_IMAGES, ImageSource, forms

CODE = """
from xprobe.images.sources.registry import ImageSource

def read(data, group, form):
    rows = []
    for line in data.read_text().splitlines():
        path, label = line.split(" ")
        source = "synthetic" if "synthetic" in path else "real"
        rows.append({"path": path, "label": label, "source": source})
    return rows, data.parent

pairs = ImageSource("pairs", lambda path: path.suffix == ".pairs", read)
table = ImageSource("table", lambda path: True, read)
"""


def pairs_of(data: Path, name: str) -> Path:
    """Return a list "path class" of all images of a folder."""
    images = sorted(data.rglob("*.png"))
    lines = [f"{image.relative_to(data).as_posix()} {image.parent.name}" for image in images]
    (data / name).write_text("\n".join(lines))
    return data / name


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_package(
        tmp_path / "package", monkeypatch, "in_pairs", CODE, SOURCES_OF_IMAGES.group, pairs="pairs"
    )


def test_a_package_brings_a_source(package: None, make_data: MakeData) -> None:
    data = make_data(real=2, synthetic=2)
    plain = xprobe.read(data)
    for given in (pairs_of(data, "a.pairs"), f"pairs:{pairs_of(data, 'list')}"):
        images = xprobe.read(given)
        assert images.fingerprint == plain.fingerprint
        assert images.path.tolist() == plain.path.tolist()
    assert SOURCES_OF_IMAGES.names() == [*SOURCES_OF_IMAGES.rows, "pairs"]


def test_images_of_an_outside_source_are_embedded(
    package: None, make_data: MakeData, tmp_path: Path
) -> None:
    images = xprobe.read(pairs_of(make_data(real=2, synthetic=2), "a.pairs"))
    (done,) = xprobe.embed(images, ["pixels"], tmp_path / "store")
    assert (done.embedded, done.failed) == (len(images), 0)


def test_a_package_that_takes_a_built_in_name_is_refused(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(
        tmp_path / "package", monkeypatch, "in_pairs", CODE, "xprobe.sources", table="table"
    )
    data = make_data(real=2, synthetic=2)
    said = "package in_pairs registers the source of images 'table'"
    with pytest.raises(XprobeError, match=said):
        xprobe.read(pairs_of(data, "a.pairs"))
    assert len(xprobe.read(data)) == 8


def test_a_broken_package_is_told_only_where_its_source_is_needed(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(
        tmp_path / "package", monkeypatch, "in_pairs", "import no_such", "xprobe.sources", pairs="x"
    )
    data = make_data(real=2, synthetic=2)
    assert len(xprobe.read(data)) == 8
    with pytest.raises(XprobeError, match="no such folder or manifest file"):
        xprobe.read(tmp_path / "nowhere")
    with pytest.raises(XprobeError, match="'pairs' of package in_pairs does not load"):
        xprobe.read(f"pairs:{data}")


def test_a_source_is_a_row(make_data: MakeData, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(real=2, synthetic=2)

    def read_few(path: Path, group: str, form: FormConfig) -> tuple[list[Row], Path]:
        images = ("real/a/0.png", "real/a/1.png", "synthetic/a/0.png")
        return [
            {"path": image, "label": group, "source": image.partition("/")[0]} for image in images
        ], path

    row = ImageSource("few", lambda path: False, read_few)
    monkeypatch.setitem(SOURCES_OF_IMAGES.rows, "few", row)  # type: ignore[arg-type]
    images = xprobe.read(f"few:{data}", group="event")
    assert images.id.tolist() == ["real/a/0.png", "real/a/1.png", "synthetic/a/0.png"]
    assert set(images.label) == {"event"}  # read is given the column of groups


def test_the_help_of_commands_is_made_from_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    # The help does not tell of xBD's folder, which few people have.
    rows = SOURCES_OF_IMAGES.rows.values()
    assert [row.name for row in rows if not (row.words or row.title)] == ["xbd"]
    row = ImageSource("few", Path.is_file, lambda path, group, form: ([], path), "list (.few)")
    monkeypatch.setitem(SOURCES_OF_IMAGES.rows, "few", row)  # type: ignore[arg-type]
    assert forms().startswith("Folder of images, a manifest (.csv, .tsv, ")
    assert "a list (.few), or a data set as it is (such as ImageFolder" in forms()
    assert forms("a link").endswith("shards/{000..012}.tar), or a link.")


def test_rows_are_known_before_anything_heavy_is_imported() -> None:
    code = "import sys, xprobe.images.sources.registry; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_nothing_recognises_is_answered_with_the_forms(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(XprobeError, match=r"a manifest is a \.csv, .* or \.parquet file"):
        xprobe.read(tmp_path / "a.xlsx")
    with pytest.raises(XprobeError, match="few:nowhere: no such folder or manifest file; make"):
        xprobe.read("few:nowhere")
    for name, words in (
        ("imgfolder:x", r"no form of data is called so \(did you mean imagefolder or .* there are"),
        ("https://x.org/a.tar", "an address is not opened; download it, and name the file"),
        ("sdxl=out/x", "are named by the option, --synthetic sdxl=out/x"),
    ):
        with pytest.raises(XprobeError, match=words):
            xprobe.read(name)
    (tmp_path / "real/a").mkdir(parents=True)
    with pytest.raises(XprobeError, match="--synthetic sdxl=out/x"):
        xprobe.read([tmp_path, "sdxl=out/x"])
    with pytest.raises(XprobeError, match=r"gone\.tar: no such file; correct its path"):
        xprobe.read("gone.tar")
    with pytest.raises(XprobeError, match=r"gone\.csv: no such manifest file; correct its path"):
        xprobe.read("gone.csv")
    with pytest.raises(XprobeError, match=r"x/\*/manifest\.csv: no folder .*; the shell puts"):
        xprobe.read("x/*/manifest.csv")
