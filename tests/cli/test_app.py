"""The commands as a user calls them, one after the other: exit status, stdout, stderr, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, error_of


def test_the_three_commands_give_the_whole_study(data: Path, xprobe: Callable[..., Ran]) -> None:
    assert xprobe("embed", "--encoder", "hog,pixels").code == 0
    swept = xprobe("sweep", "--encoder", "hog, pixels", *FAST)
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
        "difference_low difference_high p_adjusted p_study_wide p_mcnemar verdict detectable "
        "n_test n_groups estimand within_margin judged_low judged_high synthetic_units "
        "dropped_by_lineage real_fraction train_per_class"
    )
    assert all(set(fields.split()) <= set(row) for row in first["results"])
    setting = next(row for row in first["settings"] if row["setting"] == "mix")
    assert (setting["encoder"], setting["head"], setting["classes"]) == (
        "hog",
        "logistic",
        ["a", "b"],
    )
    assert [len(setting[name]) for name in ("confusion", "recall", "precision", "f1")] == [2] * 4
    assert sum(map(sum, setting["confusion"])) == 10
    again = xprobe("sweep", *FAST, "--json").json
    assert again["results"] == first["results"]
    assert xprobe("embed", "--encoder", "hog", "--json").json["encoders"][0]["reused"] == 30
    assert Path(xprobe("report", "--json").json["report"]).is_file()


@pytest.mark.usefixtures("no_figures")
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


@pytest.mark.parametrize("command", ["scan", "embed", "sweep"])
def test_a_missing_or_empty_folder_is_one_line(
    command: str, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    assert "no such folder or manifest file" in error_of(xprobe(command))
    (tmp_path / "data/real/a").mkdir(parents=True)
    assert "no images found" in error_of(xprobe(command))


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
        ("embed", "--precision", "fp8"),
        ("embed", "--match-codec", "webp"),
        ("embed", "--augment", "mixup"),
        ("distance", "--metrics", "mdd"),
        ("plan", "--heads", "svm"),
    ],
)
def test_wrong_usage_is_exit_status_2(
    arguments: tuple[str, ...], xprobe: Callable[..., Ran]
) -> None:
    ran = xprobe(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err


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
