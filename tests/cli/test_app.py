"""The commands as a user calls them: exit status, stdout, stderr, files."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import Ran

from xprobe.encoders.load import ENCODERS
from xprobe.report.study_section import LINEAGE_IGNORED

FAST = ("--ratios", "1,2", "--repeats", "1", "--c-grid", "1,100", "--workers", "1")


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    return make_data(real=5, synthetic=10)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of reports whose words alone are tested: drawing takes the time."""
    monkeypatch.setattr("xprobe.report.figures.study.draw", lambda _studies: iter(()))


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
        "difference_low difference_high p_adjusted p_mcnemar verdict detectable n_test n_groups "
        "dropped_by_lineage real_fraction train_per_class"
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
        ("sweep", "--real-curve", "2,x"),
        ("sweep", "--real-curve", "0,2"),
        ("sweep", "--real-curve", "2.5,4"),
        ("plan", "--ratios", "one"),
        ("report", "--cost-real", "2"),
        ("report", "--cost-synthetic", "0.1"),
        ("report", "--cost-real", "-2", "--cost-synthetic", "0.1"),
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
        (("--holdout", "1.5"), "--holdout takes a share between 0 and 1"),
        (("--holdout", "0.3", "--folds", "3"), "choose one of --folds, --holdout and --leave-one"),
        (("--leave-one-group-out", "--folds", "3"), "choose one of --folds, --holdout"),
        (("--group", "event"), "a folder has no columns; write a manifest with 'xprobe scan data"),
    ],
)
def test_impossible_choices_are_one_line(
    arguments: tuple[str, ...], said: str, data: Path, xprobe: Callable[..., Ran]
) -> None:
    assert said in error_of(xprobe("sweep", *arguments))


