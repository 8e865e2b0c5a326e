"""``xprobe sweep``: its errors name the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, MakeData, Ran, error_of, usage_error_of


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ratios", "0"), "--ratios takes numbers above 0"),
        (("--ratios", "x"), "--ratios takes numbers like 1,2,3,4, not 'x'"),
        (("--real-fraction", "50%"), "--real-fraction takes shares above 0 and up to 1, such as"),
        (("--real-fraction", "2"), "--real-fraction takes shares above 0 and up to 1, such as"),
        (
            ("--heads", "svm"),
            "unknown head 'svm'; known: logistic, ridge, knn, text, text-soft, fi",
        ),
        (("--heads", "logistics"), "unknown head 'logistics' (did you mean logistic?)"),
        (("--method", "lpft"), "--method: unknown 'lpft' (did you mean lp-ft?)"),
        (("--alternatives", "clasic"), "unknown augmentation 'clasic' (did you mean classic or"),
        (("--repeats", "0"), "--repeats must be 1"),
        (("--per-class", "1"), "--per-class must be 2"),
        (("--folds", "1"), "--folds must be 2"),
        (("--c-grid", "1,-1"), "--c-grid takes numbers above 0"),
        (("--seed", "-1"), "--seed must be 0"),
        (("--holdout", "1.5"), "--holdout takes a share between 0 and 1"),
        (("--holdout", "0.3", "--folds", "3"), "choose one of --folds, --holdout and --leave-one"),
        (("--leave-one-group-out", "--folds", "3"), "choose one of --folds, --holdout"),
        (("--group", "evnt"), "--group evnt: it takes the column event"),
        (("--limit", "1"), "--limit must be 2 or more"),
        (("elsewhere", "--real", "elsewhere/real"), "both say where the images are"),
    ],
)
def test_what_no_data_could_make_right_is_wrong_usage(
    arguments: tuple[str, ...], said: str, data: Path, xprobe: Callable[..., Ran]
) -> None:
    assert said in usage_error_of(xprobe("sweep", *arguments))


def test_a_folder_has_no_column_to_group_by(data: Path, xprobe: Callable[..., Ran]) -> None:
    said = error_of(xprobe("sweep", "--group", "event"))
    assert "a folder has no columns; write a manifest with 'xprobe scan data" in said


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
    assert answer["headline"] == swept.out.splitlines()[-1] != ""
    assert sum(refused in text for text in answer["warnings"]) == 1
    assert {row["train_per_class"] for row in answer["results"]} == {2, 4}


def test_lineage_that_names_nothing_is_told_and_refused_if_it_is_required(
    misspelt: str, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", misspelt, "--encoder", "pixels")
    ran = xprobe("sweep", misspelt, *FAST, "--json")
    assert ran.code == 0
    for said in (
        "10 of 20 parents of synthetic images (10 different) name no real image of the study",
        "the lineage of 10 of 20 synthetic images is not known (generator default)",
    ):
        assert said in ran.err
        assert said in " ".join(ran.json["warnings"])
    mix = next(row for row in ran.json["results"] if row["setting"] == "mix")
    assert mix["dropped_by_lineage"] == 10  # those of class a, whose parents are file names
    refused = error_of(xprobe("sweep", misspelt, *FAST, "--require-lineage"))
    assert "10 of 20 synthetic images name no real image" in refused
    assert "data/synthetic/b/0.png (lost/0)" in refused
    both = xprobe("sweep", misspelt, "--require-lineage", "--ignore-lineage")
    assert both.code == 2
    assert "choose one of --ignore-lineage and --require-lineage" in both.err


def test_fewer_generators_are_judged_alike_and_nothing_is_trained_again(
    make_data: MakeData, xprobe: Callable[..., Ran]
) -> None:
    make_data(real=5, synthetic=10, generators=("x", "y"))
    xprobe("embed", "--encoder", "pixels")
    both = xprobe("sweep", *FAST, "--json").json["results"]
    trained = set(Path("results/predictions").rglob("*"))
    one = xprobe("sweep", *FAST, "--generator", "x", "--json").json["results"]
    assert set(Path("results/predictions").rglob("*")) == trained
    columns = ("setting", "ratio", "metric", "value", "difference", "difference_low", "verdict")
    rows = [[row[name] for name in columns] for row in both if row["generator"] == "x"]
    assert [[row[name] for name in columns] for row in one if row["generator"] == "x"] == rows
    assert {row["generator"] for row in one} == {None, "x"}
    assert "no such generator (did you mean x?); known: x, y" in error_of(
        xprobe("sweep", *FAST, "--generator", "xx")
    )
