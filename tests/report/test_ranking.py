"""Generators against each other: places, the set of those not shown to be worse, and costs."""

from __future__ import annotations

from makers import claimed, make_comparison, make_study, with_comparisons

from xprobe.report.panel import panels
from xprobe.report.ranking import cost_words, pooled_sentences, ranking, ranking_sentences
from xprobe.report.study_section import Costs
from xprobe.results.study import Study

EFFECTS = {"A": 0.04, "B": 0.05, "C": 0.0}


def compared(encoder: str = "clip", **effects: float) -> Study:
    """A study that has compared its three generators at 1:1; of a difference ± 2 points."""
    effects = EFFECTS | effects
    study = claimed(make_study(encoder, generators=("A", "B", "C"), ratios=(1,), effect=effects))
    pairs = (("A", "B"), ("A", "C"), ("B", "C"))
    rows = [make_comparison("generators", a, b, effects[a] - effects[b], ratio=1) for a, b in pairs]
    return with_comparisons(study, *rows)


def test_the_best_and_those_not_shown_to_be_worse_are_named() -> None:
    rows = ranking(panels([compared()]))
    assert [(row.generator, row.place, row.badge) for row in rows] == [
        ("B", 1, ""), ("A", 2, "no"), ("C", 3, "hurts"),
    ]  # fmt: skip
    assert [row.words for row in rows] == [
        "the best",
        "not shown to be worse than B: −1.0 points [−3.0, +1.0]",
        "worse than B: −5.0 points [−7.0, −3.0]",
    ]
    assert rows[1].difference == "+4.0 [+2.0, +6.0]"
    assert ranking_sentences(panels([compared()]), rows) == [
        "Generators of these synthetic images at 1:1 with 40 real images a class, not shown to be "
        "worse than the best with clip: B, A; shown to be worse: C."
    ]


def test_over_several_encoders_it_is_counted_with_how_many_one_is_worse() -> None:
    speaking = panels([compared(), compared("dino", A=0.08)])
    assert ranking_sentences(speaking, ranking(speaking)) == [
        "Generators of these synthetic images at 1:1 with 40 real images a class, not shown to be "
        "worse than the best with any of 2 encoders: A; shown to be worse: B (with 1 of 2), C "
        "(with 2 of 2)."
    ]


def test_several_ratios_are_told_in_one_sentence() -> None:
    def of(encoder: str, worse_at: tuple[float, ...]) -> Study:
        """B is worse than A, the best, at some ratios, and C at all of them."""
        ratios = (1.0, 2.0, 4.0)
        effects = {"A": 0.05, "B": 0.04, "C": 0.0}
        rows = [
            make_comparison("generators", "A", name, difference, ratio=ratio)
            for ratio in ratios
            for name, difference in (("B", 0.03 if ratio in worse_at else 0.01), ("C", 0.05))
        ]
        study = make_study(encoder, generators=("A", "B", "C"), ratios=ratios, effect=effects)
        return with_comparisons(claimed(study), *rows)

    speaking = panels([of("clip", (4,)), of("dino", (2, 4)), of("siglip", ())])
    assert ranking_sentences(speaking, ranking(speaking)) == [
        "Generators of these synthetic images with 40 real images a class, not shown to be worse "
        "than the best with any of 3 encoders: A at every ratio, B at 1:1; shown to be worse: B at "
        "1:2, 1:4 (with 1–2 of 3), C at every ratio (with 3 of 3)."
    ]
    alone = panels([of("clip", ())])
    (sentence,) = ranking_sentences(alone, ranking(alone))
    assert sentence.endswith("with clip: A, B at every ratio; shown to be worse: C at every ratio.")


def test_a_study_that_compared_no_generators_ranks_none() -> None:
    assert ranking(panels([claimed(make_study(generators=("A", "B")))])) == []


def test_all_generators_together_are_told_with_their_interval() -> None:
    studies = [
        with_comparisons(
            claimed(make_study(name, generators=("A", "B"))),
            make_comparison("pooled", "mix-pooled", "real-only", effect, ratio=2),
            make_comparison("pooled", "mix-pooled", "real-only", effect - 0.04, ratio=4),
        )
        for name, effect in (("clip", 0.05), ("dino", 0.03))
    ]
    assert pooled_sentences(panels(studies)) == [
        "All generators of these synthetic images together with 40 real images a class, as many "
        "images as of one of them, against real-only in a family of its own (median of 2 "
        "encoders): +4.0 points [+1.0, +7.0] at 1:2, better; 0.0 points [−3.0, +3.0] at 1:4, no "
        "detectable difference."
    ]


def test_a_point_costs_what_its_images_do() -> None:
    study = compared()
    costs = Costs(real=2, synthetic=0.5)
    rows = panels([study])[0].at_ratio(1)  # 80 synthetic images, +4.0 points [+2.0, +6.0]
    assert cost_words(rows, costs) == "10.00 a point of accuracy [6.67, 20.00]"
    hurt = panels([compared(C=-0.01)])[2].at_ratio(1)
    assert cost_words(hurt, costs) == "40.00 for no point of accuracy"
    unsure = panels([compared(C=0.01)])[2].at_ratio(1)  # +1.0 points [−1.0, +3.0]
    assert cost_words(unsure, costs) == "39.99 a point of accuracy [13.33, no bound]"
    assert cost_words(rows, None) == ""
    assert [row.cost for row in ranking(panels([study]), costs)][1].startswith("10.00 a point")
