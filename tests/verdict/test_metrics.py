"""Metrics agree with scikit-learn, their errors with a bootstrap, calibration with its truth."""

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


def per_image(label: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
    images = metrics.scored(label, score)
    return {m.name: m.per_image(images) for m in metrics.fitting(score.shape[1])}


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
    found = {name: value.mean() for name, value in per_image(label, score).items()}
    predicted = p.argmax(axis=1)
    truth = np.eye(k)[label]
    expected = {
        "accuracy": accuracy_score(label, predicted),
        "balanced_accuracy": balanced_accuracy_score(label, predicted),
        "log_loss": log_loss(label, p, labels=range(k)),
        "brier": np.mean([((p[i] - truth[i]) ** 2).sum() for i in range(len(p))]),
        "macro_f1": f1_score(label, predicted, average="macro", zero_division=0),
        "squared_ece": calibration(p.max(axis=1), label == predicted),
    }
    if k > 2:
        top = 2 if k < 10 else 5
        expected[f"top{top}_accuracy"] = top_k_accuracy_score(label, score, k=top, labels=range(k))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_each_image_has_its_own_loss() -> None:
    label, score, p = scored(4)
    found = per_image(label, score)
    for i in range(len(label)):
        assert found["log_loss"][i] == pytest.approx(-np.log(p[i, label[i]]))
        assert found["accuracy"][i] == (p[i].argmax() == label[i])
        assert found["top2_accuracy"][i] == (label[i] in np.argsort(p[i])[-2:])


def test_scores_need_not_be_normalised() -> None:
    label, score, _ = scored(4)
    shift = np.random.default_rng(0).normal(size=(len(label), 1)) * 50
    one, other = per_image(label, score), per_image(label, score + shift)
    for name in one:
        assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_scores_far_apart_have_finite_losses() -> None:
    found = per_image(np.array([0, 1]), np.array([[0, 2000.0], [-3000.0, 0]]))
    assert found["log_loss"].tolist() == [2000, 0]
    assert found["brier"].tolist() == [2, 0]


def test_balanced_accuracy_leaves_out_classes_without_test_images() -> None:
    label, score, p = scored(5)
    kept = label != 3
    found = per_image(label[kept], score[kept])["balanced_accuracy"].mean()
    expected = recall_score(
        label[kept], p[kept].argmax(axis=1), labels=[0, 1, 2, 4], average="macro"
    )
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_values_of_a_balanced_set_are_its_hits() -> None:
    label = np.arange(40) % 4
    score = np.random.default_rng(0).normal(size=(40, 4))
    found = per_image(label, score)
    assert_allclose(found["balanced_accuracy"], found["accuracy"], atol=1e-15)


# --- calibration -------------------------------------------------------------------------


def in_bins(confidence: np.ndarray, hit: np.ndarray, bins: int) -> list[tuple[float, float, int]]:
    """(confidence, accuracy, images) of bins of equal size."""
    order = np.argsort(confidence, kind="stable")
    return [(confidence[rows].mean(), hit[rows].mean(), len(rows))
            for rows in np.array_split(order, bins)]  # fmt: skip


def of_two(confidence: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of two classes whose predicted one is the first."""
    p = np.stack([confidence, 1 - confidence], axis=1)
    return np.where(hit.astype(bool), 0, 1), np.log(np.maximum(p, 1e-300))


def calibration(confidence: np.ndarray, hit: np.ndarray) -> float:
    """Squared calibration error over bins of about equal size, less what chance adds."""
    n = len(hit)
    bins = max(1, min(15, n // 10))
    order, number = np.argsort(confidence, kind="stable"), np.arange(n) * bins // n
    total = 0.0
    for b in range(bins):
        rows = order[number == b]
        c, a, m = confidence[rows].mean(), hit[rows].mean(), len(rows)
        total += m * ((c - a) ** 2 - a * (1 - a) / (m - 1))
    return total / n


def error_of(confidence: np.ndarray, hit: np.ndarray) -> float:
    return float(per_image(*of_two(confidence, hit))["squared_ece"].mean())


@pytest.mark.parametrize(("n", "bins"), [(12, 1), (19, 1), (60, 6), (150, 15), (900, 15)])
def test_the_squared_calibration_error_is_that_of_bins_less_chance(n: int, bins: int) -> None:
    rng = np.random.default_rng(n)
    confidence, hit = rng.uniform(0.51, 1, n), (rng.random(n) < 0.6).astype(float)
    table = in_bins(confidence, hit, bins)
    expected = np.average(
        [(c - a) ** 2 - a * (1 - a) / (m - 1) for c, a, m in table], weights=[m for *_, m in table]
    )
    assert error_of(confidence, hit) == pytest.approx(expected, rel=1e-9)
    assert calibration(confidence, hit) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("digits", [0, 1, 2, 17])
@pytest.mark.parametrize("n", [12, 150, 907])
def test_equal_confidences_are_dealt_out_to_bins_in_their_order(n: int, digits: int) -> None:
    """As by ranks in a stable order, also where every confidence is one."""
    rng = np.random.default_rng(n)
    confidence = np.round(rng.uniform(0.5, 1, n), digits)
    hit = (rng.random(n) < 0.6).astype(float)
    assert error_of(confidence, hit) == pytest.approx(calibration(confidence, hit), rel=1e-9)


def test_a_calibrated_model_has_no_calibration_error_on_average() -> None:
    """At 180 images, where the plain estimate says that it had."""
    rng = np.random.default_rng(0)
    errors, plain = [], []
    for _ in range(400):
        confidence = rng.uniform(0.5, 1, 180)
        hit = (rng.random(180) < confidence).astype(float)
        errors.append(error_of(confidence, hit))
        plain.append(np.mean([(c - a) ** 2 for c, a, _ in in_bins(confidence, hit, 15)]))
    mc_error = np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 3 * mc_error
    assert np.mean(plain) > 30 * mc_error
    assert np.sqrt(np.mean(plain)) > 0.07


@pytest.mark.parametrize(("shift", "n"), [(-0.2, 180), (-0.1, 100_000), (0.3, 100_000)])
def test_the_squared_calibration_error_of_a_shifted_model_is_the_square_of_the_shift(
    shift: float, n: int
) -> None:
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(400 if n < 1000 else 1):
        confidence = rng.uniform(0.51, 0.69, n)
        hit = (rng.random(n) < confidence + shift).astype(float)
        errors.append(error_of(confidence, hit))
    mc_error = 2 * abs(shift) * 0.5 / np.sqrt(n * len(errors))  # that of the mean shift, mostly
    assert np.mean(errors) == pytest.approx(shift**2, abs=4 * mc_error)


@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_the_standard_error_of_the_calibration_error_is_its_spread(shift: float) -> None:
    """Over 600 samples of 300 images; without a shift it is √2 too large."""
    rng = np.random.default_rng(2)
    errors, variances = [], []
    metric = metrics.METRICS["squared_ece"]
    for _ in range(600):
        confidence = rng.uniform(0.55, 0.85, 300)
        hit = (rng.random(300) < confidence - shift).astype(float)
        images = metrics.scored(*of_two(confidence, hit))
        value = metric.per_image(images)
        errors.append(value.mean())
        variances.append(value.var(ddof=1) / 300)
    ratio = np.sqrt(np.mean(variances)) / np.std(errors)
    assert 0.9 < ratio < 1.5


# --- macro-F1 ----------------------------------------------------------------------------

RNG = np.random.default_rng(1)
LABEL = np.sort(RNG.integers(0, 3, 90))
PREDICTED = np.where(RNG.random((2, 90)) < 0.7, LABEL, RNG.integers(0, 3, (2, 90)))


def f1_values(predicted: np.ndarray, k: int = 3) -> np.ndarray:
    images = metrics.scored(LABEL, np.eye(k)[predicted])
    return metrics.METRICS["macro_f1"].per_image(images)


def bootstrapped_f1(draws: int) -> np.ndarray:
    """Draw images with replacement within their class: macro-F1 (2, draws)."""
    rng, values = np.random.default_rng(2), np.zeros((2, draws))
    for b in range(draws):
        rows = np.concatenate([rng.choice(m, len(m)) for c in range(3)
                               for m in [np.flatnonzero(LABEL == c)]])  # fmt: skip
        for s, predicted in enumerate(PREDICTED):
            counts = metrics.confusion(LABEL[rows], predicted[rows], 3)
            values[s, b] = metrics.macro_f1(counts)
    return values


def test_the_standard_error_of_macro_f1_is_that_of_a_bootstrap() -> None:
    values = np.stack([f1_values(predicted) for predicted in PREDICTED])
    drawn = bootstrapped_f1(2000)
    assert_allclose(values.std(axis=1) / np.sqrt(90), drawn.std(axis=1), rtol=0.08)
    paired = (values[1] - values[0]).std() / np.sqrt(90)
    assert paired == pytest.approx((drawn[1] - drawn[0]).std(), rel=0.08)


@given(PAIRS)
def test_an_image_more_adds_its_influence(pairs: list[tuple[int, int]]) -> None:
    """Weighing one image a little more moves macro-F1 by its value less the class's mean."""
    label, predicted = columns(pairs)
    weight = np.ones(len(label))
    images = metrics.scored(label, np.eye(K)[predicted])
    value = metrics.METRICS["macro_f1"].per_image(images)
    weight[0] += 1e-6

    def weighted(w: np.ndarray) -> float:
        counts = np.zeros((K, K))
        np.add.at(counts, (label, predicted), w)
        return float(metrics.macro_f1(counts))

    change = (weighted(weight) - weighted(np.ones(len(label)))) / 1e-6 * len(label)
    same = label == label[0]
    others = [(weighted(np.where(np.arange(len(label)) == i, 1 + 1e-6, 1.0))
               - weighted(np.ones(len(label)))) / 1e-6 * len(label)
              for i in np.flatnonzero(same)]  # fmt: skip
    assert value[0] - value.mean() == pytest.approx(change - np.mean(others), abs=1e-3)


def test_classes_without_test_images_do_not_count() -> None:
    assert_allclose(f1_values(PREDICTED[0]), f1_values(PREDICTED[0], k=5), rtol=1e-12)


# --- other means -------------------------------------------------------------------------


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

    row = metrics.Metric("margin", "Margin", margin, "nats", fits=lambda k: k > 2)
    monkeypatch.setitem(metrics.METRICS, "margin", row)
    rng = np.random.default_rng(0)
    score = rng.normal(size=(20, 3))
    values = per_image(rng.integers(3, size=20), score)
    assert_allclose(values["margin"], score.max(axis=1) - np.median(score, axis=1))
    assert "margin" not in per_image(rng.integers(2, size=20), score[:, :2])


def test_rows_say_how_metrics_are_shown() -> None:
    shown = {name: (row.title, row.digits) for name, row in metrics.METRICS.items()}
    assert shown["top5_accuracy"] == ("Top-5 accuracy, %", 1)
    assert shown["log_loss"] == ("Log-loss, nats", 3)
    assert shown["squared_ece"] == ("Squared calibration error, without its bias", 4)
    down = [name for name, row in metrics.METRICS.items() if not row.larger_is_better]
    assert down == ["log_loss", "brier", "squared_ece"]