def test_a_learning_curve_becomes_a_worth_in_images_and_in_money(
    data: Path, xprobe: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    xprobe("embed", "--encoder", "pixels")
    curve = (*FAST, "--real-curve", "2,3,4")
    planned = xprobe("sweep", *curve, "--dry-run", "--json").json["studies"]
    assert [row["train_per_class"] for row in planned] == [2, 3, 4]
    swept = xprobe("sweep", *curve)
    assert swept.code == 0
    for size in (2, 3, 4):
        assert f"pixels · logistic head, {size} real of each class · generator" in swept.out
    ran = xprobe("report", "--cost-real", "2", "--cost-synthetic", "0.1", "--json")
    assert ran.code == 0
    valued = ran.json["valued"]
    assert [row["setting"] for row in valued] == ["1:1", "1:2"] * 2
    assert [row["synthetic_per_class"] for row in valued] == [2, 4, 3, 6]
    for row, cost in zip(valued, ("0.40", "0.80", "0.60", "1.20"), strict=True):
        assert row["cost"].startswith(f"{cost} for the synthetic, ")
        assert f"added to {row['real_per_class']:.0f} real ones, are worth" in row["words"]
    page = Path("report/index.html").read_text()
    summary = Path("report/summary.md").read_text()
    assert "What synthetic images are worth" in page
    assert "What the synthetic images are worth:" in summary
    for row in valued:
        assert row["cost"] in page
        assert row["cost"] in page
        assert row["words"] in summary
    assert "0.40 for the synthetic" in page
    assert {Path(file).stem for file in ran.json["figures"]} >= {"sizes-pixels-default"}
    monkeypatch.setattr(
        "xprobe.report.figures.study.draw", lambda _studies: iter(())
    )  # it takes the time
    plain = xprobe("report", "--json").json
    assert [row["cost"] for row in plain["valued"]] == [None] * 4
    assert "for the synthetic," not in Path("report/index.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_sizes_too_far_apart_are_told_before_training_and_once(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", "--encoder", "pixels")
    curve = ("sweep", *FAST, "--real-curve", "2,4")
    refused = "--real-curve 2,4 gives a learning curve, but not how many real images"
    assert refused in xprobe(*curve, "--dry-run").err
    swept = xprobe(*curve)
    assert swept.code == 0
    assert swept.err.splitlines()[0].startswith(f"warning: {refused}")
    assert swept.err.count(refused) == 1
    assert "Take --real-curve 2,3,4" in swept.err
    answer = xprobe(*curve, "--json").json
    assert answer["data_value"] == []
    assert sum(refused in text for text in answer["warnings"]) == 1
    assert {row["train_per_class"] for row in answer["results"]} == {2, 4}


def test_costs_without_a_learning_curve_are_a_warning(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", "--encoder", "pixels")
    xprobe("sweep", *FAST)
    ran = xprobe("report", "--cost-real", "2", "--cost-synthetic", "0.1")
    assert ran.code == 0
    assert "warning: costs need a learning curve: run 'xprobe sweep --real-curve" in ran.err
    assert "What synthetic images are worth" not in Path("report/index.html").read_text()


def test_errors_of_a_learning_curve_name_the_remedy(data: Path, xprobe: Callable[..., Ran]) -> None:
    xprobe("embed", "--encoder", "pixels")
    for wrong in (["20"], ["2,4", "--real-fraction", "0.5,1"], ["2,x"], ["0,4"]):
        assert xprobe("sweep", "--real-curve", *wrong).code == 2
    said = error_of(xprobe("sweep", *FAST, "--real-curve", "2,40"))
    assert "of class a a fold has 4 real training images; choose sizes up to that" in said
    assert not Path("results").exists()
    one = xprobe("report", "--cost-real", "2")
    assert one.code == 2
    assert "--cost-real and --cost-synthetic belong together" in " ".join(one.err.split())


@pytest.mark.usefixtures("no_figures")
def test_ignored_lineage_is_told_in_red_and_first_of_all(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", "--encoder", "pixels")
    ran = xprobe("sweep", *FAST, "--ignore-lineage")
    assert ran.code == 0
    assert ran.err.splitlines()[0].startswith("warning: LINEAGE WAS IGNORED, as asked: ")
    answer = xprobe("report", "--json").json["answer"]
    assert answer[0].startswith(f"{LINEAGE_IGNORED}. ")
    page = Path("report/index.html").read_text()
    assert f'<span class="random">{LINEAGE_IGNORED}</span>' in page
    assert re.search(r"\.random \{ color: var\(--alarm\)", page)
    assert "LINEAGE WAS IGNORED" in page
    summary = Path("report/summary.md").read_text()
    assert summary.startswith(f"# {LINEAGE_IGNORED}. ")
    assert f"({LINEAGE_IGNORED})" in summary
    xprobe("sweep", *FAST)
    assert LINEAGE_IGNORED not in xprobe("report", "--json").json["answer"][0]
    assert LINEAGE_IGNORED not in Path("report/index.html").read_text()


def test_a_plan_needs_no_synthetic_image_and_no_features(
    make_data: Callable[..., Path], xprobe: Callable[..., Ran]
) -> None:
    make_data(real=10, synthetic=0)
    ran = xprobe("plan", "--ratios", "1,2")
    assert ran.code == 0
    assert "what could be detected" in ran.out
    assert "10 (at hand)" in ran.out
    assert "80 % probability" in ran.out
    assert "“typical” is the range of studies of ten classes" in ran.err
    assert "–" in next(line for line in ran.out.splitlines() if "10 (at hand)" in line)
    rows = xprobe("plan", "--ratios", "1,2", "--sizes", "20,200", "--json").json["plan"]
    assert [(r["what"], r["real_per_class"], r["at_hand"]) for r in rows] == [
        (what, size, size == 10) for what in ("heads", "finetune") for size in (10, 20, 200)
    ]
    assert [r["test_images"] for r in rows] == [20, 40, 400] * 2
    assert {r["comparisons"] for r in rows} == {2}
    assert {r["basis"] for r in rows} == {"typical"}
    assert 1 > rows[0]["detectable"] > rows[1]["detectable"] > rows[2]["detectable"] > 0
    held = xprobe("plan", "--holdout", "0.3", "--sizes", "20", "--json").json["plan"]
    assert [r["test_images"] for r in held[:2]] == [6, 12]
    assert "choose one of --folds, --holdout" in error_of(
        xprobe("plan", "--holdout", "0.3", "--folds", "3")
    )
    named = ("--encoder", "hog", "--encoder", "mine", "--heads", "logistic,ridge")
    several = xprobe("plan", "--ratios", "1,2", *named)
    assert "A study-wide p takes 4 comparisons together" in several.out
    assert xprobe("plan", *named, "--json").json["comparisons_study_wide"] == 8
    wrong = xprobe("plan", "--sizes", "-5")
    assert (wrong.code, wrong.out) == (2, "")
    assert "--sizes takes numbers of images" in " ".join(wrong.err.split())


def test_a_plan_takes_the_variance_of_a_pilot(data: Path, xprobe: Callable[..., Ran]) -> None:
    xprobe("embed", "--encoder", "pixels")
    xprobe("sweep", *FAST)
    ran = xprobe("plan", "--ratios", "1,2", "--results", "results", "--sizes", "5", "--json")
    rows = {r["what"]: r for r in ran.json["plan"] if r["at_hand"]}
    assert rows["logistic"]["basis"] == "pilot with pixels"
    assert rows["finetune"]["basis"] == "typical"
    assert rows["logistic"]["detectable_low"] is None
    assert "mixes with a standard error" not in ran.err
    typical = xprobe("plan", "--ratios", "1,2", "--json").json["plan"][0]
    assert rows["logistic"]["detectable"] != typical["detectable"]
    assert 0 < rows["logistic"]["detectable"] < 1
    assert rows["finetune"]["detectable"] < 1
    said = error_of(xprobe("plan", "--results", "nowhere"))
    assert "nowhere: no results; run 'xprobe sweep' first" in said


def test_a_plan_of_events_counts_them(data: Path, xprobe: Callable[..., Ran]) -> None:
    xprobe("scan", "-o", "manifest.csv")
    with Path("manifest.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        line["event"] = f"event {int(Path(line['id']).stem) % 3}"
    with Path("manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    grouped = ("--group", "event", "--leave-one-group-out")
    (first, *_) = xprobe("plan", "manifest.csv", *grouped, "--json").json["plan"]
    assert (first["test_images"], first["groups"]) == (10, 3)
    xprobe("embed", "manifest.csv", "--encoder", "pixels")
    swept = xprobe("sweep", "manifest.csv", *FAST, *grouped)
    assert swept.code == 0
    assert "leave-one-group-out cross-validation over 3 groups, 1 repeat" in swept.out
    assert "--group evnt: it takes the column event" in error_of(
        xprobe("sweep", "manifest.csv", "--group", "evnt")
    )


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

    monkeypatch.setattr("xprobe.features.embed.embed_items", interrupt)
    ran = xprobe("embed", "--encoder", "pixels")
    assert ran.code == 130
    assert "run again to go on" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"], ["embed", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = (
        "torch numpy sklearn skimage h5py matplotlib faiss open_clip transformers scipy ray jinja2 "
        "pyarrow joblib msgspec pydantic rich"
    )
    code = (
        f"import sys; sys.argv = ['xprobe', *{arguments}]\n"
        "from xprobe.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(set({heavy.split()}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "\n"), done.stderr


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
