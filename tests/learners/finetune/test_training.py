"""One fine-tune: its order, its steps, and that a killed one goes on bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xprobe.base.errors import XprobeError
from xprobe.encoders.network import Network
from xprobe.encoders.tower import Tower, View
from xprobe.images.augment import Augmentation
from xprobe.learners.finetune import training
from xprobe.learners.finetune.classifier import Classifier, HeadStart
from xprobe.learners.finetune.job import DivergedError, Job, Outcome, Setup
from xprobe.learners.finetune.loader import Loader
from xprobe.learners.finetune.order import draw_order
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.finetune.run import Run
from xprobe.learners.finetune.training import fine_tune, time_steps

RECIPE = Recipe(method="full", epochs=4, batch_size=8, lr=3e-3, layer_decay=1.0)
K, N = 2, 40


class Net(nn.Module):
    """A small network with dropout, so that its training draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.blocks = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(torch.relu(self.stem(x)))
        return self.drop(x.mean(dim=(2, 3)))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    view = View((12, 10), "squash", "bicubic", (0.5,) * 3, (0.25,) * 3)
    return Network(Tower(Net(), "test:net", "pooled", view), "cpu", "fp32", trainable=True)


@pytest.fixture
def pixels() -> np.ndarray:
    """Dark images of class 0 and bright ones of class 1, (N, 12, 10, 3)."""
    rng = np.random.default_rng(0)
    level = np.where(np.arange(N) % K, 150, 90)[:, None, None, None]
    return np.clip(rng.normal(level, 25, (N, 12, 10, 3)), 0, 255).astype(np.uint8)


def head(k: int = K, d: int = 4) -> HeadStart:
    weight = np.random.default_rng(1).normal(scale=0.1, size=(k, d)).astype(np.float32)
    return HeadStart(weight, np.zeros(k, dtype=np.float32), unit=False)


def job(recipe: Recipe = RECIPE, validation: int = 0, **changes: Any) -> Job:
    train, test = np.arange(N - 12), np.arange(N - 12, N)
    rng = np.random.default_rng(2)
    order = draw_order(train, train[:0], recipe.steps(len(train)), recipe, rng)
    label = np.arange(N) % K
    made = Job(order, label, np.ones(N), test[:validation], test, K, 3, "key")
    return replace(made, **changes)


def run(
    network: Network, pixels: np.ndarray, place: Path, recipe: Recipe = RECIPE, **given: Any
) -> Outcome:
    own = given.pop("job", None) or job(recipe)
    augmentation = given.pop("augmentation", None)
    setup = Setup(network, head(), pixels, own, recipe, "cpu", augmentation)
    return fine_tune(setup, place, **given)


# The order of the images


def test_every_image_comes_once_before_any_comes_again() -> None:
    recipe = replace(RECIPE, batch_size=5)
    real, synthetic = np.arange(7), np.arange(7, 20)
    order = draw_order(real, synthetic, 12, recipe, np.random.default_rng(0))
    assert order.shape == (12, 5)
    for epoch in order.ravel()[:60].reshape(3, 20):
        assert sorted(epoch) == list(range(20))


def test_a_share_of_each_batch_may_be_synthetic() -> None:
    recipe = replace(RECIPE, batch_size=8, synthetic_share=0.25)
    order = draw_order(np.arange(7), np.arange(7, 90), 9, recipe, np.random.default_rng(0))
    assert ((order >= 7).sum(axis=1) == 2).all()


def test_in_two_stages_synthetic_images_come_first_and_their_steps_are_by_number() -> None:
    recipe = replace(RECIPE, two_stage=True)
    order = draw_order(np.arange(10), np.arange(10, 40), 8, recipe, np.random.default_rng(0))
    assert (order[:6] >= 10).all()
    assert (order[6:] < 10).all()


@pytest.mark.parametrize("options", [{"synthetic_share": 0.5}, {"two_stage": True}, {}])
def test_without_synthetic_images_all_orders_are_of_real_ones(options: dict[str, Any]) -> None:
    recipe = replace(RECIPE, **options)
    order = draw_order(np.arange(10), np.arange(0), 3, recipe, np.random.default_rng(0))
    assert order.shape == (3, 8)
    assert order.max() < 10


def test_steps_are_those_of_the_rows() -> None:
    assert RECIPE.steps(80) == 40
    assert RECIPE.steps(81) == 41
    assert replace(RECIPE, batch_size=1000).steps(3) == 1


# Training


