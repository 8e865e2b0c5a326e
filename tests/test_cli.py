"""The commands as a user calls them: exit status, stdout, stderr, files."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran

from xprobe.encoders import ENCODERS

FAST = ("--ratios", "1,2", "--repeats", "1", "--c-grid", "1,100", "--workers", "1")


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    return make_data(real=5, synthetic=10)


def error_of(ran: Ran) -> str:
    assert ran.code == 1
    assert ran.out == ""
    lines = [line for line in ran.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_the_three_commands_give_the_whole_study(data: Path, xprobe: Callable[..., Ran]) -> None:
    assert xprobe("embed", "--encoder", "hog", "--encoder", "pixels").code == 0
    swept = xprobe("sweep", *FAST)
    assert swept.code == 0
    assert (
        "pixels · logistic head · generator default · 5-fold cross-validation, 1 repeat"
        in swept.out
    )
    reported = xprobe("report")
    assert reported.code == 0
    assert "1:2" in reported.out
    page = Path("report/index.html").read_text()
    assert "hog" in page
    assert "pixels" in page
    assert Path("report/summary.md").is_file()


def test_json_is_one_document_a_command_with_the_promised_fields(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    scanned = xprobe("scan", "--json").json
    assert scanned["images"] == 30
    assert {
        "class": "a",
        "source": "synthetic",
        "generator": "default",
        "split": "train",
        "n": 10,
    } in scanned["counts"]
    assert isinstance(scanned["warnings"], list)
    for row in xprobe("encoders", "--json").json["encoders"]:
        assert {"name", "source", "dim", "input_px", "licence", "local"} <= set(row)
    embedded = xprobe("embed", "--encoder", "hog", "--json").json
    assert embedded["store"] == "features"
    (row,) = embedded["encoders"]
    counts = {k: row[k] for k in ("images", "embedded", "reused", "failed")}
    assert counts == {"images": 30, "embedded": 30, "reused": 0, "failed": 0}
    assert {"name", "key", "dim", "seconds", "images_per_s"} <= set(row)
    first = xprobe("sweep", *FAST, "--json").json
    fields = (
        "encoder generator head protocol setting ratio metric value ci_low ci_high difference "
        "difference_low difference_high p_adjusted verdict detectable n_test n_groups "
        "dropped_by_lineage"
    )
    assert all(set(fields.split()) <= set(row) for row in first["results"])
    again = xprobe("sweep", *FAST, "--json").json
    assert again["results"] == first["results"]
    assert xprobe("embed", "--encoder", "hog", "--json").json["encoders"][0]["reused"] == 30
    assert Path(xprobe("report", "--json").json["report"]).is_file()


def test_a_loop_over_encoders_adds_to_one_report(data: Path, xprobe: Callable[..., Ran]) -> None:
    for name in ("hog", "pixels"):
        assert xprobe("embed", "--encoder", name, "--json").json
        swept = xprobe("sweep", "--encoder", name, *FAST, "--json").json
        assert {row["encoder"] for row in swept["results"]} == {name}
    xprobe("report")
    shown = json.loads(Path("report/results.json").read_text())["results"]
    assert {row["encoder"] for row in shown} == {"hog", "pixels"}
    xprobe("report", "--encoder", "hog")
    shown = json.loads(Path("report/results.json").read_text())["results"]
    assert {row["encoder"] for row in shown} == {"hog"}


def test_scan_writes_a_manifest_that_the_other_commands_take(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    assert xprobe("scan", "-o", "manifest.csv").code == 0
    xprobe("embed", "--encoder", "pixels")
    again = xprobe("embed", "manifest.csv", "--encoder", "pixels", "--json").json
    assert again["encoders"][0]["embedded"] == 0
    assert xprobe("sweep", "manifest.csv", *FAST).code == 0


@pytest.mark.parametrize("command", ["scan", "embed", "sweep"])
def test_a_missing_or_empty_folder_is_one_line(
    command: str, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    assert "no such folder or manifest file" in error_of(xprobe(command))
    (tmp_path / "data/real/a").mkdir(parents=True)
    assert "no images found" in error_of(xprobe(command))


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
        assert "generator default has no images of class lonely" in ran.err
        assert said in error_of(xprobe("sweep"))
    else:
        assert said in error_of(xprobe("embed", "--encoder", "pixels"))


def test_errors_of_a_sweep_name_the_remedy(data: Path, xprobe: Callable[..., Ran]) -> None:
    assert "make one with 'xprobe embed'" in error_of(xprobe("sweep"))
    xprobe("embed", "--encoder", "pixels")
    said = error_of(xprobe("sweep"))
    assert "1:3" not in said
    assert "class a (10 of 16), b (10 of 16); the largest possible ratio is 1:2" in said
    assert "--allow-fewer" in said
    assert xprobe("sweep", *FAST, "--ratios", "4", "--allow-fewer").code == 0
    assert "did you mean pixels" in error_of(xprobe("sweep", "--encoder", "pixel"))
    assert "fewer real images than that of class a (5)" in error_of(
        xprobe("sweep", "--per-class", "9")
    )
    assert "unknown head 'logistics' (did you mean logistic?)" in error_of(
        xprobe("sweep", "--heads", "logistics")
    )


def test_errors_of_embed_name_the_remedy(
    data: Path, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    assert "did you mean hog" in error_of(xprobe("embed", "--encoder", "hgo"))
    (tmp_path / "file").write_text("")
    assert "a file stands where a folder is needed" in error_of(
        xprobe("embed", "--encoder", "hog", "--out", "file")
    )
    assert "unknown precision" in error_of(xprobe("embed", "--encoder", "hog", "--precision", "x"))
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
        patch.setattr("xprobe.lanes.SHARD_ROWS", 4)
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


def test_equal_content_is_a_warning(data: Path, xprobe: Callable[..., Ran]) -> None:
    content = (data / "real/a/0.png").read_bytes()
    (data / "synthetic/a/copy.png").write_bytes(content)
    (data / "test/a").mkdir(parents=True)
    (data / "test/a/copy.png").write_bytes(content)
    ran = xprobe("scan")
    assert ran.code == 0
    assert "warning: 1 images are the same file as real and as synthetic" in ran.err
    assert "warning: 1 images are the same file in training and test part" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("sweep", "--ratios", "one"),
        ("sweep", "--margin", "2"),
        ("embed", "--batch-size", "0"),
        ("embed", "--no-such-option"),
    ],
)
def test_wrong_usage_is_exit_status_2(
    arguments: tuple[str, ...], xprobe: Callable[..., Ran]
) -> None:
    ran = xprobe(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ratios", "0"), "ratios must be positive"),
        (("--repeats", "0"), "--repeats must be 1"),
        (("--per-class", "1"), "--per-class must be 2"),
        (("--folds", "1"), "--folds must be 2"),
        (("--c-grid", "1,-1"), "every value of C"),
        (("--seed", "-1"), "--seed must be 0"),
    ],
)
def test_impossible_choices_are_one_line(
    arguments: tuple[str, ...], said: str, data: Path, xprobe: Callable[..., Ran]
) -> None:
    assert said in error_of(xprobe("sweep", *arguments))


def test_a_report_without_results_names_the_command(xprobe: Callable[..., Ran]) -> None:
    assert "run 'xprobe sweep' first" in error_of(xprobe("report"))


def test_odd_names_survive_the_whole_way(
    make_data: Callable[..., Path], xprobe: Callable[..., Ran]
) -> None:
    make_data(classes=("Überschwemmung, stark", 'wind "storm" <b>|&'), real=5, synthetic=10)
    assert xprobe("embed", "--encoder", "pixels").code == 0
    assert xprobe("sweep", *FAST).code == 0
    assert xprobe("report").code == 0
    page = Path("report/index.html").read_text()
    assert "Überschwemmung, stark" in page
    assert "<b>|" not in page


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
    assert "RANDOM WEIGHTS" in xprobe("sweep", *FAST).err
    xprobe("report")
    page = Path("report/index.html").read_text()
    assert '<span class="random">RANDOM WEIGHTS' in page
    assert "RANDOM WEIGHTS" in Path("report/summary.md").read_text()


def test_a_layer_that_is_not_there_is_one_line(data: Path, xprobe: Callable[..., Ran]) -> None:
    name = "timm:test_vit.r160_in1k"
    ran = xprobe("embed", "--encoder", name, "--random-weights", "--layer", "projected")
    assert "use --layer pooled" in error_of(ran)
    assert "leave the option out" in error_of(
        xprobe("embed", "--encoder", "hog", "--layer", "pooled")
    )


def test_fetch_says_what_is_missing_or_that_it_loads(xprobe: Callable[..., Ran]) -> None:
    assert xprobe("encoders", "fetch", "hog", "--json").json["encoders"][0]["dim"] == 420
    assert "did you mean hog" in error_of(xprobe("encoders", "fetch", "hgo"))


def test_interrupts_end_with_130_and_a_word(
    data: Path, xprobe: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xprobe.extract.embed_items", interrupt)
    ran = xprobe("embed", "--encoder", "pixels")
    assert ran.code == 130
    assert "run again to go on" in ran.err
    assert "Traceback" not in ran.err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['xprobe', '--help']\n"
        "from xprobe.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'sklearn', 'skimage', 'h5py', 'matplotlib', 'faiss', 'open_clip', "
        "'transformers', 'scipy', 'ray', 'jinja2', 'pyarrow'}\n"
        "sys.exit(sorted(heavy & set(sys.modules)).__repr__() if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_and_module_form_agree() -> None:
    from xprobe import __version__

    done = subprocess.run(
        [sys.executable, "-m", "xprobe", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"xprobe {__version__}\n"


def test_a_closed_pipe_is_no_traceback(data: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "xprobe", "encoders"],
        stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    os.close(write)
    assert "Traceback" not in done.stderr


def test_every_encoder_is_listed_with_what_the_floors_are_for(xprobe: Callable[..., Ran]) -> None:
    ran = xprobe("encoders")
    assert all(name in ran.out for name in ENCODERS)
    assert "a floor that a learned encoder must beat" in ran.out
