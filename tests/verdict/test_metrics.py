"""Metrics agree with scikit-learn, the bootstrap with a slow one, calibration with its truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    top_k_accuracy_score,
)

from xprobe.verdict import metrics

K = 4
PAIRS = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, K - 1)), min_size=1, max_size=40)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    label, predicted = np.array(pairs, dtype=np.intp).T
    return label, predicted


@given(PAIRS)
def test_confusion_and_accuracy_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    label, predicted = columns(pairs)
    expected = confusion_matrix(label, predicted, labels=range(K))
    assert_array_equal(metrics.confusion(label, predicted, K), expected)
    assert metrics.accuracy(label, predicted) == accuracy_score(label, predicted)


@given(PAIRS)
def test_macro_f1_is_scikit_learns_over_the_classes_that_are_tested(
    pairs: list[tuple[int, int]],
) -> None:
    label, predicted = columns(pairs)
    expected = f1_score(
        label, predicted, labels=sorted(set(label)), average="macro", zero_division=0
    )
    found = metrics.macro_f1(metrics.confusion(label, predicted, K))
    assert_allclose(found, expected, rtol=1e-12)


@given(PAIRS)
def test_values_per_class_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    label, predicted = columns(pairs)
    precision, recall, f1, _ = precision_recall_fscore_support(
        label, predicted, labels=range(K), zero_division=0
    )
    found = metrics.per_class(metrics.confusion(label, predicted, K))
    assert_allclose(found, (recall, precision, f1), rtol=1e-12)


def test_macro_f1_of_many_matrices_is_that_of_each() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (5, 2, K, K))
    each = [[metrics.macro_f1(c) for c in pair] for pair in counts]
    assert_allclose(metrics.macro_f1(counts), each)


def test_perfect_is_one_and_always_wrong_is_zero() -> None:
    label = np.arange(K).repeat(3)
    assert metrics.macro_f1(metrics.confusion(label, label, K)) == 1
    assert metrics.macro_f1(metrics.confusion(label, (label + 1) % K, K)) == 0


# --- means over images -------------------------------------------------------------------


def scored(k: int, n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (n,) of every class, some rare; log-probabilities (n, k); the probabilities."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(k), np.minimum(rng.integers(0, k, n - k), k // 2)])
    raw = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[label]
    p = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return label, np.log(p), p


@pytest.mark.parametrize("k", [2, 3, 6, 9, 10, 14])
def test_means_over_images_are_scikit_learns(k: int) -> None:
    label, score, p = scored(k, seed=k)
    found = {name: value.mean() for name, value in metrics.per_image(label, score).items()}
    predicted = p.argmax(axis=1)
    truth = np.eye(k)[label]
    expected = {
        "accuracy": accuracy_score(label, predicted),
        "balanced_accuracy": balanced_accuracy_score(label, predicted),
        "log_loss": log_loss(label, p, labels=range(k)),
        "brier": np.mean([((p[i] - truth[i]) ** 2).sum() for i in range(len(p))]),
        "confidence": p.max(axis=1).mean(),
    }
    if k > 2:
        top = 2 if k < 10 else 5
        expected[f"top{top}_accuracy"] = top_k_accuracy_score(label, score, k=top, labels=range(k))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_each_image_has_its_own_loss_and_confidence() -> None:
    label, score, p = scored(4)
    found = metrics.per_image(label, score)
    for i in range(len(label)):
        assert found["log_loss"][i] == pytest.approx(-np.log(p[i, label[i]]))
        assert found["confidence"][i] == pytest.approx(p[i].max())
        assert found["accuracy"][i] == (p[i].argmax() == label[i])
        assert found["top2_accuracy"][i] == (label[i] in np.argsort(p[i])[-2:])


def test_scores_need_not_be_normalised() -> None:
    label, score, _ = scored(4)
    shift = np.random.default_rng(0).normal(size=(len(label), 1)) * 50
    one, other = metrics.per_image(label, score), metrics.per_image(label, score + shift)
    for name in one:
        assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_scores_far_apart_have_finite_losses() -> None:
    found = metrics.per_image(np.array([0, 1]), np.array([[0, 2000.0], [-3000.0, 0]]))
    assert found["log_loss"].tolist() == [2000, 0]
    assert found["brier"].tolist() == [2, 0]
    assert found["confidence"].tolist() == [1, 1]


def test_balanced_accuracy_leaves_out_classes_without_test_images() -> None:
    label, score, p = scored(5)
    kept = label != 3
    found = metrics.per_image(label[kept], score[kept])["balanced_accuracy"].mean()
    expected = recall_score(
        label[kept], p[kept].argmax(axis=1), labels=[0, 1, 2, 4], average="macro"
    )
    assert found == pytest.approx(expected, rel=1e-12)


# --- calibration -------------------------------------------------------------------------


def in_bins(confidence: np.ndarray, hit: np.ndarray, bins: int) -> list[tuple[float, float, int]]:
    """(confidence, accuracy, images) of bins of equal size."""
    order = np.argsort(confidence)
    return [(confidence[own].mean(), hit[own].mean(), len(own))
            for own in np.array_split(order, bins)]  # fmt: skip


def calibration(confidence: np.ndarray, hit: np.ndarray) -> float:
    (found,) = metrics.squared_calibration_error(confidence, hit, np.ones((1, len(hit))))
    return float(found)


@pytest.mark.parametrize(("n", "bins"), [(12, 1), (19, 1), (60, 6), (150, 15), (900, 15)])
def test_the_squared_calibration_error_is_that_of_bins_less_chance(n: int, bins: int) -> None:
    rng = np.random.default_rng(n)
    confidence, hit = rng.uniform(0.4, 1, n), (rng.random(n) < 0.6).astype(float)
    expected = np.average(
        [(c - a) ** 2 - a * (1 - a) / (m - 1) for c, a, m in in_bins(confidence, hit, bins)],
        weights=[m for *_, m in in_bins(confidence, hit, bins)],
    )
    assert calibration(confidence, hit) == pytest.approx(expected, rel=1e-9)


def test_a_calibrated_model_has_no_calibration_error_on_average() -> None:
    """At 180 images, where the plain estimate says that it had."""
    rng = np.random.default_rng(0)
    found, plain = [], []
    for _ in range(400):
        confidence = rng.uniform(0.5, 1, 180)
        hit = (rng.random(180) < confidence).astype(float)
        found.append(calibration(confidence, hit))
        plain.append(np.mean([(c - a) ** 2 for c, a, _ in in_bins(confidence, hit, 15)]))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert np.mean(plain) > 30 * error
    assert np.sqrt(np.mean(plain)) > 0.07


@pytest.mark.parametrize(("shift", "n"), [(-0.2, 180), (-0.1, 100_000), (0.3, 100_000)])
def test_the_squared_calibration_error_of_a_shifted_model_is_the_square_of_the_shift(
    shift: float, n: int
) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400 if n < 1000 else 1):
        confidence = rng.uniform(0.4, 0.6, n)
        hit = (rng.random(n) < confidence + shift).astype(float)
        found.append(calibration(confidence, hit))
    error = 2 * abs(shift) * 0.5 / np.sqrt(n * len(found))  # that of the mean shift, mostly
    assert np.mean(found) == pytest.approx(shift**2, abs=4 * error)


@given(
    st.lists(
        st.tuples(st.floats(0.2, 1), st.booleans(), st.integers(0, 2)), min_size=2, max_size=9
    ).filter(lambda rows: sum(w for *_, w in rows) > 1)
)
def test_an_image_of_weight_two_counts_as_two_in_a_bin(
    rows: list[tuple[float, bool, int]],
) -> None:
    """So few images, once and repeated, have a single bin."""
    confidence, hit, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    times = weight.astype(int)
    (found,) = metrics.squared_calibration_error(confidence, hit, weight[None])
    assert found == pytest.approx(
        calibration(confidence.repeat(times), hit.repeat(times)), abs=1e-9
    )


def test_each_weighting_has_a_calibration_error_of_its_own() -> None:
    rng = np.random.default_rng(2)
    confidence, hit = rng.uniform(0.4, 1, 60), (rng.random(60) < 0.6).astype(float)
    weight = metrics.bootstrap_weights(np.arange(60) % 3, np.arange(60), rng, 5)
    found = metrics.squared_calibration_error(confidence, hit, weight)
    each = [metrics.squared_calibration_error(confidence, hit, w[None])[0] for w in weight]
    assert_allclose(found, each, rtol=1e-9)
    assert len(set(each)) == 5


# --- bootstrap ---------------------------------------------------------------------------

RNG = np.random.default_rng(1)
LABEL = np.sort(RNG.integers(0, 3, 60))
PREDICTED = np.where(RNG.random((2, 2, 60)) < 0.7, LABEL, RNG.integers(0, 3, (2, 2, 60)))


def bootstrap(
    group: np.ndarray, seed: int, draws: int, predicted: np.ndarray = PREDICTED, k: int = 3
) -> np.ndarray:
    weight = metrics.bootstrap_weights(LABEL, group, np.random.default_rng(seed), draws)
    return metrics.bootstrap_macro_f1(LABEL, predicted, weight, k)


def plain_bootstrap(group: np.ndarray, draws: int) -> np.ndarray:
    """Draw groups with replacement within their class, one after another: macro-F1 (S, draws)."""
    rng = np.random.default_rng(2)
    members = [np.flatnonzero(group == g) for g in np.unique(group)]
    class_of = np.array([LABEL[m[0]] for m in members])
    out = np.zeros((len(PREDICTED), draws))
    for b in range(draws):
        drawn = [rng.choice(own) for c in range(3) for own in [np.flatnonzero(class_of == c)]
                 for _ in own]  # fmt: skip
        rows = np.concatenate([members[g] for g in drawn])
        for s, repeats in enumerate(PREDICTED):
            values = [f1_of(LABEL[rows], predicted[rows]) for predicted in repeats]
            out[s, b] = np.mean(values)
    return out


def f1_of(label: np.ndarray, predicted: np.ndarray) -> float:
    hit = label == predicted
    return float(np.mean([
        2 * (hit & (label == c)).sum() / ((label == c).sum() + (predicted == c).sum())
        for c in np.unique(label)
    ]))  # fmt: skip


@pytest.mark.parametrize("size", [1, 4], ids=["images", "groups"])
def test_the_standard_error_is_that_of_a_plain_bootstrap(size: int) -> None:
    """Both are estimates: an SD of B draws has a relative standard error of about 1/√(2B)."""
    group = np.arange(60) // size
    found = bootstrap(group, seed=3, draws=4000)
    plain = plain_bootstrap(group, 600)
    tolerance = 4 * np.sqrt(1 / (2 * 600) + 1 / (2 * 4000))
    assert_allclose(found.std(axis=1), plain.std(axis=1), rtol=tolerance)
    assert_allclose(np.diff(found, axis=0).std(), np.diff(plain, axis=0).std(), rtol=tolerance)
    se_of_mean = plain.std(axis=1) * np.sqrt(1 / 600 + 1 / 4000)
    assert (abs(found.mean(axis=1) - plain.mean(axis=1)) < 4 * se_of_mean).all()


def test_draws_are_paired() -> None:
    twins = np.stack([PREDICTED[0], PREDICTED[0], PREDICTED[1]])
    found = bootstrap(np.arange(60), 0, 200, twins)
    assert (found[0] == found[1]).all()
    assert np.corrcoef(found[0], found[2])[0, 1] < 1
    alone = bootstrap(np.arange(60), 0, 200, twins[2:])
    assert_array_equal(alone[0], found[2])


def test_groups_are_drawn_as_a_whole() -> None:
    """One group a class: there is nothing to draw."""
    found = bootstrap(LABEL, 0, 50)
    counts = [[metrics.confusion(LABEL, p, 3) for p in repeats] for repeats in PREDICTED]
    expected = metrics.macro_f1(np.array(counts)).mean(axis=1)
    assert_allclose(found, np.repeat(expected[:, None], 50, axis=1), rtol=1e-6)


def test_a_class_without_test_images_does_not_count() -> None:
    three, five = (bootstrap(np.arange(60), 0, 50, k=k) for k in (3, 5))
    assert_allclose(three, five, rtol=1e-12)


def test_the_bootstrap_follows_its_generator() -> None:
    one, same, other = (bootstrap(np.arange(60), seed, 50) for seed in (1, 1, 2))
    assert_array_equal(one, same)
    assert (one != other).any()


def test_an_image_of_weight_two_counts_as_two_in_macro_f1() -> None:
    weight = np.random.default_rng(5).integers(0, 3, (4, 60)).astype(float)
    found = metrics.bootstrap_macro_f1(LABEL, PREDICTED, weight, 3)
    for b, times in enumerate(weight.astype(int)):
        for s, repeats in enumerate(PREDICTED):
            each = [f1_of(LABEL.repeat(times), p.repeat(times)) for p in repeats]
            assert found[s, b] == pytest.approx(np.mean(each), rel=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_weights_draw_as_many_groups_of_each_class_as_there_are(
    table: list[tuple[int, int]], seed: int
) -> None:
    """Each group whole, and within the class of its first image."""
    label, group = np.array(table, dtype=np.intp).T
    weight = metrics.bootstrap_weights(label, group, np.random.default_rng(seed), 7)
    assert weight.shape == (7, len(label))
    first = {g: int(np.flatnonzero(group == g)[0]) for g in group}
    for c in range(4):
        heads = [i for i in first.values() if label[i] == c]
        assert (weight[:, heads].sum(axis=1) == len(heads)).all()
    assert_array_equal(weight, weight[:, [first[g] for g in group]])


def test_each_group_is_drawn_once_on_average_and_with_the_spread_of_a_bootstrap() -> None:
    group = np.arange(60) // 2
    weight = metrics.bootstrap_weights(np.arange(60) // 20, group, np.random.default_rng(0), 4000)
    assert_allclose(weight.mean(axis=0), 1, atol=4 / np.sqrt(4000))
    assert_allclose(weight.var(axis=0), 1 - 1 / 10, rtol=0.15)


def test_the_interval_of_a_mean_draws_groups_whole() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 5)
    value = np.repeat(rng.normal(size=40), 5)
    low, high = metrics.interval_of_mean(value, group, np.random.default_rng(1))
    alone = metrics.interval_of_mean(value, np.arange(200), np.random.default_rng(1))
    assert low is not None and high is not None and alone[0] is not None and alone[1] is not None
    assert low < value.mean() < high
    assert (high - low) / (alone[1] - alone[0]) == pytest.approx(np.sqrt(5), rel=0.2)
    assert metrics.interval_of_mean(value, np.zeros(200), rng) == (None, None)


def test_a_metric_of_images_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def margin(scored: metrics.Scored) -> np.ndarray:
        return scored.log_p.max(axis=1) - np.median(scored.log_p, axis=1)

    row = metrics.Metric("margin", "Margin", "nats", margin, fits=lambda k: k > 2)
    monkeypatch.setitem(metrics.METRICS, "margin", row)
    rng = np.random.default_rng(0)
    score = rng.normal(size=(20, 3))
    values = metrics.per_image(rng.integers(3, size=20), score)
    assert_allclose(values["margin"], score.max(axis=1) - np.median(score, axis=1))
    assert "margin" not in metrics.per_image(rng.integers(2, size=20), score[:, :2])


def test_rows_say_how_metrics_are_shown() -> None:
    shown = {name: (row.title, row.digits) for name, row in metrics.METRICS.items()}
    assert shown["top5_accuracy"] == ("Top-5 accuracy, %", 1)
    assert shown["log_loss"] == ("Log-loss, nats", 3)
    assert shown["squared_ece"] == ("Squared calibration error, without its bias", 4)
    down = [name for name, row in metrics.METRICS.items() if not row.larger_is_better]
    assert down == ["log_loss", "brier", "squared_ece"]
