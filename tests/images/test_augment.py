"""Augmentations: what they keep, that every image has its own draw, and how targets are mixed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from xprobe.base.errors import XprobeError
from xprobe.images.augment import (
    AUGMENTATIONS,
    MIXING,
    Augmentation,
    augmented,
    check_augmentation,
    check_views,
    steps_of,
)

ALONE = [name for name in AUGMENTATIONS if name not in MIXING]

FEW = {"flip": 2, "flip-vertical": 2, "rotate-90": 2}
"""So many results at least there are of augmentations with few."""


def picture(h: int = 24, w: int = 24) -> torch.Tensor:
    """Return a picture (3, h, w) uint8 without any symmetry."""
    generator = torch.Generator().manual_seed(1)
    ramp = torch.linspace(0, 150, h)[:, None] + torch.linspace(0, 60, w)
    return (ramp + 40 * torch.rand((3, h, w), generator=generator)).to(torch.uint8)


def batch(n: int, k: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float images of constant brightness 0, 1, … (n, 3, 16, 12) and their classes (n, k).

    Mixing two of them shows in every pixel how much there is of which.
    """
    x = torch.arange(float(n)).view(n, 1, 1, 1).expand(n, 3, 16, 12).clone()
    return x, torch.eye(k)[torch.arange(n) % k]


