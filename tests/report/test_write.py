"""The report: answer first, self-contained, escaped, reproducible, and equal to the studies."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from makers import (
    Page,
    changed,
    changed_config,
    claimed,
    make_row,
    make_study,
    with_null_edits,
    written,
)
from msgspec import structs
from PIL import Image

from xprobe.base import documents
from xprobe.base.errors import XprobeError
from xprobe.base.visible import visible
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.kinds import KINDS, Kind
from xprobe.report import study_section, words
from xprobe.report import write as report
from xprobe.report.class_map import class_maps
from xprobe.report.figures import kept
from xprobe.report.figures.drawing import Drawing
from xprobe.report.figures.kept import INDEX
from xprobe.report.figures.plot import Plot
from xprobe.report.study_section import KeptOut, MetricCell
from xprobe.results import study as study_module
from xprobe.results.config import TrainingRecipe
from xprobe.results.families import families
from xprobe.results.rows import ClassResult, DataValue
from xprobe.results.study import Study, with_aliases

NASTY = (
    "<script>alert(1)</script>",
    'a "quoted" & b',
    "pipe|comma,*star*",
    "$x^2$",
    "日本語",
    "é" * 90,
)


# The columns that tell the rows of studies from each other, and the last ones of every study.
OF_STUDY = ["study", "name", "seed", "per_class", "folds", "created", "command"]
MADE = ("2026-01-01T00:00:00+00:00", "xprobe sweep")


def page_of(out: Path) -> Page:
    return Page((out / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> tuple[report.Written, Path]:
    """A report of two encoders with names that break what can be broken."""
    generators = ("<b>gén|1</b>", "x](http://evil)", "$a$", "日本", "con")
    a = make_study(
        "a/<i>", generators=generators, ratios=(1, 30), classes=NASTY, warnings=("<w>&",)
    )
    b = make_study("A/<i>", generators=generators[:2], ratios=(1, 30), classes=NASTY, effect=-0.05)
    return written(tmp_path_factory.mktemp("nasty"), a, b)


@pytest.mark.usefixtures("no_figures")
def test_the_first_lines_hold_the_answer(tmp_path: Path) -> None:
    answer, out = written(tmp_path, make_study(effect=0.129, half=0.045))
    headline = (
        "Yes, these synthetic images help. Generator default: helps, +12.9 points [+8.4, +17.4] at "
        "1:1 with 40 real images a class (clip)."
    )
    sentence = (
        "clip · generator default · 1:2 (160 of these synthetic images added to 80 real ones) — "
        "+12.9 points [+8.4, +17.4], helps; p < 0.001 in its family, < 0.001 study-wide; "
        "a difference of 6.3 points could have been detected."
    )
    assert answer.answer[0] == headline
    assert sentence in answer.answer
    lines = (out / "summary.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {headline}"
    # "<" before a space is no markup.
    assert f"- {sentence}" in lines[:10]
    texts = page_of(out).texts
    assert headline in texts[0]
    assert texts[1] == words.QUESTION and " ".join(texts[2:4]) == headline
    assert "clip default 1:2 +12.9 [+8.4, +17.4] helps < 0.001" in " ".join(texts)
    about = (
        "clip · default · 1:2 (160 of these synthetic images added to 80 real ones): +12.9 points"
    )
    assert f'title="{about} [+8.4, +17.4], helps; ' in (out / "index.html").read_text("utf-8")


@pytest.mark.usefixtures("no_figures")
def test_synthetic_only_is_a_question_of_its_own(tmp_path: Path) -> None:
    study = changed(
        make_study(effect=0.0), "results",
        lambda row: row.setting == "synthetic-only" and row.metric == "accuracy",
        difference=-0.2, verdict="hurts", n_train_synthetic=320.0, synthetic_units=320.0,
        p_adjusted=0.0,
    )  # fmt: skip
    answer, _ = written(tmp_path, study)
    assert answer.answer[0].startswith("Not detected that these synthetic images help")
    wanted = "(320 of these synthetic images in place of 80 real ones) — −20.0 points"
    assert wanted in answer.answer[-1]
    assert "worse than real-only; p < 0.001 in its family;" in answer.answer[-1]


@pytest.mark.usefixtures("no_figures")
def test_a_margin_reaches_the_page(tmp_path: Path) -> None:
    answer, out = written(tmp_path, make_study(effect=0.0, half=0.01, margin=0.02, ratios=(1,)))
    assert answer.answer[0].startswith("No difference that matters: these synthetic images neither")
    assert "equivalent within ±2 points;" in answer.answer[2]
    assert "Equivalent within ±2 points" in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figures")
def test_families_are_told_with_the_study_wide_p_of_their_mixes(tmp_path: Path) -> None:
    answer, out = written(tmp_path, make_study("e0"), make_study("e1", effect=0.0))
    note = answer.answer[2]
    assert note.startswith("There are 4 families of comparisons, each with its own error rate")
    assert note.endswith("of the mixes: e0 · default < 0.001, e1 · default 0.400.")
    lines = (out / "summary.md").read_text(encoding="utf-8").splitlines()
    assert "| e0 · default | 3 | < 0.001 | < 0.001 |" in lines
    assert "| e0 · default · in place of real | 1 | < 0.001 | – |" in lines


def test_the_page_fetches_nothing_and_runs_nothing(nasty: tuple[report.Written, Path]) -> None:
    text = (nasty[1] / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    inside = [url for url in page.urls if url.startswith("#")]
    assert {"#warnings", "#differences", "#measured", "#limits", "#glossary"} <= set(inside)
    assert all(f' id="{url[1:]}"' in text for url in inside)
    beside = {url for url in page.urls if not url.startswith(("#", "data:"))}
    assert all((nasty[1] / url).is_file() for url in beside)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\((?!#)|@import", text)
    # Of the two scripts one is data; the page allows the other by its digest.
    data, script = re.findall(r"<script[^>]*>(.*?)</script>", text, flags=re.DOTALL)
    assert json.loads(data)[0]["classes"] == list(NASTY)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "prefers-color-scheme: dark" in text


def test_names_are_escaped(nasty: tuple[report.Written, Path]) -> None:
    page = page_of(nasty[1])
    assert set(NASTY) <= set(page.texts)  # each as text, none as markup
    assert not {"i", "w"} & set(page.tags)
    markdown = (nasty[1] / "summary.md").read_text(encoding="utf-8")
    assert "\\<b\\>" in markdown  # shown as it is
    assert not re.search(r"(?<!\\)(<[A-Za-z]|\]\(http)", markdown)
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert columns == {4, 5, 11}  # side by side, families, settings: no cell is split


def test_every_figure_is_there_and_whole(nasty: tuple[report.Written, Path]) -> None:
    answer, out = nasty
    files = [Path(file) for file in answer.figures]
    assert sorted([*files, out / "figures" / INDEX]) == sorted((out / "figures").iterdir())
    of_all, of_study = ("matrix", "differences", "in-place"), ("accuracy", "macro_f1", "settings")
    n = len(of_all) + 2 * len(of_study) + 1  # and one confusion, of the study that is shown
    assert len({file.name.lower() for file in files}) == len(files) == 2 * n
    for file in files:
        assert re.fullmatch(r"[\w.-]+", file.name) and len(file.name.encode()) <= 124
        if file.suffix == ".svg":
            ElementTree.parse(file)
        else:
            with Image.open(file) as image:
                assert round(image.info["dpi"][0]) == 200
    markdown = (out / "summary.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\((figures/[^)]+)\)", markdown)
    assert len(named) == 3 + 2 * 2
    assert all((out / name).is_file() for name in named)


def test_figures_show_names_as_they_are(nasty: tuple[report.Written, Path]) -> None:
    (file,) = (nasty[1] / "figures").glob("confusion*.svg")
    svg = file.read_text(encoding="utf-8")
    root = ElementTree.fromstring(svg)
    texts = {e.text for e in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"$x^2$", "日本語", 'a "quoted" & b', "é" * 23 + "…"} <= texts


def test_the_same_studies_give_the_same_bytes(tmp_path: Path) -> None:
    _, out = written(tmp_path, make_study(generators=("g", "h")))
    report.write_report(tmp_path / "results", tmp_path / "again")
    first = {f.relative_to(out): f.read_bytes() for f in out.rglob("*") if f.is_file()}
    again = tmp_path / "again"
    second = {f.relative_to(again): f.read_bytes() for f in again.rglob("*") if f.is_file()}
    assert first == second
    assert not [name for name in first if name.name.startswith(".tmp")]


@pytest.mark.usefixtures("no_figures")
def test_the_tables_are_the_studies(tmp_path: Path) -> None:
    studies = [claimed(make_study("a", generators=("g,1", "g\n2"))), claimed(make_study("b"))]
    _, out = written(tmp_path, *studies)
    results = [row for study in with_aliases(studies) for row in study.results]
    rows = documents.to_json(results)
    assert {row["alias"] for row in rows} == {"a", "b"}
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    judged = [row for row in results if row.metric == "accuracy"]
    assert [float(row["accuracy"]) for row in read] == [row.value for row in judged]
    assert [row["generator"] for row in read] == [visible(r.generator or "") for r in judged]
    assert {(row["encoder"], row["study"]) for row in read} == {("a", "0" * 32), ("b", f"{1:032}")}
    assert {tuple(row[name] for name in OF_STUDY[1:]) for row in read} == {
        ("", "0", "", "1", *MADE)
    }
    with (out / "runs.csv").open(encoding="utf-8", newline="") as stream:
        runs = list(csv.DictReader(stream))
    wanted = [run.accuracy for study in studies for run in study.runs]
    assert [float(run["accuracy"]) for run in runs] == wanted
    assert [r["encoder"] for r in runs] == ["a"] * 9 + ["b"] * 5
    assert list(runs[0])[-len(OF_STUDY) :] == OF_STUDY
    whole = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [row | {"study": ""} for row in whole["results"]] == [
        row | dict(zip(OF_STUDY, ("", "", "0", None, 1, *MADE), strict=True)) for row in rows
    ]
    assert whole["families"] == documents.to_json(families(results))
    assert [s["encoder"]["label"] for s in whole["studies"]] == ["a", "b"]
    kept = {"config", "protocol", "encoder", "manifest", "warnings", "versions"}
    assert kept <= set(whole["studies"][0])


def test_own_old_figures_go_and_those_of_others_stay(tmp_path: Path) -> None:
    _, out = written(tmp_path, make_study(generators=("old", "new")))
    shutil.copy(out / "figures" / "matrix.svg", out / "figures" / "old.svg")
    Image.new("RGB", (4, 4)).save(out / "figures" / "mine.png")
    (out / "figures" / "mine.svg").write_text("<svg/>", encoding="utf-8")
    shutil.rmtree(tmp_path / "results")
    answer, _ = written(tmp_path, make_study(generators=("new",)))
    left = {f.name for f in (out / "figures").iterdir()}
    assert left == {Path(f).name for f in answer.figures} | {"mine.png", "mine.svg", INDEX}


@pytest.mark.usefixtures("no_figures")
def test_a_floor_is_called_one(tmp_path: Path) -> None:
    _, out = written(tmp_path, make_study("hog", source="builtin:hog"), make_study("clip"))
    for name in ("index.html", "summary.md"):
        text = (out / name).read_text(encoding="utf-8")
        assert re.search(rf"hog[^\n]*{words.FLOOR}", text)
        assert not re.search(rf"clip[^\n]*{words.FLOOR}", text)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("protocol", "said", "unsaid"),
    [
        ("5-fold cross-validation, 10 repeats", "(1 − 1/5)·n", "Fixed hold-out."),
        ("fixed hold-out, 5 repeats", "Fixed hold-out. The same 600 real images", "·n real"),
        ("something new", "something new; 600 real images", "Fixed hold-out."),
    ],
)
def test_the_protocol_in_words(tmp_path: Path, protocol: str, said: str, unsaid: str) -> None:
    _, out = written(tmp_path, make_study(protocol=protocol))
    for name in ("index.html", "summary.md"):
        text = (out / name).read_text(encoding="utf-8")
        assert said in text
        assert unsaid not in text
        assert "C has seen real labels" in text


@pytest.mark.usefixtures("no_figures")
def test_warnings_are_said_once_with_their_studies(tmp_path: Path) -> None:
    a, b = (make_study(e, warnings=("for all", "for two")) for e in ("a", "b"))
    c = of_other_images(make_study("c", warnings=("for all",)))
    _, out = written(tmp_path, a, b, c)
    markdown = (out / "summary.md").read_text(encoding="utf-8")
    own = markdown.split("## Warnings\n\n")[1].split("\n\n")[0].splitlines()
    assert own[0].startswith("- the studies are not of the same images")
    assert own[1:] == ["- for all", "- a, b: for two"]


@pytest.mark.usefixtures("no_figures")
def test_lineage_and_the_actual_ratio_are_shown(tmp_path: Path) -> None:
    study = changed(
        make_study(), "results", lambda row: row.ratio == 4 and row.metric == "accuracy",
        ratio_actual=3.5, dropped_by_lineage=1234,
    )  # fmt: skip
    _, out = written(tmp_path, study)
    page = " ".join(page_of(out).texts)
    assert "actual ratio 1:3.5" in page and "1,234" in page and "Dropped by lineage" in page
    assert "actual ratio 1:2" not in page
    assert "1:4 (actual 1:3.5)" in (out / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.129, "+12.9"), (-0.0041, "−0.4"), (3e-4, "+0.03"), (2e-5, "+0.002"), (0.0, "0.0")],
)  # fmt: skip
def test_points(fraction: float, text: str) -> None:
    assert words.points(fraction) == text


@pytest.mark.parametrize(
    ("p", "text"), [(5e-5, "< 0.001"), (0.0123, "0.012"), (0.0502, "0.0502"), (1.0, "1.000")]
)
def test_p(p: float, text: str) -> None:
    assert words.p_value(p) == text
    assert math.isclose(float(text.strip("< ")), p, abs_tol=1e-3)


def test_errors_surface(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match="xprobe sweep"):
        report.write_report(tmp_path / "none", tmp_path / "out")
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(OSError):
        written(tmp_path, make_study())


def test_the_callers_plots_are_untouched(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib; matplotlib.rcParams['image.origin'] = 'lower'\n"
        "from pathlib import Path; from xprobe.report.write import write_report\n"
        f"write_report(Path({str(tmp_path / 'results')!r}), Path({str(tmp_path / 'out')!r}))\n"
        "assert matplotlib.rcParams['image.origin'] == 'lower' \n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    study_module.save_study(tmp_path / "results", make_study(ratios=(1,)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    quiet = {f.name: f.read_bytes() for f in (tmp_path / "out" / "figures").iterdir()}
    report.write_report(tmp_path / "results", tmp_path / "out")
    assert quiet == {f.name: f.read_bytes() for f in (tmp_path / "out" / "figures").iterdir()}


# --- what is said of one study -------------------------------------------------------------


def make_class_row(name: str, ratio: float, difference: float, /, **more: Any) -> ClassResult:
    """A row of ``classes`` as `xprobe sweep` makes it: beyond 20 points it is a claim."""
    claim = "helps" if difference > 0 else "hurts"
    fields: dict[str, Any] = {
        "setting": "mix", "ratio": ratio, "generator": "default", "class_": name,
        "difference": difference, "low": difference - 0.2, "high": difference + 0.2,
        "p_adjusted": 0.5, "n_test": 9, "n_groups": 9,
        "verdict": claim if abs(difference) > 0.2 else "no detectable difference",
    }  # fmt: skip
    return ClassResult(**fields | more)


def with_metric(study: Study, metric: str, value: float, *difference: float) -> Study:
    """Add the rows of a metric to a study: real-only, and the mix 1:1 that differs from it."""
    rows = []
    for setting, ratio, generator in (("real-only", None, None), ("mix", 1, "default")):
        names = {"setting": setting, "ratio": ratio, "generator": generator}
        row = make_row("clip", names, metric, None, 0.0, None, study.protocol)
        row = structs.replace(row, value=value, ci_low=value - 0.1, ci_high=value + 0.1)
        if generator:
            ends = zip(("difference", "difference_low", "difference_high"), difference, strict=True)
            row = structs.replace(row, **dict(ends))
        rows.append(row)
    return structs.replace(study, results=(*study.results, *rows))


def of_other_images(study: Study) -> Study:
    """The same study of another image table."""
    images = structs.replace(study.manifest, fingerprint="00" * 32)
    return structs.replace(study, manifest=images)


def test_the_classes_that_pay_come_first_and_are_named() -> None:
    rows = (
        make_class_row("dog", 2, 0.01),
        make_class_row("dog", 1, 0.05),
        make_class_row("cat", 1, 0.1),
        make_class_row("cat", 2, -0.31),
        make_class_row("cat", 1, 0.9, generator=None, setting="strong", ratio=None),
        make_class_row("cat", 2, 0.9, augment="strong"),
        make_class_row("dog", 2, 0.1, generator="other"),
    )
    study = make_study(generators=("default", "other"), classes=("cat", "dog"))
    study = structs.replace(study, classes=rows)
    table, other = class_maps(study)
    assert (table.generator, table.titles, table.n) == ("default", ["1:1", "1:2"], 2)
    assert [(name, n) for name, n, _ in table.rows] == [("cat", 9), ("dog", 9)]
    assert [[cell and cell.badge for cell in cells] for *_, cells in table.rows] == [
        ["no", "hurts"], ["no", "no"]
    ]  # fmt: skip
    assert table.claims == ["cat −31.0 at 1:2"]
    assert (other.generator, other.titles, other.claims) == ("other", ["1:2"], [])


def test_synthetic_only_does_not_make_mixes_pale() -> None:
    rows = (
        make_class_row("cat", 1, 0.2),
        make_class_row("cat", 1, -0.9, setting="synthetic-only", ratio=None),
    )
    (table,) = class_maps(structs.replace(make_study(ratios=(1,)), classes=rows))
    ((_, _, cells),) = table.rows
    assert [cell and cell.shade for cell in cells] == [1, -1]


def test_of_very_many_classes_those_that_change_are_shown() -> None:
    rows = [make_class_row(f"c{i:03d}", 1, 0.5 if i == 99 else 0.0) for i in range(100)]
    study = structs.replace(make_study(), classes=tuple(rows))
    (table,) = class_maps(study)
    assert (len(table.rows), table.n) == (60, 100)
    assert [name for name, *_ in table.rows][:2] == ["c099", "c000"]


def test_other_metrics_stand_in_a_table_of_their_own() -> None:
    study = make_study(ratios=(1,))
    assert study_section.study_view(0, study, []).others.rows == []
    study = with_metric(study, "balanced_accuracy", 0.7123, 0.05, -0.004, 0.104)
    study = with_metric(study, "log_loss", 1.23456, -0.2, -0.4, 0.0001)
    study = with_metric(study, "squared_ece", -0.00123, 0.001, -0.002, 0.004)
    others = study_section.study_view(0, study, []).others
    assert others.titles == [
        "Balanced accuracy, %", "Log-loss, nats", "Squared calibration error, without its bias",
    ]  # fmt: skip
    (real, real_cells), (mix, mix_cells) = others.rows
    assert (real, mix) == ("real-only", "default · 1:1")
    assert real_cells == [MetricCell(value, "") for value in ("71.2", "1.235", "−0.0012")]
    assert [cell and cell.difference for cell in mix_cells] == [
        "+5.0 [−0.4, +10.4]", "−0.200 [−0.400, 0.000]", "+0.0010 [−0.0020, 0.0040]",
    ]  # fmt: skip


def test_what_lineage_kept_out_of_folds_is_counted_by_generator() -> None:
    study = make_study(generators=("x", "y"), ratios=(1, 2))
    assert study_section.study_view(0, study, []).kept_out == []
    runs = (*study.runs, *(structs.replace(run, fold=1) for run in study.runs))
    study = structs.replace(study, runs=runs)
    for fold in (0, 1):
        study = changed(
            study, "runs", lambda run, fold=fold: run.generator == "x" and run.fold == fold,
            dropped_by_lineage=4 + fold, dropped_in_inner_folds=7.5,
        )  # fmt: skip
    augmented = structs.replace(
        study.runs[0], setting="mix", ratio=1, generator="x", augment="strong",
        dropped_by_lineage=99,
    )  # fmt: skip
    study = structs.replace(study, runs=(*study.runs, augmented))
    assert study_section.study_view(0, study, []).kept_out == [KeptOut("x", 4, 5, 7.5, 7.5, 2)]


@pytest.mark.usefixtures("no_figures")
def test_what_stands_beside_the_verdict_reaches_the_page_and_is_escaped(tmp_path: Path) -> None:
    study = make_study(ratios=(1,), classes=NASTY)
    rows = tuple(make_class_row(name, 1, 0.3) for name in NASTY)
    study = with_metric(structs.replace(study, classes=rows), "brier", 0.5, -0.1, -0.2, 0.1)
    study = changed(
        study, "results", lambda row: row.setting == "mix" and row.metric == "accuracy",
        p_mcnemar=0.0123,
    )  # fmt: skip
    study = changed(
        study, "runs", lambda run: run.setting == "mix",
        dropped_by_lineage=1234, dropped_in_inner_folds=1500.2,
    )  # fmt: skip
    _, out = written(tmp_path, study)
    page = page_of(out)
    text = " ".join(page.texts)
    assert page.tags.count("script") == 2  # its own, and data
    assert "Detected: <script>alert(1)</script> +30.0 at 1:1;" in text
    assert "Which class pays? clip" in text
    assert "Brier score" in text and "−0.100 [−0.200, 0.100]" in text
    assert "McNemar’s p, first repeat" in text and "0.012" in text
    assert "1,234 synthetic images were kept out of each of 1 fold, and 1500 out of its" in text


@pytest.mark.usefixtures("no_figures")
def test_a_class_without_a_change_is_not_said_to_have_none(tmp_path: Path) -> None:
    study = structs.replace(make_study(), classes=(make_class_row("cat", 1, 0.05),))
    page = " ".join(page_of(written(tmp_path, study)[1]).texts)
    assert "No change of a class was detected." in page
    assert "intervals and verdicts hold for all classes and settings of the family" in page


@pytest.mark.usefixtures("no_figures")
def test_probabilities_without_a_temperature_have_no_interval(tmp_path: Path) -> None:
    study = with_metric(make_study(ratios=(1,)), "log_loss", 1.2, -0.2, -0.3, -0.1)
    study = changed(
        study, "results", lambda row: row.metric == "log_loss",
        ci_low=None, ci_high=None, difference_low=None, difference_high=None,
    )  # fmt: skip
    _, (_, cells) = study_section.study_view(0, study, []).others.rows
    assert cells == [MetricCell("1.200", "−0.200, no interval")]
    page = " ".join(page_of(written(tmp_path, study)[1]).texts)
    assert "without one they have no interval" in page


@pytest.mark.usefixtures("no_figures")
def test_a_study_of_an_older_xprobe_is_shown_without_what_it_lacks(tmp_path: Path) -> None:
    raw = documents.to_json(make_study(ratios=(1,)))
    for name in ("train_per_class", "holdout", "leave_one_group_out", "ignore_lineage"):
        del raw["config"][name]
    for row in raw["results"]:
        del row["p_mcnemar"], row["train_per_class"]
    _, out = written(tmp_path, documents.from_json(Study, raw))
    text = (out / "index.html").read_text(encoding="utf-8")
    for unsaid in ("Which class pays", "Other metrics", "McNemar", "LINEAGE", "are worth"):
        assert unsaid not in text


@pytest.mark.usefixtures("no_figures")
def test_a_leak_that_was_asked_for_is_said_before_everything(tmp_path: Path) -> None:
    study = changed_config(make_study(ratios=(1,)), ignore_lineage=True)
    answer, out = written(tmp_path, study)
    assert answer.answer[0].startswith("LINEAGE IGNORED: shows the size of a leak, and nothing ")
    page = (out / "index.html").read_text(encoding="utf-8")
    assert f'<summary>clip <span class="random">{words.LINEAGE_IGNORED}</span>' in page
    assert "Synthetic images made from test images were trained on." in page


# --- what synthetic images are worth -------------------------------------------------------


def valued(value: float, low: float, high: float) -> DataValue:
    """A row of ``data_value``: 40 synthetic images beside 20 real ones, a curve up to 80."""
    return DataValue(
        generator="default", ratio=2, real_per_class=20.0, synthetic_per_class=40.0, most=80.0,
        value=value, low=low, high=high, at_least=high >= 60, at_most=low <= 0,
    )  # fmt: skip


def worth_of(row: DataValue, costs: study_section.Costs | None = None) -> study_section.Valued:
    """Return the view of a study of two classes with this row alone."""
    studies = [make_study(data_value=(row,)), make_study("other")]
    (view,) = study_section.worth_view(studies, costs)
    return view


@pytest.mark.parametrize(
    ("row", "said", "interval"),
    [
        (valued(13.4, 5.2, 30.9), "are worth 13 further real ones", "[5, 31]"),
        (valued(13.4, 0.0, 30.9), "are worth 13 further real ones", "[≤ 0, 31]"),
        (valued(60.0, 25.0, 60.0), "are worth 60 real ones or more (the end of", "[25, ≥ 60]"),
        (valued(0.0, 0.0, 8.0), "are worth no real one", "[≤ 0, 8]"),
        (valued(31.0, 0.0, 60.0), "are worth 31 further real ones", "[≤ 0, ≥ 60]"),
    ],
)
def test_a_worth_in_words(row: DataValue, said: str, interval: str) -> None:
    view = worth_of(row)
    assert view.words.startswith(
        f"40 of these synthetic images of each class, added to 20 real ones, {said}"
    )
    assert (view.interval, view.title, view.study) == (interval, "1:2", "clip")
    assert view.cost is None


def augmented(row: DataValue, name: str) -> DataValue:
    """The same for an augmentation of real images alone."""
    return structs.replace(row, setting=name, ratio=None, generator=None, synthetic_per_class=0)


def test_the_worth_of_an_augmentation_in_words() -> None:
    row = augmented(valued(13.4, 5.2, 30.9), "classic")
    view = worth_of(row, study_section.Costs(2, 0.1))
    assert view.words == (
        "augmenting 20 real images of each class (classic) is worth 13 further real ones"
    )
    assert (view.title, view.cost) == ("classic", "53.60 for as many real ones")
    mix = worth_of(structs.replace(valued(13.4, 5.2, 30.9), augment="classic"))
    assert mix.title == "1:2 + classic"
    assert "added to 20 real ones and augmented, are worth 13" in mix.words


@pytest.mark.parametrize(
    ("row", "costs", "said"),
    [  # 80 synthetic images, and as many real ones as they are worth, of both classes
        (valued(13, 5, 30), (2, 0.1), "8.00 for the synthetic, 52.00 for as many real ones: synth"),
        (valued(13, 5, 30), (2, 0.3), "24.00 for the synthetic, 52.00 for as many real ones: whic"),
        (valued(13, 5, 30), (2, 1.5), "120.00 for the synthetic, 52.00 for as many real ones: whi"),
        (valued(13, 5, 30), (2, 50), "4,000.00 for the synthetic, 52.00 for as many real ones: re"),
        (valued(0, 0, 8), (2, 0.1), "8.00 for the synthetic, 0.00 for as many real ones: which is"),
        (valued(0, 0, 8), (2, 1), "80.00 for the synthetic, 0.00 for as many real ones: real ima"),
        (valued(0, 0, 8), (2, 0), "0.00 for the synthetic, 0.00 for as many real ones: which is c"),
        (valued(60, 25, 60), (2, 9), "720.00 for the synthetic, 240.00 for as many real ones: whi"),
        (valued(60, 25, 60), (2, 1), "80.00 for the synthetic, 240.00 for as many real ones: synt"),
    ],
)
def test_what_is_cheaper_is_said_only_where_the_whole_interval_says_so(
    row: DataValue, costs: tuple[float, float], said: str
) -> None:
    cost = worth_of(row, study_section.Costs(*costs)).cost or ""
    assert cost.startswith(said)
    endings = ("synthetic images are cheaper", "real images are cheaper", "cannot be told")
    assert cost.endswith(endings)


@pytest.mark.usefixtures("no_figures")
def test_the_worth_is_part_of_the_answer(tmp_path: Path) -> None:
    flip = augmented(valued(7.2, 0.0, 12.0), "flip")
    small, large = (
        changed(
            changed_config(make_study(ratios=(2,), data_value=rows), train_per_class=size),
            "results", lambda _row: True, train_per_class=size,
        )
        for size, rows in ((20, (valued(13.4, 5.2, 30.9), flip)), (80, ()))
    )  # fmt: skip
    answer, out = written(tmp_path, small, large)
    sentence = (
        "clip · 20 real of each class · generator default · 1:2 — 40 of these synthetic images of "
        "each class, added to 20 real ones, are worth 13 further real ones [5, 31]."
    )
    assert answer.answer[-2:] == (
        sentence,
        "clip · 20 real of each class · alternatives · flip — augmenting 20 real images of each "
        "class (flip) is worth 7 further real ones, and maybe none [≤ 0, 12].",
    )
    assert [row.value for row in answer.valued] == [13.4, 7.2]
    assert f"- {sentence}" in (out / "summary.md").read_text(encoding="utf-8").splitlines()
    page = " ".join(page_of(out).texts)
    assert "What synthetic images and augmentations are worth" in page
    assert "Worth, further real of each class" in page and "13 [5, 31]" in page
    assert "80 real images of each class are trained on in every fold" in page
    whole = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [f["train_per_class"] for f in whole["families"]] == [20, 20, 80, 80]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("fields", "said", "unsaid"),
    [
        (
            {"strength": "the shrinkage"},
            "**Choice.** The shrinkage is chosen for",
            "Choice of C",
        ),
        ({"strength": ""}, "**Choice.** none.", "is chosen for every fit"),
        ({}, "**Choice of C.** The strength of the penalty", "**Training"),
        ({"takes_steps": True}, "**Training.** all weights", "Training an encoder itself"),
    ],
)
def test_how_it_was_made_follows_from_the_row_of_the_head(
    fields: dict[str, Any], said: str, unsaid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Kind("toy", "A toy.", "", **fields)
    monkeypatch.setitem(KINDS.rows, "toy", kind)  # type: ignore[arg-type]
    recipe = documents.from_json(TrainingRecipe, documents.to_json(Recipe()))
    _, out = written(tmp_path, changed_config(make_study(), head="toy", recipe=recipe))
    summary = (out / "summary.md").read_text(encoding="utf-8")
    assert "A toy." in summary and said in summary
    assert unsaid not in summary


def undrawn(plot: Plot) -> Drawing:
    """Return a figure that has its names alone."""
    return Drawing(plot.name, plot.kind, plot.study, plot.title, b"<svg/>", b"")


def test_a_path_of_weights_stands_in_provenance_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Titles, tables and files have the short name; JSON and CSV have both."""
    path = "timm:vit//home/me/w.safetensors"
    answer, out = written(tmp_path, make_study(path, ratios=(1,)), make_study("hog", ratios=(1,)))
    stems = {file.stem for file in (out / "figures").iterdir()}
    assert "accuracy-vit" in stems and not any("home" in stem or "timm" in stem for stem in stems)
    assert all("/home/me" not in sentence for sentence in answer.answer)
    for file in (out / "figures").glob("*.svg"):
        assert "/home/me" not in file.read_text(encoding="utf-8")
    texts = [text for text in page_of(out).texts if "/home/me" in text]
    assert texts == [path]
    with (out / "runs.csv").open(encoding="utf-8", newline="") as stream:
        assert {(r["encoder"], r["alias"]) for r in csv.DictReader(stream)} == {
            (path, "vit"), ("hog", "hog"),
        }  # fmt: skip
    whole = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert {f["alias"] for f in whole["families"]} == {"vit", "hog"}
    monkeypatch.setattr(kept, "_draw", undrawn)
    results = tmp_path / "results"
    again = report.write_report(results, tmp_path / "again", [f"帽 子={path}", "hog"])
    assert any(Path(file).stem == "accuracy-帽-子" for file in again.figures)
    only = report.write_report(results, tmp_path / "only", ["vit"])
    assert not any("hog" in file for file in only.figures)


@pytest.mark.usefixtures("no_figures")
def test_null_edits_have_a_column_on_the_page_and_in_the_summary(tmp_path: Path) -> None:
    _, out = written(tmp_path, with_null_edits(make_study(), 0.01, 0.03, 1))
    title, left = "To as many null edits, points", "+3.0 [+1.0, +5.0]"
    page = (out / "index.html").read_text()
    assert f"<th>{title}</th>" in page
    assert "<td>+3.0 <small>[+1.0, +5.0]</small></td>" in page
    summary = (out / "summary.md").read_text()
    assert f" {title} |" in summary and f"| {left} |" in summary
    heads = [line for line in summary.splitlines() if line.startswith("| Generator | Setting |")]
    start = summary.splitlines().index(heads[0])
    table = summary.splitlines()[start : start + 6]
    assert len({line.count("|") for line in table}) == 1
    assert "its fingerprint alone (null edits" in summary
    (tmp_path / "plain").mkdir()
    _, plain = written(tmp_path / "plain", make_study())
    assert title not in (plain / "index.html").read_text() + (plain / "summary.md").read_text()
