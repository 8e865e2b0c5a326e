"""What the report says of all studies together."""

from __future__ import annotations

from makers import changed, make_study
from msgspec import structs

from xprobe.report.overview import facts, plans, warnings_of
from xprobe.report.words import Warned


def test_studies_of_older_rules_are_warned_of() -> None:
    old = structs.replace(make_study("a", warnings=("w",)), version=1)
    text = (
        "judged by the rules of version 1; run the same sweep again, which trains nothing anew. "
        "Until then it takes no part in study-wide claims"
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
    (plan,) = plans([make_study()])  # of version 1, which knows no seeds
    assert (plan.repeats, plan.seeds) == ("10 repeats", 1)


def test_the_estimand_is_a_fact() -> None:
    assert dict(facts([make_study()]))["Estimand"] == "mean over test images"
    grouped = changed(make_study(), "results", lambda _row: True, estimand="groups")
    assert dict(facts([grouped]))["Estimand"] == "mean over groups: a group never seen"
    assert plans([grouped])[0].estimand == "groups"
