"""The sentences of the answer: every comparison with its images, its intervals and its p."""

from __future__ import annotations

from collections.abc import Sequence

from makers import (
    changed,
    changed_config,
    claimed,
    make_comparison,
    make_study,
    with_comparisons,
)
from msgspec import structs

from xprobe.report.answer import Answer, answer
from xprobe.report.study_section import Costs
from xprobe.results.study import Study


def answer_to(*studies: Study, others: Sequence[Study] = ()) -> Answer:
    return answer(studies, [*studies, *others])


def test_a_mix_has_both_p_and_its_images() -> None:
    study = changed(
        claimed(make_study(ratios=(2,)), p=0.034), "results", lambda row: row.setting == "mix",
        synthetic_units=40.0,
    )  # fmt: skip
    (line,) = answer_to(study).lines
    assert line.sentence == (
        "clip · generator default · 1:2 (160 of these synthetic images, made of 40, added to 80 "
        "real ones) — +5.0 points [+3.0, +7.0], helps; p < 0.001 in its family, 0.034 study-wide; "
        "a difference of 2.8 points could have been detected."
    )
    assert line.badge == "helps"


def test_a_mix_that_is_not_separable_has_three_intervals() -> None:
    study = changed(
        claimed(make_study(ratios=(2,)), p=1.0), "results",
        lambda row: row.setting == "mix" and row.verdict,
        control_difference=-0.06, control_low=-0.08, control_high=-0.04, judged_low=-0.08,
        judged_high=0.07, p_adjusted=1.0, verdict="not separable from training longer",
    )  # fmt: skip
    (line,) = answer_to(study).lines
    assert (
        "— +5.0 points [+3.0, +7.0], not separable from training longer; "
        "−6.0 points [−8.0, −4.0] against its control, judged by [−8.0, +7.0]; "
        "p 1.000 in its family, 1.000 study-wide;"
    ) in line.sentence
    assert line.badge == "apart"


def test_every_sentence_of_a_comparison_names_its_images() -> None:
    study = changed(
        claimed(make_study(generators=("x", "y"))), "results",
        lambda row: row.generator == "y" and row.ratio == 4, augment="noise", p_study_wide=None,
    )  # fmt: skip
    said = answer_to(study)
    lines = [*said.lines, *said.others, *said.alternatives]
    assert len(lines) == 8
    assert all("of these synthetic images" in line.sentence for line in lines)
    assert all("80 real ones" in line.sentence for line in lines)


def test_generators_without_a_claim_stand_below_the_opening_too() -> None:
    effects = {"x": 0.05, "y": 0.0}
    study = make_study(generators=tuple(effects), effect=effects)
    said = answer_to(changed_config(study, real_fraction=0.25))
    assert said.opening.startswith("Of a part of the real images: 2 generators, with 40 real ")
    assert "helps in its family alone: x; no difference detected: y. " in said.opening
    assert "generator x: " in said.headline
    assert [one.generator for one in said.listed] == ["x", "y"]
    alone = answer_to(changed_config(make_study(), real_fraction=0.25))
    assert (alone.opening, alone.listed) == (alone.headline, ())


def test_studies_that_are_not_shown_are_listed() -> None:
    shown = claimed(make_study(created="2026"))
    seed = structs.replace(changed_config(shown, seed=1), key="1")
    wider = structs.replace(changed_config(shown, ratios=(0.5, 8), pooled=False), key="2")
    images = structs.replace(shown.manifest, fingerprint="0")
    other = structs.replace(shown, key="3", manifest=images)
    again = structs.replace(shown, key="4", created="2025")
    dino = claimed(make_study("dino"))
    floor = make_study("hog", source="builtin:hog")
    half = structs.replace(changed_config(make_study(), real_fraction=0.5), key="5")
    said = answer_to(shown, others=(seed, wider, other, again, dino, floor, half))
    assert said.left_out is not None
    assert said.left_out.sentence() == (
        "7 other studies of these results are not shown; 5 of them count in the study-wide p: "
        f"clip (older; seed 1; id 1), clip (older; ratios 0.5, 8; no pooled; id 2), "
        f"clip (older; other images; id 3), clip (older; id 4), "
        f"dino (not asked for; id {dino.key[:8]}), hog (not asked for; id {floor.key[:8]}) and 1 "
        "more ('xprobe studies' lists them)."
    )
    assert said.left_out.sentence() in said.sentences
    assert said.left_out.studies[-1] == "clip · 50 % of real (not asked for; id 5)"
    assert "; 5 further studies of it not shown: 5 helps" in said.headline
    assert answer_to(shown).left_out is None


def test_the_brief_answer_has_everything_but_a_sentence_for_each_comparison() -> None:
    study = with_comparisons(
        claimed(make_study(generators=("A", "B"), ratios=(1, 2), effect={"A": 0.05, "B": 0.01})),
        make_comparison("generators", "A", "B", 0.04, ratio=1),
        make_comparison("ratios", "1:2", "1:1", 0.03, generator="A"),
    )
    said = answer([study], [study], Costs(real=2, synthetic=1))
    assert [text.split(" with ")[0] for text in said.brief] == [
        said.headline.split(" with ")[0],
        "Generator A costs 16.00 a point of accuracy [11.43, 26.67].",
        "Generators of these synthetic images at 1:1",
        "Ratio of generator A",
        "What is claimed holds over all 4 mixes of these results together.",
        "There are 4 families of comparisons, each",
    ]
    assert said.sentences == [*said.brief, *(line.sentence for line in (*said.lines, *said.others))]
    assert said.are_priced
    assert not answer([study], [study]).are_priced


def test_a_generator_of_an_older_study_alone_stays_and_says_so() -> None:
    new = claimed(make_study(generators=("new",), created="2026-02", key="1" * 32))
    old = claimed(make_study(generators=("old",), created="2026-01", key="2" * 32, ratios=(1,)))
    said = answer([new, old], [new, old])
    assert [one.generator for one in said.generators] == ["new", "old"]
    assert said.left_out is None
    assert said.notes[0] == (
        "Generator old stands in an older study alone: clip (ratios 1; id 22222222). If it was "
        "renamed, 'xprobe studies remove 22222222' takes the former name out."
    )
