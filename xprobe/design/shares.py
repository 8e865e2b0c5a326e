"""Shares of synthetic images by class: where they differ, a watermark names the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from xprobe.design.blocks import Block
from xprobe.design.setting import Setting
from xprobe.images.manifest import Manifest

LEAST_SPREAD = 0.05
"""Shares are taken for equal that differ by less than this part of the largest one."""


def share_warnings(study: Manifest, blocks: Sequence[Block]) -> list[str]:
    """Return a warning for each generator whose mixes lack images of some class more than others.

    It tells of the mix in which the classes differ most, over all folds and repeats.
    """
    mixes: dict[Setting, list[Block]] = {}
    for block in blocks:
        if block.setting.name == "mix" and not block.setting.augment:
            mixes.setdefault(block.setting, []).append(block)
    worst: dict[str | None, tuple[Setting, dict[str, float]]] = {}
    for mix, repeats in mixes.items():
        if not any(block.short for block in repeats):
            continue  # Every class has what the ratio asks for, to the nearest image.
        shares, generator = _shares(study, repeats), mix.generator
        least = _spread(worst[generator][1]) if generator in worst else LEAST_SPREAD
        if _spread(shares) > least:
            worst[generator] = mix, shares
    return [
        f"mix {mix.title} of generator {generator}: the share of synthetic images differs between "
        f"classes ({_ends(shares)} a real image): a watermark or codec of the generator can then "
        f"name the class"
        for generator, (mix, shares) in worst.items()
    ]


def _shares(study: Manifest, blocks: Sequence[Block]) -> dict[str, float]:
    """Return how many synthetic images of each class are trained on for a real one."""
    is_real = study.source == "real"
    real: Counter[str] = Counter()
    synthetic: Counter[str] = Counter()
    for block in blocks:
        for problem in block.problems:
            real.update(study.label[problem.train[is_real[problem.train]]])
            synthetic.update(study.label[problem.train[~is_real[problem.train]]])
    return {name: synthetic[name] / n for name, n in sorted(real.items())}


def _spread(shares: Mapping[str, float]) -> float:
    """Return how far shares lie apart, as a part of the largest one."""
    most = max(shares.values())
    return (most - min(shares.values())) / most if most else 0.0


def _ends(shares: Mapping[str, float]) -> str:
    """Return the largest and the smallest share with their classes."""
    names = sorted(shares, key=lambda name: -shares[name])
    return ", ".join(f"{name} {shares[name]:#.2g}".rstrip(".") for name in (names[0], names[-1]))
