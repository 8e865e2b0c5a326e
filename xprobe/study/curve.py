"""Studies at several numbers of real images → what synthetic ones are worth in real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xprobe.base.arrays import Bools, Ints
from xprobe.base.streams import stream
from xprobe.design.design import Design
from xprobe.design.setting import Setting
from xprobe.verdict.worth import worth


@dataclass(frozen=True, eq=False)
class Point:
    """A study of a learning curve.

    Attributes:
        design: what it trained on.
        hits: of each setting (R, N); label and group (N,) of the test images, the same for all
            points.
        key, document: of the study; `value_points` adds to the document.
    """

    design: Design
    hits: tuple[dict[Setting, Bools], Ints, Ints]
    key: str
    document: dict[str, Any]

    @property
    def size(self) -> float:
        """Real training images of each class, on average over folds and classes."""
        (real,) = [b for b in self.design.blocks if b.setting.name == "real-only"][:1]
        return float(np.mean(real.n_real)) / len(self.design.study.classes)


def value_points(points: Sequence[Point], seed: int) -> None:
    """Add ``data_value`` to the document of each point: a row for each mix.

    Each row has ``encoder``, ``head``, ``generator``, ``ratio``, ``real_per_class`` and
    ``synthetic_per_class`` that were trained on, ``most``, the end of the curve, and the fields of
    `worth.Worth`, in images of each class. At the largest number there is nothing to compare with,
    and so no row.
    """
    points = sorted(points, key=lambda point: point.size)
    sizes = [point.size for point in points]
    real = np.stack([point.hits[0][Setting("real-only")] for point in points])
    for point in points:
        point.document["data_value"] = rows = []
        hits, label, group = point.hits
        for setting, hit in hits.items():
            if setting.name != "mix" or setting.augment or point.size >= sizes[-1]:
                continue
            own = [b for b in point.design.blocks if b.setting == setting]
            synthetic = float(np.mean([b.n_synthetic for b in own])) / len(
                point.design.study.classes
            )
            about = {
                "encoder": point.document["encoder"]["label"],
                "head": point.document["config"]["head"],
                "generator": setting.generator,
                "ratio": setting.ratio,
                "real_per_class": point.size,
                "synthetic_per_class": synthetic,
                "most": sizes[-1],
            }
            found = worth(sizes, real, point.size, hit, label, group, stream(seed, "worth"))
            rows.append(about | asdict(found))