@pytest.mark.parametrize("start", ["random", "probe"])
def test_batch_norms_are_kept_or_settled(
    pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(2))
    module = nn.Sequential(module, nn.AdaptiveAvgPool1d(1), nn.Flatten())
    view = View((12, 10), "squash", "bicubic", (0.5,) * 3, (0.25,) * 3)
    network = Network(Tower(module, "test:norm", "pooled", view), "cpu", "fp32", trainable=True)
    seen: list[Classifier] = []
    scores = Run._scores
    monkeypatch.setattr(Run, "_scores", lambda *given: (seen.append(given[1]), scores(*given))[1])
    recipe = replace(RECIPE, start=start, batch_size=28, epochs=1)
    found = run(network, pixels, tmp_path / "a.pt", recipe)
    norm = seen[-1].encoder[0][1]
    if start == "probe":
        assert (norm.running_mean == 0).all()
        assert (norm.running_var == 1).all()
        return
    x = seen[-1].normalised(torch.from_numpy(np.moveaxis(pixels[: N - 12], -1, 1).copy()))
    with torch.inference_mode():
        before = seen[-1].encoder[0][0](x)
    torch.testing.assert_close(norm.running_mean, before.mean(dim=(0, 2, 3)))
    assert norm.momentum == 0.1
    assert np.isfinite(found.score).all()


def test_it_learns(network: Network, pixels: np.ndarray, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=20, lr=0.02)
    found = run(network, pixels, tmp_path / "a.pt", recipe)
    assert (found.score.argmax(axis=1) == job().label[job().test]).all()
    np.testing.assert_allclose(np.exp(found.score).sum(axis=1), 1, rtol=1e-5)
    assert found.curve[-1]["loss"] < found.curve[0]["loss"]
    assert found.steps == len(job(recipe).order)
    assert len(found.curve) == recipe.epochs
    assert found.training_accuracy == found.curve[-1]["training_accuracy"] > 0.9
    assert found.moved is not None and found.moved > 0.01


