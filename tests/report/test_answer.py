"""The sentences of the answer: every comparison with its images, its intervals and its p."""

from __future__ import annotations

from collections.abc import Sequence

from makers import changed, changed_config, claimed, make_study
from msgspec import structs

from xprobe.report.answer import Answer, answer
from xprobe.report.left_out import LeftOut, left_out
from xprobe.results.families import families
from xprobe.results.study import Study


def answer_to(*studies: Study, others: Sequence[LeftOut] = ()) -> Answer:
    rows = [row for study in studies for row in study.results]
    return answer(studies, families(rows), others)


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
    every = (shown, seed, wider, other, again, dino, floor, half)
    said = answer_to(shown, others=left_out([shown], every))
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
    assert "judged together with all 18 of the folder" in said.headline
    assert answer_to(shown).left_out is None
