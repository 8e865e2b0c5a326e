"""Studies at several numbers of real images → what synthetic ones, or augmentations, are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from xprobe.base import documents
from xprobe.base.arrays import Bools, Ints
from xprobe.base.errors import first_few
from xprobe.base.streams import stream
from xprobe.design.design import Design
from xprobe.design.setting import Setting
from xprobe.design.sizes import MOST_APART, are_close
from xprobe.results.rows import DataValue
from xprobe.results.study import Study
from xprobe.verdict.worth import worth


@dataclass(frozen=True, eq=False)
class Point:
    """A study of a learning curve.

    Attributes:
        design: what the study trained on.
        hits: whether each setting was right (R, N); label and cluster (N,) of the test images,
            which are the same for all points.
        document: the document of the study.
    """

    design: Design
    hits: tuple[dict[Setting, Bools], Ints, Ints]
    document: Study

    @property
    def size(self) -> float:
        """Real images of a class that the study trained on, as a mean over folds and classes."""
        (real,) = [b for b in self.design.blocks if b.setting.name == "real-only"][:1]
        return float(np.mean(real.n_real)) / len(self.design.study.classes)

    def synthetic_per_class(self, setting: Setting) -> float:
        """Return the synthetic training images of each class, on average likewise."""
        blocks = [b for b in self.design.blocks if b.setting == setting]
        return float(np.mean([b.n_synthetic for b in blocks])) / len(self.design.study.classes)


def value_points(points: Sequence[Point], seed: int, refusal: str = "") -> list[Point]:
    """Return the points, by size, with ``data_value`` in their documents.

    It has a row for each mix and each alternative. The point of the largest size has no row, as
    there is nothing to compare it with. None has if the value is refused, as `refusal` says or
    since the sizes came out too far apart; it is then a warning in their documents.
    """
    points = sorted(points, key=lambda point: point.size)
    sizes = [point.size for point in points]
    if refusal := refusal or _refusal(sizes) or _single_refusal(points[0]):
        return [_refused(point, refusal) for point in points]
    real = np.stack([point.hits[0][Setting("real-only")] for point in points])
    valued = []
    for point in points:
        rows = () if point.size >= sizes[-1] else tuple(_worth_rows(point, sizes, real, seed))
        document = documents.replace(point.document, data_value=rows)
        valued.append(replace(point, document=document))
    return valued


def _refusal(sizes: Sequence[float]) -> str:
    """Say why sizes as they came out give no data value; nothing if they do."""
    if are_close(sizes):
        return ""
    became = ", ".join(f"{size:.0f}" for size in sizes)
    return (
        f"groups of real images stay whole, so that the sizes of --real-curve became {became}: "
        f"neighbours more than {MOST_APART:g} times apart do not tell how many real images the "
        f"synthetic ones are worth. Take larger sizes, or some between"
    )


def _single_refusal(point: Point) -> str:
    """Return why there is no data value where a class is tested on a single group; else ``""``.

    The bootstrap draws groups of a class anew, and with one group it would always draw the same.
    """
    _, label, cluster = point.hits
    _, first = np.unique(cluster, return_index=True)
    numbers, times = np.unique(label[first], return_counts=True)
    names = [point.design.study.classes[number] for number in numbers[times == 1]]
    if not names:
        return ""
    return (
        f"test images of class {first_few(names)} are of one {point.design.errors_by or 'group'}: "
        f"how many real images the synthetic ones are worth cannot be told without a second one"
    )


def _refused(point: Point, refusal: str) -> Point:
    warnings = (*point.document.warnings, refusal)
    document = documents.replace(point.document, data_value=(), warnings=warnings)
    return replace(point, document=document)


def _worth_rows(
    point: Point, sizes: Sequence[float], real: Bools, seed: int
) -> Iterator[DataValue]:
    """Yield what mixes and then alternatives are worth; `real` is (T, R, N), real-only by size."""
    hits, label, group = point.hits
    valued = [setting for setting in hits if setting.name == "mix" or setting.is_alternative]
    for setting in sorted(valued, key=lambda setting: setting.is_alternative):
        hit = hits[setting]
        value = worth(sizes, real, point.size, hit, label, group, stream(seed, "worth"))
        yield DataValue(
            encoder=point.document.encoder.label,
            head=point.document.config.head,
            setting=setting.name,
            ratio=setting.ratio,
            generator=setting.generator,
            augment=setting.augment or None,
            real_per_class=point.size,
            synthetic_per_class=point.synthetic_per_class(setting),
            most=sizes[-1],
            **asdict(value),
        )