def test_training_accuracy_is_that_of_the_epoch_as_it_was_trained_on(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    """Without learning, dropout and augmentation it is the accuracy of the start."""
    network.module.eval()
    recipe = replace(RECIPE, lr=1e-12, epochs=1, batch_size=7)
    for module in network.module.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    outcome = run(network, pixels, tmp_path / "a.pt", recipe)
    train = job(recipe).order.ravel()
    start = Classifier(network, head()).eval()
    x = start.normalised(torch.from_numpy(np.moveaxis(pixels[train], -1, 1).copy()))
    with torch.inference_mode():
        hit = start(x).argmax(dim=1).numpy() == job().label[train]
    assert outcome.training_accuracy == pytest.approx(hit.mean())
    assert outcome.moved == pytest.approx(0, abs=1e-6)
    watched = job(recipe, validation=4)
    best = run(network, pixels, tmp_path / "b.pt", replace(recipe, patience=1), job=watched)
    assert best.training_accuracy == pytest.approx(hit.mean())


def test_a_checkpoint_of_an_older_xprobe_can_be_gone_on_from(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    whole = run(network, pixels, tmp_path / "a.pt")
    with pytest.raises(Killed):
        run(network, pixels, tmp_path / "b.pt", advance=kill_after(6), checkpoint_s=0.0)
    state = torch.load(tmp_path / "b.pt", weights_only=True)
    for row in (state, *state["curve"]):
        for name in ("hits", "seen", "training_accuracy"):
            row.pop(name, None)
    torch.save(state, tmp_path / "b.pt")
    again = run(network, pixels, tmp_path / "b.pt")
    np.testing.assert_array_equal(again.score, whole.score)
    assert again.training_accuracy == whole.training_accuracy


def test_what_it_starts_from_is_left_as_it_was(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    before = {k: v.clone() for k, v in network.module.state_dict().items()}
    run(network, pixels, tmp_path / "a.pt")
    assert all(torch.equal(v, before[k]) for k, v in network.module.state_dict().items())
    assert not any(p.requires_grad for p in network.module.parameters())


def test_the_seed_decides_everything(network: Network, pixels: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(8)
    one = run(network, pixels, tmp_path / "a.pt")
    torch.manual_seed(9)
    state = torch.get_rng_state()
    two = run(network, pixels, tmp_path / "a.pt")
    np.testing.assert_array_equal(one.score, two.score)
    assert torch.equal(torch.get_rng_state(), state)
    other = run(network, pixels, tmp_path / "a.pt", job=job(seed=4))
    assert (other.score != one.score).any()


class Killed(BaseException):
    """As by a signal."""


def kill_after(steps: int) -> Callable[[int], None]:
    made = 0

    def advance(n: int) -> None:
        nonlocal made
        made += n
        if made >= steps:
            raise Killed

    return advance


@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"patience": 2, "epochs": 8}, {"accumulate": 2}]
)
@pytest.mark.parametrize("at", [1, 5, 9])
def test_a_killed_run_goes_on_bit_by_bit(
    network: Network, pixels: np.ndarray, tmp_path: Path, options: dict[str, Any], at: int
) -> None:
    recipe = replace(RECIPE, **options)
    own = job(recipe, validation=4 if recipe.patience else 0)
    crop = Augmentation("crop", K)
    whole = run(network, pixels, tmp_path / "a.pt", recipe, job=own, augmentation=crop)
    place = tmp_path / "b.pt"
    for _ in range(2):  # twice, the second time from a checkpoint
        with pytest.raises(Killed):
            run(
                network, pixels, place, recipe, job=own, augmentation=crop,
                advance=kill_after(at), checkpoint_s=0.0,
            )  # fmt: skip
        at += 2
    torch.manual_seed(99)
    again = run(network, pixels, place, recipe, job=own, augmentation=crop)
    np.testing.assert_array_equal(again.score, whole.score)
    assert again.steps == whole.steps
    for one, other in zip(again.curve, whole.curve, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    place = tmp_path / "a.pt"
    with pytest.raises(Killed):
        run(network, pixels, place, advance=kill_after(3), checkpoint_s=0.0)
    with pytest.raises(XprobeError, match="a checkpoint of other settings; delete it"):
        run(network, pixels, place, job=job(key="other"))
    place.write_bytes(place.read_bytes()[:100])
    with pytest.raises(XprobeError, match="damaged; delete it"):
        run(network, pixels, place)


def test_parts_of_a_batch_have_the_gradient_of_the_whole(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    network.module.drop.p = 0.0  # type: ignore[union-attr]
    whole = run(network, pixels, tmp_path / "a.pt")
    parts = run(network, pixels, tmp_path / "a.pt", replace(RECIPE, accumulate=4))
    np.testing.assert_allclose(parts.score, whole.score, atol=1e-4)


def test_if_memory_ends_the_batch_is_halved_and_it_is_said(
    network: Network, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.module.drop.p = 0.0  # type: ignore[union-attr]
    whole = run(network, pixels, tmp_path / "a.pt")
    forward = Classifier.forward

    def short(self: Classifier, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", short)
    found = run(network, pixels, tmp_path / "a.pt")
    np.testing.assert_allclose(found.score, whole.score, atol=1e-4)
    assert found.notes[-1] == "memory was short: batches of 8 were computed in 4 parts"


def test_if_not_even_one_image_fits_it_is_said(
    network: Network, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Classifier, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Classifier, "forward", never)
    with pytest.raises(XprobeError, match="one image at a time does not fit into memory"):
        run(network, pixels, tmp_path / "a.pt")


def test_a_loss_that_is_no_number_names_the_step_and_the_learning_rate(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, lr=1e30, clip=0.0, epochs=10)
    with pytest.raises(DivergedError, match=r"at step \d+ of 35, learning rate \de\+"):
        run(network, pixels, tmp_path / "a.pt", recipe)


class AsOnGpu(Run):
    """A run on the CPU that reads images ahead, and losses late, as one on a GPU does."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.loader = Loader(setup.pixels, self.device, ahead=True)
        self.read_every = 16


@pytest.mark.parametrize("augmentation", [None, Augmentation("classic", K)])
def test_images_read_ahead_and_losses_read_late_change_nothing(
    network: Network, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    augmentation: Augmentation | None,
) -> None:  # fmt: skip
    expected = run(network, pixels, tmp_path / "a.pt", augmentation=augmentation)
    monkeypatch.setattr(training, "Run", AsOnGpu)
    for checkpoint_s in (1e9, 0.0):
        options = {"augmentation": augmentation, "checkpoint_s": checkpoint_s}
        outcome = run(network, pixels, tmp_path / "b.pt", **options)
        assert np.array_equal(outcome.score, expected.score)
        for row, own in zip(outcome.curve, expected.curve, strict=True):
            assert row | {"seconds": 0} == own | {"seconds": 0}
        (tmp_path / "b.pt").unlink(missing_ok=True)


def test_a_loss_that_is_read_late_tells_the_step_that_it_is_of(
    network: Network, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, lr=1e30, clip=0.0, epochs=10)
    with pytest.raises(DivergedError) as at_once:
        run(network, pixels, tmp_path / "a.pt", recipe)
    monkeypatch.setattr(training, "Run", AsOnGpu)
    with pytest.raises(DivergedError) as late:
        run(network, pixels, tmp_path / "a.pt", recipe)
    assert str(late.value) == str(at_once.value)


def test_of_wise_ft_the_ends_are_the_start_and_the_fine_tuned(
    network: Network, pixels: np.ndarray, tmp_path: Path
) -> None:
    tuned = run(network, pixels, tmp_path / "a.pt")
    found = {
        share: run(network, pixels, tmp_path / "a.pt", replace(RECIPE, wise_ft=share)).score
        for share in (0.0, 0.5, 1.0)
    }
    np.testing.assert_array_equal(found[1.0], tuned.score)
    test = job().test
    start = Classifier(network, head()).eval()
    x = start.normalised(torch.from_numpy(np.moveaxis(pixels[test], -1, 1).copy()))
    with torch.inference_mode():
        expected = torch.log_softmax(start(x), dim=1)
    np.testing.assert_allclose(found[0.0], expected, atol=1e-5)
    assert (found[0.5] != found[0.0]).any()
    assert (found[0.5] != found[1.0]).any()


def test_with_a_head_on_unit_features_the_length_does_not_matter(network: Network) -> None:
    unit = Classifier(network, replace(head(), unit=True)).eval()
    unit.encoder.blocks[-1].weight.data *= 7  # type: ignore[index,union-attr]
    unit.encoder.blocks[-1].bias.data *= 7  # type: ignore[index,union-attr]
    plain = Classifier(network, replace(head(), unit=True)).eval()
    x = torch.rand(3, 3, 12, 10)
    with torch.inference_mode():
        torch.testing.assert_close(unit(x), plain(x))


def test_it_stops_when_validation_gets_no_better_and_tests_the_best(
    network: Network, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, epochs=12, patience=2)
    own = job(recipe, validation=6)
    seen: list[float] = []
    states: list[dict[str, torch.Tensor]] = []
    keep = Run._keep_best

    def fake(self: Any, _accuracy: float) -> None:
        seen.append([0.5, 0.9, 0.9, 0.7, 1.0][len(seen)])
        states.append({k: v.clone() for k, v in self.model.state_dict().items()})
        keep(self, seen[-1])

    monkeypatch.setattr(Run, "_keep_best", fake)
    finish = Run.finish
    tested: list[dict[str, torch.Tensor]] = []

    def watched(self: Any) -> Outcome:
        found = finish(self)
        tested.append(self.model.state_dict())
        return found

    monkeypatch.setattr(Run, "finish", watched)
    found = run(network, pixels, tmp_path / "a.pt", recipe, job=own)
    assert seen == [0.5, 0.9, 0.9, 0.7]
    assert found.steps < len(own.order)
    assert all(torch.equal(v, states[1][k]) for k, v in tested[0].items())


@pytest.mark.parametrize("name", ["mixup", "cutmix", "classic", "trivialaugment"])
def test_augmentations_take_part(
    network: Network, pixels: np.ndarray, tmp_path: Path, name: str
) -> None:
    plain = run(network, pixels, tmp_path / "a.pt")
    found = run(network, pixels, tmp_path / "a.pt", augmentation=Augmentation(name, K))
    assert (found.score != plain.score).any()


def test_timing_needs_no_more_steps_than_a_job_has(network: Network, pixels: np.ndarray) -> None:
    one = job(order=job().order[:1])
    step_s, image_s = time_steps(Setup(network, head(), pixels, one, RECIPE, "cpu"))
    assert step_s > 0
    assert image_s > 0


def test_schedule_warms_up_and_falls_to_nothing(network: Network, pixels: np.ndarray) -> None:
    recipe = replace(RECIPE, epochs=20, warmup=0.1)
    own = Run(Setup(network, head(), pixels, job(recipe), recipe, "cpu"))
    factors = [own._schedule(step) for step in range(70)]
    assert factors[:7] == pytest.approx([(i + 1) / 7 for i in range(7)])
    assert factors[7] == 1
    assert all(a > b for a, b in pairwise(factors[7:]))
    assert factors[-1] < 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "lpft"}, r"unknown 'lpft' \(did you mean lp-ft\?\)"),
        ({"method": "lp-ft", "start": "text"}, "take --method full"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr must be a number"),
        ({"epochs": 0}, "--epochs must be 1 or more"),
        ({"batch_size": 1}, "--batch-size must be 2 or more"),
        ({"wise_ft": 1.5}, "--wise-ft must be 0 or more and at most 1, not 1.5"),
        ({"ema": 1.0}, "less than 1"),
        ({"synthetic_share": 0.5, "two_stage": True}, "exclude each other"),
        ({"augment": "flipp"}, "unknown augmentation 'flipp'"),
    ],
)
def test_a_recipe_checks_itself(options: dict[str, Any], words: str) -> None:
    with pytest.raises(XprobeError, match=words):
        Recipe(**options)