def mix(
    augmentation: Augmentation, x: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix with random masks, which Copy-Paste needs."""
    return augmentation.mix(x, target, torch.rand(len(x), *x.shape[2:]) < 0.3)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(8, 8), (24, 24), (48, 20), (20, 48), (33, 31)])
def test_shape_and_type_stay(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = picture(*size).repeat(12, 1, 1, 1)
    augmentation = Augmentation(name, 3)
    changed = augmentation.images(x)
    assert (changed.shape, changed.dtype) == (x.shape, torch.uint8)
    mixed, target = mix(augmentation, x / 255, torch.eye(3).repeat(4, 1))
    assert (mixed.shape, mixed.dtype) == (x.shape, torch.float32)
    assert target.shape == (12, 3)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_seed_decides_and_another_one_decides_otherwise(name: str) -> None:
    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        augmentation = Augmentation(name, 16)
        x = augmentation.images(picture().repeat(16, 1, 1, 1))
        # If all images were alike, mixing them would not show.
        return mix(augmentation, x * torch.linspace(0, 1, 16).view(-1, 1, 1, 1), torch.eye(16))[0]

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("size", [(24, 24), (24, 96), (96, 24)])
def test_equal_images_of_a_batch_become_different(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    changed = Augmentation(name, 2).images(picture(*size).repeat(16, 1, 1, 1))
    assert len(torch.unique(changed, dim=0)) >= FEW.get(name, 8)


@pytest.mark.parametrize("name", ALONE)
def test_what_changes_images_alone_leaves_targets_and_their_images(name: str) -> None:
    x, target = batch(6)
    mixed = mix(Augmentation(name, 3), x, target)
    assert mixed[0] is x
    assert mixed[1] is target


@pytest.mark.parametrize("name", [name for name in MIXING if name != "augreg"])
def test_what_does_nothing_but_mix_leaves_single_images(name: str) -> None:
    x = picture()[None]
    assert Augmentation(name, 2).images(x) is x


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_input_is_left_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(name, 3)
    x, (y, target) = picture().repeat(4, 1, 1, 1), batch(6)
    before = x.clone(), y.clone(), target.clone()
    augmentation.images(x)
    mix(augmentation, y, target)
    assert all(map(torch.equal, before, (x, y, target)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_no_images_are_none_and_one_is_mixed_with_itself(name: str) -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(name, 3)
    assert augmentation.images(picture()[None][:0]).shape == (0, 3, 24, 24)
    x, target = batch(1)
    for n in (0, 1):
        mixed = mix(augmentation, x[:n], target[:n])
        assert torch.equal(mixed[0], x[:n])
        assert torch.allclose(mixed[1], target[:n])


# --- each by what it is ----------------------------------------------------------------


@pytest.mark.parametrize(("name", "axis"), [("flip", -1), ("flip-vertical", -2)])
def test_flipping_twice_by_the_same_draws_gives_the_images_back(name: str, axis: int) -> None:
    flip, x = Augmentation(name, 2), picture().repeat(8, 1, 1, 1)
    torch.manual_seed(0)
    once = flip.images(x)
    torch.manual_seed(0)
    assert torch.equal(flip.images(once), x)
    assert all(torch.equal(y, x[0]) or torch.equal(y, x[0].flip(axis)) for y in once)


def test_quarter_turns_are_of_90_180_and_270_degrees_and_of_no_other_angle() -> None:
    torch.manual_seed(0)
    x = picture()
    turns = [x.rot90(quarters, (-2, -1)) for quarters in range(4)]
    changed = Augmentation("rotate-90", 2).images(x.repeat(300, 1, 1, 1))
    times = [sum(torch.equal(y, turn) for y in changed) for turn in turns]
    assert times[0] == 0
    assert sum(times) == 300
    assert min(times[1:]) > 70  # 100 are expected, with a standard deviation of 8.
    wide = picture(16, 24)
    changed = Augmentation("rotate-90", 2).images(wide.repeat(40, 1, 1, 1))
    assert all(torch.equal(y, wide) or torch.equal(y, wide.rot90(2, (-2, -1))) for y in changed)


def test_classic_from_above_shows_a_square_in_all_eight_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cropping and colours are left out, so that the eight ways are all that there is."""
    from torchvision.transforms import v2

    for name in ("RandomResizedCrop", "ColorJitter"):
        monkeypatch.setattr(v2, name, lambda *_: v2.Identity())
    torch.manual_seed(0)
    x = picture()
    ways = [y.rot90(quarters, (-2, -1)) for y in (x, x.flip(-1)) for quarters in range(4)]
    changed = Augmentation("classic-overhead", 2).images(x.repeat(400, 1, 1, 1))
    times = [sum(torch.equal(y, way) for y in changed) for way in ways]
    assert sum(times) == 400
    assert min(times) > 25  # 50 are expected, with a standard deviation of 7.
    classic = Augmentation("classic", 2).images(x.repeat(50, 1, 1, 1))
    assert all(torch.equal(y, x) or torch.equal(y, x.flip(-1)) for y in classic)


def test_augreg_is_randaugment_and_then_mixup() -> None:
    x, target = picture().repeat(6, 1, 1, 1), torch.eye(6)
    pixels = torch.rand(6, 3, 8, 8)
    both, first, second = (Augmentation(name, 6) for name in ("augreg", "randaugment", "mixup"))
    results = []
    for images, mixed in ((both, both), (first, second)):
        torch.manual_seed(3)
        results.append((images.images(x), *mixed.mix(pixels, target)))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert not torch.equal(results[0][0], x)
    assert not torch.equal(results[0][1], pixels)


@pytest.mark.parametrize("name", ["rotate", "scale", "translate", "crop"])
@pytest.mark.parametrize("size", [(32, 32), (24, 48), (48, 24)])
def test_geometry_brings_no_colour_from_outside(name: str, size: tuple[int, int]) -> None:
    """A uniform image has nothing to move; black or grey borders would show."""
    torch.manual_seed(0)
    x = torch.full((40, 3, *size), 200, dtype=torch.uint8)
    changed = Augmentation(name, 2).images(x)
    assert (changed.int() - 200).abs().max() <= 1


def test_translated_images_are_parts_of_the_reflected_one() -> None:
    torch.manual_seed(0)
    x = picture(16, 24)
    wide = torch.nn.functional.pad(x[None].float(), (3, 3, 2, 2), mode="reflect")[0].to(x.dtype)
    parts = [wide[:, i : i + 16, j : j + 24] for i in range(5) for j in range(7)]
    changed = Augmentation("translate", 2).images(x.repeat(200, 1, 1, 1))
    assert all(any(torch.equal(y, part) for part in parts) for y in changed)
    assert len(torch.unique(changed, dim=0)) > 25


def test_noise_has_its_standard_deviation_and_no_bias() -> None:
    torch.manual_seed(0)
    x = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    error = Augmentation("noise", 2).images(x).double() - 128
    n = error.numel()
    assert abs(float(error.std()) - 0.05 * 255) < 5 * 12.75 / (2 * n) ** 0.5
    assert abs(float(error.mean())) < 0.5 + 5 * 12.75 / n**0.5


def test_cutout_makes_one_grey_hole_of_moderate_size() -> None:
    torch.manual_seed(0)
    x = torch.full((50, 3, 40, 40), 7, dtype=torch.uint8)
    hole = Augmentation("cutout", 2).images(x) == 124
    assert (hole.all(dim=1) == hole.any(dim=1)).all()
    for mask in hole[:, 0]:
        rows, columns = int(mask.any(dim=1).sum()), int(mask.any(dim=0).sum())
        assert int(mask.sum()) == rows * columns
        assert 0.04 < rows * columns / 1600 < 0.27
        assert 0.6 < rows / columns < 1.6


# --- mixing ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("seed", range(20))
def test_targets_stay_probabilities(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    x, _ = batch(6)
    soft = torch.rand(6, 4).softmax(dim=1)
    _, target = mix(Augmentation(name, 4), x, soft)
    assert (target >= 0).all()
    assert torch.allclose(target.sum(dim=1), torch.ones(6), atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_mixup_mixes_images_and_targets_by_the_same_share(seed: int) -> None:
    torch.manual_seed(seed)
    x, target = batch(2, k=2)
    mixed, share = Augmentation("mixup", 2).mix(x, target)
    assert torch.allclose(mixed, share[:, 1].view(2, 1, 1, 1).expand_as(x), atol=1e-6)


def test_cutmix_mixes_targets_by_the_pasted_area() -> None:
    shares = set()
    for seed in range(40):
        torch.manual_seed(seed)
        x, target = batch(2, k=2)
        mixed, share = Augmentation("cutmix", 2).mix(x, target)
        assert set(mixed.unique().tolist()) <= {0.0, 1.0}
        assert torch.allclose(share[:, 1], mixed.mean(dim=(1, 2, 3)), atol=1e-6)
        shares.add(round(float(share[0, 1]), 4))
    assert len(shares) > 10


@pytest.mark.parametrize("name", MIXING)
def test_fewer_than_two_classes_cannot_be_mixed(name: str) -> None:
    with pytest.raises(XprobeError, match="two or more"):
        Augmentation(name, 1)


# --- names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALONE)
def test_one_class_is_enough_for_the_others(name: str) -> None:
    assert Augmentation(name, 1).name == name


def test_what_changes_single_images_has_views() -> None:
    assert steps_of("augreg") == ("randaugment", "mixup")
    check_views(["rotate-90", "augreg", "classic-overhead"])
    with pytest.raises(XprobeError, match="'mixup' mixes images and cannot be embedded one by one"):
        check_views(["flip", "mixup"])
    pixels = picture().movedim(0, -1).numpy()
    assert augmented(pixels, "rotate-90", 1).shape == pixels.shape


def test_an_unknown_name_is_answered_by_the_nearest_and_by_all() -> None:
    with pytest.raises(
        XprobeError, match=r"'mixip' \(did you mean mixup or cutmix\?\); known: flip, .*classic"
    ):
        check_augmentation("mixip")
    with pytest.raises(XprobeError, match="unknown augmentation 'x'; known"):
        Augmentation("x", 3)


def test_the_names_are_known_without_torch() -> None:
    code = "import sys, xprobe.images.augment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
