"""``xprobe plan``: what could be detected, before and after a pilot."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

from makers import FAST, Ran, error_of, usage_error_of


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
    assert "choose one of --folds, --holdout" in usage_error_of(
        xprobe("plan", "--holdout", "0.3", "--folds", "3")
    )
    named = ("--encoder", "hog,mine", "--heads", "logistic,ridge")
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
    typical = xprobe("plan", "--ratios", "1,2", "--json").json["plan"][0]
    assert rows["logistic"]["detectable"] != typical["detectable"]
    assert 0 < rows["logistic"]["detectable"] < 1
    assert rows["finetune"]["detectable"] < 1
    no_pilot = "no study there has mixes with a standard error"
    assert no_pilot not in ran.err
    (document,) = Path("results/studies").glob("*.json")
    document.write_text(re.sub(r'"se": [^,]+,', '"se": null,', document.read_text()))
    assert no_pilot in xprobe("plan", "--results", "results").err
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
