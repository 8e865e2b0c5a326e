"""results.csv has a row a comparison and a column a metric, and says no more than the study."""

from __future__ import annotations

from makers import changed, make_row, make_study
from msgspec import structs

from xprobe.base import documents
from xprobe.report.tables.columns import OF_STUDY
from xprobe.report.tables.results import RESULTS, comparisons, runs
from xprobe.report.words import verdict_words
from xprobe.results.rows import Result, Run
from xprobe.verdict.metrics import METRICS


def test_a_row_has_every_number_of_its_setting() -> None:
    study = changed(
        make_study(generators=("a", "b"), name="n"), "results",
        lambda row: row.setting == "mix" and row.metric == "accuracy",
        p_study_wide=0.01, control_difference=0.1, control_low=0.0, control_high=0.2,
    )  # fmt: skip
    rows = comparisons([study])
    assert len(rows) == len(study.results) // 2
    assert all(row.keys() >= OF_STUDY.keys() for row in rows)
    placed = {(r["setting"], r["generator"], r["ratio"], r["augment"]): r for r in rows}
    for result in documents.to_json(study.results):
        row = placed[result["setting"], result["generator"], result["ratio"], result["augment"]]
        metric = result["metric"]
        for end, field in (("", "value"), ("_low", "ci_low"), ("_high", "ci_high")):
            assert row[metric + end] == result[field]
        for end in ("", "_low", "_high"):
            assert row[f"{metric}_difference{end}"] == result[f"difference{end}"]
        if metric == "accuracy":
            measured = ("metric", "value", "ci_low", "ci_high", "protocol")
            alike = {k for k in result if k not in measured and not k.startswith("difference")}
            alike -= {"verdict"} if result["setting"] != "mix" else set()
            assert {k: row[k] for k in alike} == {k: result[k] for k in alike}


def test_settings_that_differ_in_one_name_are_rows_of_their_own() -> None:
    study = make_study(ratios=(1,))
    names = [("mix", 1, "g", None), ("mix", 1, "h", None), ("mix", 2, "g", None),
             ("mix", 1, "g", "mixup"), ("mixup", None, None, None)]  # fmt: skip
    more = [
        structs.replace(
            make_row("e", {"setting": s, "ratio": r, "generator": g}, m, 0.1, 0.2, None, "p"),
            augment=a,
        )
        for m in ("macro_f1", "accuracy")
        for s, r, g, a in names
    ]
    rows = comparisons([structs.replace(study, results=(*study.results[:2], *more))])
    assert [tuple(row[k] for k in ("setting", "ratio", "generator", "augment")) for row in rows][
        1:
    ] == names
    assert all(row["verdict"] for row in rows[1:])  # also where accuracy is not the first metric


def test_what_adds_nothing_to_the_real_images_has_the_word_of_the_page() -> None:
    study = changed(make_study(effect=-0.05), "results", lambda row: True, within_margin=True)
    only = next(row for row in study.results if row.setting == "synthetic-only" and row.verdict)
    classic = structs.replace(only, setting="classic", generator=None)
    rows = comparisons([structs.replace(study, results=(*study.results, classic))])
    assert [(row["setting"], row["verdict"]) for row in rows] == [
        ("real-only", None), *[("mix", "hurts")] * 3, ("synthetic-only", "worse than real-only"),
        ("classic", "worse than real-only"),
    ]  # fmt: skip
    assert verdict_words(only) == "worse than real-only, by less than the margin"


def test_a_control_has_its_accuracy_alone() -> None:
    setting = {"setting": "real-more", "ratio": 1, "generator": None}
    row = make_row("e", setting, "accuracy", None, 0.1, None, "a, b, c")
    study = make_study()
    (*_, last) = comparisons([structs.replace(study, results=(*study.results, row))])
    assert (last["accuracy"], last.get("macro_f1"), last["protocol"]) == (
        row.value,
        None,
        "a; b; c",
    )


def test_columns_are_those_of_every_metric_in_a_fixed_order() -> None:
    names = list(RESULTS)
    assert len(set(names)) == len(names)
    ends = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    first = names.index("accuracy")
    assert names[first : first + 6] == [f"accuracy{end}" for end in ends]
    others = [f"{metric}{end}" for metric in list(METRICS)[1:] for end in ends]
    assert names[-len(OF_STUDY) - len(others) : -len(OF_STUDY)] == others
    assert names[-len(OF_STUDY) :] == list(OF_STUDY)
    measured = {"metric", "value", "ci_low", "ci_high", "difference", "difference_low",
                "difference_high"}  # fmt: skip
    assert set(documents.field_names(Result)) - measured < set(names)
    types = {name: RESULTS[name] for name in ("encoder", "ratio", "n_test", "n_train_real",
             "within_margin", "train_per_class", "verdict", "folds", "seed")}  # fmt: skip
    assert list(types.values()) == [str, float, int, float, bool, int, str, int, str]


def test_runs_say_whose_seed_their_repeat_has() -> None:
    made = [Run(setting="real-only", repeat=i, fold=0, accuracy=0.5) for i in range(4)]
    study = make_study(runs=tuple(made), seeds=(7, 8))
    study = structs.replace(study, config=structs.replace(study.config, repeats=2))
    columns, rows = runs([study])
    assert [row["seed"] for row in rows] == [7, 7, 8, 8]
    assert columns[:3] == ["encoder", "alias", "head"]
    assert columns[-len(OF_STUDY) :] == list(OF_STUDY)
    unseeded = structs.replace(study, seeds=(), version=1)
    assert {row["seed"] for row in runs([unseeded])[1]} == {study.config.seed}
