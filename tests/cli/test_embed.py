"""``xprobe embed``: its errors name the remedy, and bad images are skipped and listed."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from makers import FAST, Ran, error_of, tiff_of, usage_error_of
from PIL import Image


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("synthetic/sd/dragon", "class 'dragon' of synthetic (generator sd) has no real images"),
        ("synthetic/dragon", "dragon is no class of"),
        ("real/lonely", "class 'lonely' of real has no images in synthetic (generator default)"),
        ("test/dragon", "class 'dragon' of test has no real images"),
    ],
)
def test_classes_must_agree(
    folder: str, said: str, data: Path, xprobe: Callable[..., Ran],
    save_picture: Callable[..., Path],
) -> None:  # fmt: skip
    save_picture(data / folder / "0.png")
    if folder.startswith("synthetic/sd"):
        save_picture(data / "synthetic/sd/a/0.png")
        save_picture(data / "synthetic/sd/b/0.png")
    if folder.startswith("real"):  # the other classes can be embedded, and their distance measured
        ran = xprobe("embed", "--encoder", "pixels")
        assert "generators that lack a class: default (lonely); a sweep needs" in ran.err
        assert said in error_of(xprobe("sweep"))
    else:
        assert said in error_of(xprobe("embed", "--encoder", "pixels"))


def test_errors_of_embed_name_the_remedy(
    data: Path, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    assert "did you mean hog" in error_of(xprobe("embed", "--encoder", "hgo"))
    (tmp_path / "file").write_text("")
    assert "a file stands where a folder is needed" in error_of(
        xprobe("embed", "--encoder", "hog", "--out", "file")
    )
    assert "unknown precision" in usage_error_of(
        xprobe("embed", "--encoder", "hog", "--precision", "x")
    )
    xprobe("embed", "--encoder", "pixels")
    marker = tmp_path / "features/format.json"
    marker.write_text(marker.read_text().replace("1", "9"))
    assert "upgrade xprobe" in error_of(xprobe("embed", "--encoder", "pixels"))


def test_a_full_disk_keeps_what_is_done_and_says_so(
    data: Path, xprobe: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fill_up(_: int) -> None:
        calls.append(1)
        if len(calls) > 4:  # two markers, a shard and its receipt
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fill_up)
        patch.setattr("xprobe.features.lane.SHARD_ROWS", 4)
        said = error_of(xprobe("embed", "--encoder", "hog", "--batch-size", "4"))
    assert "the disk is full; free some space" in said
    assert xprobe("embed", "--encoder", "hog", "--json").json["encoders"][0]["reused"] == 4


def test_bad_images_are_skipped_counted_and_listed(data: Path, xprobe: Callable[..., Ran]) -> None:
    (data / "real/a/zero.png").write_bytes(b"")
    (data / "real/a/text.jpg").write_text("no image")
    ran = xprobe("embed", "--encoder", "hog", "--encoder", "pixels", "--json")
    assert ran.code == 0
    assert [row["failed"] for row in ran.json["encoders"]] == [2, 2]
    assert "2 images were skipped" in ran.err
    with Path("features/failed.csv").open() as stream:
        listed = list(csv.DictReader(stream))
    assert {row["id"] for row in listed} == {"real/a/zero.png", "real/a/text.jpg"}
    assert all(row["reason"] for row in listed)
    for name in ("zero.png", "text.jpg"):
        (data / "real/a" / name).unlink()
    xprobe("embed", "--encoder", "hog")
    assert not Path("features/failed.csv").exists()


def test_random_weights_are_asked_for_recorded_and_told_in_red(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    name = "timm:test_vit.r160_in1k"
    assert "is not on this machine" in error_of(xprobe("embed", "--encoder", name, "--offline"))
    first = xprobe("embed", "--encoder", name, "--random-weights", "--json").json["encoders"][0]
    again = xprobe("embed", "--encoder", name, "--random-weights", "--json").json["encoders"][0]
    assert (first["embedded"], again["reused"]) == (30, 30)
    about = json.loads(next(Path("features").glob("*/encoder.json")).read_text())
    assert about["spec"]["weights"].startswith("random:")
    both = xprobe("embed", "--encoder", f"hog,{name}", "--random-weights", "--json")
    assert [row["name"] for row in both.json["encoders"]] == ["hog", name]
    assert "--random-weights is not for hog: no weights of it could be left out" in both.err
    alone = error_of(xprobe("embed", "--encoder", "hog", "--random-weights"))
    assert "hog has neither layers nor weights to choose; leave --random-weights out" in alone
    swept = xprobe("sweep", *FAST, "--encoder", name)
    assert "RANDOM WEIGHTS" in swept.err
    assert f"warning: {name}: C of the logistic head was chosen at an edge" in swept.err
    xprobe("report")
    page = Path("report/index.html").read_text()
    assert '<span class="random">RANDOM WEIGHTS' in page
    assert "RANDOM WEIGHTS" in Path("report/summary.md").read_text()


def test_a_layer_that_is_not_there_is_one_line(data: Path, xprobe: Callable[..., Ran]) -> None:
    name = "timm:test_vit.r160_in1k"
    ran = xprobe("embed", "--encoder", name, "--random-weights", "--layer", "projected")
    assert "use --layer pooled" in error_of(ran)
    assert "leave --layer out" in error_of(xprobe("embed", "--encoder", "hog", "--layer", "pooled"))


def test_where_nothing_can_be_read_the_first_reason_is_the_error(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    """The table, failed.csv and JSON come as ever, and the exit status is 1."""
    Path("list.txt").write_text("gone/1.png\ngone/1.png\ngone/2.png\n")
    embed = ("embed", "list.txt", "--encoder", "hog", "--encoder", "pixels")
    ran = xprobe(*embed, "--json")
    assert ran.code == 1
    assert [(e["failed"], e["reused"]) for e in ran.json["encoders"]] == [(3, 0), (3, 0)]
    looked_for = Path("gone/1.png").absolute()
    assert f"none of the images could be read; the first, {looked_for}: no such file" in ran.err
    assert Path("features/failed.csv").read_text().count("gone/2.png,gone/2.png,no such file") == 2
    (data / "real/a/0.png").rename("found.png")
    Path("list.txt").write_text("gone/1.png\nfound.png\n")
    assert xprobe(*embed).code == 0
    for content in ("", "# nothing\n"):
        Path("list.txt").write_text(content)
        assert "no images in it" in xprobe(*embed, "--json").err
        assert xprobe(*embed, "--shard", "1/2").code == 0  # A part may be empty.


def test_images_that_are_none_fail_in_every_command(data: Path, xprobe: Callable[..., Ran]) -> None:
    for file in data.rglob("*.png"):
        file.write_text("no image")
    for _ in range(2):  # What the store remembers is the same error.
        ran = xprobe("embed", "--encoder", "pixels")
        assert ran.code == 1
        assert "error: data: none of the images could be read; the first, /" in ran.err
    for command in ("sweep", "distance"):
        said = xprobe(command, "--encoder", "pixels")
        assert said.code == 1
        assert "error: none of the 30 images can be used with pixels; the first, real/" in said.err
    said = xprobe("scan", "-o", "m.csv")
    assert said.code == 1
    assert "error: data: none of the 30 files holds a readable image; the first, real/" in said.err
    assert not Path("m.csv").exists()


def test_images_without_classes_have_no_generators(data: Path, xprobe: Callable[..., Ran]) -> None:
    Path("list.txt").write_text("data/real/a/0.png\n")
    said = error_of(xprobe("embed", "list.txt", "--generator", "x", "--encoder", "pixels"))
    assert said.startswith("error: list.txt: images without classes have neither splits nor")
    said = error_of(xprobe("embed", "data", "list.txt", "--encoder", "pixels"))
    assert said.startswith("error: list.txt: images without classes are embedded alone; run")
    said = error_of(xprobe("embed", "list.txt", "--augment", "flip", "--encoder", "pixels"))
    assert "neither prompts nor views" in said


def test_shards_are_embedded_in_one_run_by_a_pattern_or_one_by_one(
    data: Path, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    for i in range(3):
        pack(tmp_path / f"{i}.tar", [f"real/a/{i}.png"], data)
    Path("list.txt").write_text("data/real/b/0.png\n")
    ran = xprobe("embed", "{0..1}.tar", "2.tar", "list.txt", "--encoder", "pixels", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["encoders"][0]["embedded"] == 4
    parts = [
        xprobe("embed", "{0..2}.tar", "--encoder", "pixels", "--shard", f"{i}/2", "--json").json
        for i in (1, 2)
    ]
    assert sum(part["encoders"][0]["reused"] for part in parts) == 3
    assert error_of(xprobe("embed", "{0..4}.tar", "--encoder", "pixels")).startswith(
        "error: {0..4}.tar: 2 of 5 files missing: 3.tar, 4.tar; "
    )


def test_shards_are_read_with_their_classes_where_an_option_needs_them(
    data: Path, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    """Without such an option their images are embedded one after another, and no class is read."""
    for label in ("a", "b"):
        with tarfile.open(tmp_path / f"{label}.tar", "w") as tar:
            for i in range(3):
                tar.add(data / f"real/{label}/{i}.png", f"{label}{i}.png")
                member = tarfile.TarInfo(f"{label}{i}.cls")
                member.size = 1
                tar.addfile(member, io.BytesIO(label.encode()))
    stream = xprobe("embed", "{a,b}.tar", "--encoder", "pixels", "--json")
    assert (stream.code, stream.err) == (0, "")
    views = xprobe("embed", "{a,b}.tar", "--encoder", "pixels", "--augment", "flip", "--views", "1",
                   "--json")  # fmt: skip
    assert views.code == 0 and "taken as: WebDataset, 2 classes × 3" in views.err
    outcome = views.json["encoders"][0]
    assert (outcome["images"], outcome["reused"], outcome["embedded"]) == (12, 6, 6)
    said = error_of(xprobe("embed", "a.tar", "--layout", "webdataset", "--label-key", "x",
                           "--encoder", "pixels"))  # fmt: skip
    assert "none of its 3 pictures has a .json with the key" in said


def pack(file: Path, names: list[str], data: Path) -> None:
    with tarfile.open(file, "w") as tar:
        for name in names:
            tar.add(data / name, name)


def test_a_cut_archive_keeps_its_first_images_and_ends_with_an_error(
    data: Path, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    images = [f"real/a/{i}.png" for i in range(3)]
    pack(tmp_path / "a.tar", images, data)
    with tarfile.open(tmp_path / "a.tar") as tar:
        last = tar.getmembers()[-1].offset
    with (tmp_path / "a.tar").open("r+b") as stream:
        stream.truncate(last + 700)
    pack(tmp_path / "b.tar", [f"real/b/{i}.png" for i in range(3)], data)
    (tmp_path / "list.txt").write_text("a.tar\nb.tar\n")
    ran = xprobe("embed", "list.txt", "--encoder", "pixels", "--json")
    assert ran.code == 1
    assert ran.json["encoders"][0]["embedded"] == 5
    (line,) = ran.err.splitlines()
    assert line.startswith(f"error: a.tar: damaged or cut at byte {last:,}; 700 bytes from there")
    assert xprobe("embed", "b.tar", "--encoder", "pixels").code == 0


@pytest.mark.parametrize("name", ["x.txt", "x.tar", "x.csv", "data/real/a/x.png"])
def test_a_pipe_is_waited_for_nowhere(
    name: str, data: Path, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / name)
    ran = xprobe("embed", "data" if name.startswith("data") else name, "--encoder", "pixels")
    if name.startswith("data"):
        assert ran.code == 0 and "1 image was skipped" in ran.err
        assert "a named pipe" in Path("features/failed.csv").read_text()
    else:
        (line,) = [line for line in ran.err.splitlines() if line.startswith("error: ")]
        assert ran.code == 1 and name in line


def test_what_samples_stand_for_is_warned_about_or_chosen(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    for file in sorted((data / "real").rglob("*.png")):
        picture = Image.open(file)
        Image.merge("RGBA", (*picture.split(), picture.getchannel("R"))).save(
            file.with_suffix(".tif")
        )
        file.unlink()
    for file in sorted((data / "synthetic").rglob("*.png")):
        grey = np.asarray(Image.open(file).convert("L")).astype(np.uint16) * 8
        Image.fromarray(grey).save(file)
    for command in (("scan",), ("embed", "--encoder", "pixels")):
        said = xprobe(*command).err
        assert "warning: real images have a band that their files call transparency" in said
        assert "warning: synthetic images of 16 bits use" in said
    ran = xprobe(
        "embed", "--encoder", "pixels", "--bands", "1,2,3", "--stretch", "0:2040", "--json"
    )
    assert (ran.code, ran.err) == (0, "")
    specs = [json.loads(file.read_text()) for file in Path("features").glob("*/encoder.json")]
    chosen = next(about["spec"] for about in specs if "bands" in about["spec"])
    assert (chosen["bands"], chosen["stretch"]) == ([1, 2, 3], [0, 2040])
    assert xprobe("embed", "--bands", "1,2").code == xprobe("embed", "--stretch", "9").code == 2


def test_images_of_13_bands_are_embedded_by_the_bands_that_are_named(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    """EuroSAT's files of Sentinel-2: without the names of bands every image is listed."""
    for i, file in enumerate(sorted(data.rglob("*.png"))):
        scene = np.random.default_rng(i).integers(0, 2750, (13, 16, 16)).astype(np.uint16)
        file.with_suffix(".tif").write_bytes(tiff_of(scene, crs="EPSG:32633"))
        file.unlink()
    assert xprobe("scan").code == 0
    ran = xprobe("embed", "--encoder", "pixels")
    assert ran.code == 1
    assert "choose them, such as with --bands 3,2,1" in Path("features/failed.csv").read_text()
    chosen = ("embed", "--encoder", "pixels", "--bands", "4,3,2", "--stretch", "0:2750")
    ran = xprobe(*chosen, "--json")
    assert (ran.code, ran.err) == (0, "")
    (outcome,) = json.loads(ran.out)["encoders"]
    assert outcome["failed"] == 0 and outcome["embedded"] == outcome["images"]
