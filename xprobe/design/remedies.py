"""What fits where synthetic images are too few for the ratios: ways to go on, the best first.

Fewer real images must be trained on. How fewer are chosen decides what a study can still find:
images that are only not trained on are tested on all the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from xprobe.base.errors import XprobeError
from xprobe.base.streams import stream
from xprobe.design.config import SweepConfig
from xprobe.design.design import largest_part, lay_out_folds, parts
from xprobe.design.folds import choose_real
from xprobe.design.power import detectable, study_of
from xprobe.images.manifest import Manifest
from xprobe.learners.kinds import kind_of

# Groups stay whole, so that a part may turn out larger than asked for. Then a little less is asked
# for, so many times.
_TRIES = 20


@dataclass(frozen=True)
class Way:
    """A choice of real images for which there are enough synthetic ones.

    Attributes:
        option: the option with its value, such as ``--real-fraction 0.25``.
        detectable: the difference in accuracy that such a study typically finds, a fraction.
    """

    option: str
    detectable: float


def ways_to_fit(manifest: Manifest, config: SweepConfig) -> list[Way]:
    """Return ways in which a sweep has enough synthetic images, the one that finds most first."""
    enough = _enough(manifest, config)
    if config.train_per_class is not None:
        kinds = [_curve(enough, config)]
    else:
        kinds = [
            _fractions(enough, manifest, config), _holdouts(enough, manifest, config),
            _studied(enough, manifest, config),
        ]  # fmt: skip
    ways = []
    for kind in kinds:
        tries = (_way(words, manifest, changed, enough) for words, changed in kind)
        ways.append(next(filter(None, tries), None))
    return sorted(filter(None, ways), key=lambda way: way.detectable)


def words_of(ways: Sequence[Way]) -> str:
    """Return how to go on, in one sentence."""
    others = "take smaller --ratios, make more images, or go on with --allow-fewer"
    if not ways:
        return others
    choices = [f"{way.option} (detects about ±{100 * way.detectable:.2g} points)" for way in ways]
    return f"what fits, the best first: {', '.join(choices)}; or {others}"


Tries = Iterator[tuple[str, SweepConfig]]
"""Options in words, each with the configuration that it leads to, the largest studies first."""


def _enough(manifest: Manifest, config: SweepConfig) -> dict[str, int]:
    """Return of each class for how many real images there are enough synthetic ones."""
    manifest = manifest.without_controls()
    synthetic = manifest.select(manifest.source == "synthetic")
    counts = [
        Counter(synthetic.label[synthetic.generator == name]) for name in set(synthetic.generator)
    ]
    ratio = max(config.ratios)
    return {name: math.floor(min(c[name] for c in counts) / ratio) for name in manifest.classes}


def _fractions(enough: dict[str, int], manifest: Manifest, config: SweepConfig) -> Tries:
    largest = _largest(manifest, replace(config, real_fraction=1.0))
    most = math.floor(100 * min(enough[name] / n for name, n in largest.items()))
    for percent in range(most, max(0, most - _TRIES), -1):
        yield (
            f"--real-fraction {percent / 100:g}", replace(config, real_fraction=percent / 100)
        )  # fmt: skip


def _holdouts(enough: dict[str, int], manifest: Manifest, config: SweepConfig) -> Tries:
    if config.folds is not None or config.leave_one_group_out or (manifest.split == "test").any():
        return
    real = Counter(manifest.label[(manifest.source == "real") & (manifest.split == "train")])
    least = math.ceil(100 * (1 - min(enough[name] / n for name, n in real.items())))
    for percent in range(least, min(100, least + _TRIES)):
        yield f"--holdout {percent / 100:g}", replace(config, holdout=percent / 100)


def _studied(enough: dict[str, int], manifest: Manifest, config: SweepConfig) -> Tries:
    """Yield numbers of real images of each class to study, those that are tested on included."""
    real, test, _ = parts(manifest, config)
    of_class = config.per_class or min(Counter(real.label).values())
    most = min(enough.values()) / config.real_fraction
    if test is None:
        most = most * of_class / min(_largest(manifest, replace(config, real_fraction=1)).values())
    for number in range(min(math.ceil(most), of_class), max(1, math.ceil(most) - _TRIES), -1):
        yield f"--per-class {number}", replace(config, per_class=number)


def _curve(enough: dict[str, int], config: SweepConfig) -> Tries:
    size = min(enough.values())
    if size:
        yield f"--real-curve of sizes up to {size}", replace(config, train_per_class=size)


def _largest(manifest: Manifest, config: SweepConfig) -> dict[str, int]:
    """Return how many real images of each class a sweep trains on at most."""
    real, test, _ = parts(manifest, config)
    real = choose_real(real, config.per_class, stream(config.seed, "choose"))
    return largest_part(real, lay_out_folds(real, test, config)[0])


def _way(words: str, manifest: Manifest, config: SweepConfig, enough: dict[str, int]) -> Way | None:
    """Return the way that a configuration is, or None if it is none."""
    try:
        if any(n > enough[name] for name, n in _largest(manifest, config).items()):
            return None
        study = study_of(manifest, config, kind_of(config.head).takes_steps, config.repeats)
    except XprobeError:  # Too few images or groups are left for such a study.
        return None
    return Way(words, detectable(study))
