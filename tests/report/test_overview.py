"""What the report says of all studies together, and by which rules it judges."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from makers import Page, changed, changed_config, make_study, written
from msgspec import structs

from xprobe.report import words
from xprobe.report import write as report
from xprobe.report.overview import count_tables, facts, plans, warnings_of
from xprobe.report.words import Warned
from xprobe.results import study as study_module
from xprobe.results.hits import Hits, save_hits
from xprobe.results.rows import MixComparison, SettingRow
from xprobe.results.study import Study

GOLDEN = Path(__file__).parents[1] / "golden" / "results-v1"


def test_studies_of_older_rules_are_warned_of() -> None:
    old = structs.replace(make_study("a", warnings=("w",)), version=1)
    text = (
        "judged by the rules of version 1; run the same sweep again; only the pooled arm is "
        "trained. Until then it takes no part in study-wide claims"
    )
    assert warnings_of([old]) == [Warned("", text), Warned("", "w")]
    assert warnings_of([make_study("b"), old]) == [Warned("a", text), Warned("a", "w")]
    assert warnings_of([make_study("b")]) == []


def test_seeds_that_are_pooled_are_said() -> None:
    study = make_study(
        seeds=(0, 3), protocol="5-fold cross-validation, 20 repeats of 2 seeds, 50 % of real"
    )
    (plan,) = plans([study])
    assert (plan.repeats, plan.seeds) == ("20 repeats of 2 seeds", 2)
    assert dict(facts([study]))["Protocol"] == "5-fold cross-validation, 20 repeats of 2 seeds"
    both = dict(facts([make_study(), study]))["Protocol"].split("; ")
    assert both == [make_study().protocol, "5-fold cross-validation, 20 repeats of 2 seeds"]
    (plan,) = plans([make_study()])  # of version 1, which knows no seeds
    assert (plan.repeats, plan.seeds) == ("10 repeats", 1)


def test_the_estimand_is_a_fact() -> None:
    assert dict(facts([make_study()]))["Estimand"] == "mean over test images"
    grouped = changed(make_study(), "results", lambda _row: True, estimand="groups")
    assert dict(facts([grouped]))["Estimand"] == "mean over groups: a group never seen"
    assert plans([grouped])[0].estimand == "groups"


# --- the rules, in the report --------------------------------------------------------------


def both(out: Path) -> tuple[str, str]:
    """The texts of the page, and the summary."""
    page = " ".join(Page((out / "index.html").read_text(encoding="utf-8")).texts)
    return page, (out / "summary.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figures")
def test_the_rules_are_told(tmp_path: Path) -> None:
    _, out = written(tmp_path, make_study(half=0.01, margin=0.3))
    for text in both(out):
        for said in (
            "A family is the mixes of one encoder, generator and head at all ratios; synthetic-on",
            "whether they are shown or not, so that a second try buys nothing: step by step from",
            "Standard errors treat every image as its own group.",
            "Those of accuracy and other shares are Wilson’s",
            "hold for other test images given these training images",
            "by Bonferroni’s correction over all classes and settings of a family",
            "at the temperature that the inner folds of each fit chose",
            "“By less than the margin” means: a difference is certain",
            "by the noncentral t distribution",
        ):
            assert said in text, said
        # The word stands in the sentence of a mix and in its row of the table.
        assert text.count("helps, by less than the margin") >= 6
        for unsaid in ("Holm", "McNemar", "CR2", "intersection–union", "other seeds"):
            assert unsaid not in text, unsaid


@pytest.mark.usefixtures("no_figures")
def test_every_rule_has_a_paragraph_of_its_own(tmp_path: Path) -> None:
    pooled = "5-fold cross-validation, 20 repeats of 2 seeds"
    fixed = make_study("c", protocol="fixed hold-out, 5 repeats")
    studies = make_study("a", margin=0.1), make_study("b", protocol=pooled, seeds=(0, 7)), fixed
    _, out = written(tmp_path, *studies, changed_config(make_study("d"), head="finetune"))
    _, summary = both(out)
    part = summary.split("## How this was measured")[1].split("## What may not")[0]
    # A line that ends in a tag would swallow the next one without an empty line after it.
    terms = re.findall(r"^\*\*([A-Z][^.(]*?)(?: \([^)]*\))?\.\*\* ", part, re.M)
    assert terms == [
        "What is compared", *["Protocol"] * 4, "Ratios",
        *["Head", "Choice of C", "Test images"] * 3,
        "Head", "Training", "Control", "Test images",
        "Verdicts", "Equivalence", "Study-wide", "Detectable", "Own values", "Classes",
        "Probabilities",
    ]  # fmt: skip
    assert len(part.strip().split("\n\n")) == len(terms)


@pytest.mark.usefixtures("no_figures")
def test_outside_of_the_set_there_is_no_word_of_it(tmp_path: Path) -> None:
    _, out = written(tmp_path, make_study("hog", source="builtin:hog"))
    for text in both(out):
        assert "so that a second try buys nothing" not in text
        assert "Of a floor encoder without learned weights: generator default: helps" in text
    assert "Study-wide p" not in both(out)[0]
    assert "Study-wide p" not in both(out)[1]


@pytest.mark.usefixtures("no_figures")
def test_groups_are_told_to_be_never_seen(tmp_path: Path) -> None:
    study = changed(make_study(), "results", lambda _row: True, n_groups=12)
    _, out = written(tmp_path, study)
    assert all("groups differ in size (CR2, with Bell and McCaffrey’s" in t for t in both(out))
    study = changed(study, "results", lambda _row: True, estimand="groups")
    _, out = written(tmp_path, changed_config(study, leave_one_group_out=True))
    page, summary = both(out)
    for text in (page, summary):
        assert "are a mean over groups: what they say is of a group never seen" in text
        assert "mean over groups: a group never seen" in text
        assert "CR2" not in text
    assert "Values and differences are a mean over groups: a group never seen." in page


@pytest.mark.usefixtures("no_figures")
def test_pooled_seeds_are_told(tmp_path: Path) -> None:
    protocol = "5-fold cross-validation, 20 repeats of 2 seeds"
    _, out = written(tmp_path, make_study(protocol=protocol, seeds=(0, 7)))
    page, summary = both(out)
    for text in (page, summary):
        assert "real images with 20 repeats of 2 seeds, stratified by class" in text
        assert "Repeats of other seeds count as further repeats of the same study." in text
    assert "Seeds 0, 7" in page
    assert "seeds 0 and 7, xprobe" in summary


def test_a_control_has_columns_of_its_own_and_its_word_a_mark(tmp_path: Path) -> None:
    study = changed(
        make_study(ratios=(1, 2)), "results",
        lambda row: row.ratio == 2 and row.metric == "accuracy",
        control_difference=-0.06, control_low=-0.08, control_high=-0.04, judged_low=-0.08,
        judged_high=0.07, p_adjusted=1.0, verdict="not separable from training longer",
    )  # fmt: skip
    _, out = written(tmp_path, changed_config(study, head="finetune"))
    page, summary = both(out)
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert columns == {5, 13}  # families, settings: no cell is split
    assert any("| −6.0 [−8.0, −4.0] | [−8.0, +7.0] | 1.000 | 1.000 |" in line for line in rows)
    assert "−6.0 [−8.0, −4.0] judged by [−8.0, +7.0] not separable from training longer" in page
    for text in (page, summary):
        assert "spans the intervals of both (their hull)" in text
    assert "−6.0 points [−8.0, −4.0] against its control, judged by [−8.0, +7.0];" in summary
    svg = (out / "figures" / "differences.svg").read_text(encoding="utf-8")
    assert "not separable from training longer" in svg


@pytest.mark.usefixtures("no_figures")
def test_a_table_says_of_how_many_images_synthetic_ones_were_made(tmp_path: Path) -> None:
    study = changed(
        make_study(ratios=(4,)), "results", lambda row: row.setting == "mix", synthetic_units=80.0
    )
    page, summary = both(written(tmp_path, study)[1])
    assert "80 + 320 made of 80" in page
    assert "| 80 + 320 made of 80 |" in summary


@pytest.mark.usefixtures("no_figures")
def test_mixes_against_each_other_reach_the_page(tmp_path: Path) -> None:
    row = MixComparison(
        kind="generators", subject="<x>", against="y", generator=None, ratio=2, metric="accuracy",
        difference=0.1, low=0.05, high=0.15, p=0.0123, verdict="better",
    )  # fmt: skip
    page, _ = both(written(tmp_path, make_study(comparisons=(row,)))[1])
    assert "Mixes against each other" in page
    assert "one generator or another 1:2 <x> y +10.0 [+5.0, +15.0] 0.012 better" in page
    page, _ = both(written(tmp_path, make_study())[1])
    assert "Mixes against each other" not in page


@pytest.mark.usefixtures("no_figures")
def test_how_far_fine_tunes_trained_reaches_the_report(tmp_path: Path) -> None:
    study = changed_config(make_study(ratios=(1,)), head="finetune")
    page, summary = both(written(tmp_path / "before", study)[1])
    assert "How the fine-tunes trained" not in page + summary  # an older xprobe said nothing of it
    trained = changed(
        study, "runs", lambda _run: True, steps=3, training_accuracy=0.975, moved=0.00041
    )
    again = structs.replace(
        trained.runs[1], fold=1, steps=1200, training_accuracy=None, moved=0.021
    )
    page, summary = both(
        written(tmp_path / "after", structs.replace(trained, runs=(*trained.runs, again)))[1]
    )
    assert "How the fine-tunes trained, from the least to the most" in page
    assert "real-only 3 97.5 0.0410 default · 1:1 3–1,200 97.5 0.0410–2.10 default · syn" in page
    assert "| default · 1:1 | 3–1,200 | 97.5 | 0.0410–2.10 |" in summary


# --- studies that are judged together -----------------------------------------------------


@pytest.mark.usefixtures("no_figures")
def test_studies_of_version_1_are_shown_and_claim_nothing(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "results")
    answer = report.write_report(tmp_path / "results", tmp_path / "out").answer
    assert answer[0].startswith("By the rules of an older version: generator g: no difference")
    assert "it trains nothing but the pooled arm." in answer[0]
    page, summary = both(tmp_path / "out")
    for text in (page, summary):
        assert "judged by the rules of version 1; run the same sweep again; only the pooled" in text
        assert "takes no part in study-wide claims" in text
    whole = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert {row["p_study_wide"] for row in whole["results"] + whole["families"]} == {None}


def hits_of(study: Study, gained: int, seed: int) -> Hits:
    """Hits on 60 images: the mixes get so many right that real-only gets wrong."""
    trained = [SettingRow(setting="real-only"), *(
        SettingRow(setting="mix", ratio=row.ratio, generator=row.generator)
        for row in study.results if row.setting == "mix" and row.metric == "accuracy"
    )]  # fmt: skip
    hit = np.repeat((np.random.default_rng(seed).random(60) < 0.5)[None], len(trained), axis=0)
    for row in hit[1:]:
        row[np.flatnonzero(~row)[:gained]] = True
    image = np.array([f"image {i}" for i in range(60)], dtype=object)
    return Hits(
        tuple(trained), hit[:, None], np.zeros((1, 60), int), np.zeros(1, int), image, image,
        np.arange(60) % 2,
    )  # fmt: skip


@pytest.mark.usefixtures("no_figures")
def test_what_is_shown_changes_nothing_about_what_is_claimed(tmp_path: Path) -> None:
    """Study-wide p come from the hits of all studies, and reach every table."""
    for number, (name, gained) in enumerate({"a": 9, "b": 1, "c": 1, "d": 1}.items()):
        study = structs.replace(make_study(name, ratios=(1,)), key=f"{number:032d}")
        digest = save_hits(tmp_path / "results", study.key, hits_of(study, gained, number))
        study_module.save_study(tmp_path / "results", structs.replace(study, hits=digest))
    every, one = (tmp_path / name for name in ("every", "one"))
    report.write_report(tmp_path / "results", every)
    answer = report.write_report(tmp_path / "results", one, ["a"]).answer
    shown = [json.loads((out / "results.json").read_text())["results"] for out in (every, one)]
    p = [
        [row["p_study_wide"] for row in rows if row["encoder"] == "a" and row["setting"] == "mix"]
        for rows in shown
    ]
    assert p[0] == p[1]
    assert 0.0005 < p[0][0] < 0.03
    assert p[0][1] is None  # macro-F1 is not judged
    assert "; 3 further studies of it not shown: 3 not certain." in answer[0]
    assert "What is claimed holds over all 4 mixes of these results together." in answer
    assert answer[3].startswith("3 other studies of these results are not shown; all count in ")
    page, summary = both(one)
    assert f"helps {words.p_value(p[0][0])} " in page
    assert f"{words.p_value(p[0][0])} study-wide" in summary
    with (one / "results.csv").open(encoding="utf-8", newline="") as stream:
        assert str(p[0][0]) in {row["p_study_wide"] for row in csv.DictReader(stream)}


def test_null_edits_are_counted_apart() -> None:
    study = make_study()
    rows = [row for row in study.manifest.counts if row.generator]
    more = [structs.replace(row, control="null-edit", n=7) for row in rows]
    images = structs.replace(study.manifest, counts=(*study.manifest.counts, *more))
    (table,) = count_tables([structs.replace(study, manifest=images)])
    assert table.columns == [
        ("real", "", "train"), ("synthetic", "default", "train"),
        ("synthetic", "default, null-edit", "train"),
    ]  # fmt: skip
    assert table.totals == [201, 201, 14]
