"""Which synthetic images stem from which real ones, and nested draws of those that may be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Ints, Strings
from xprobe.base.errors import some
from xprobe.images.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Lineage:
    """Where the synthetic images of a generator come from.

    Attributes:
        source: (n, 3) number of the real group that an image was made from: that of the image
            its parent names, the group its parent names, and its own group; -1: none.
        known: (n,) whether either is.
    """

    source: NDArray[np.intp]
    known: Bools
    _number: dict[str, int]

    def allowed(self, held_groups: Strings) -> Bools:
        """Return (n,) whether an image may be trained on while these groups are held out."""
        held = np.zeros(len(self._number) + 1, dtype=bool)  # the last: not known
        held[[self._number[g] for g in set(held_groups)]] = True
        return np.asarray(~held[self.source].any(axis=1))


def trace(synthetic: Manifest, real: Manifest) -> Lineage:
    """Return the lineage of synthetic images with respect to all real ones.

    All, also those that take no part: an image made from one of them shows its scene.
    """
    number = {name: i for i, name in enumerate(sorted(set(real.group)))}
    of_id = {id_: number[g] for id_, g in zip(real.id, real.group, strict=True)}
    names = ((of_id, synthetic.parent), (number, synthetic.parent), (number, synthetic.group))
    found = [[table.get(name, -1) for name in column] for table, column in names]
    source = np.array(found, dtype=np.intp).T.reshape(-1, 3)
    known = (synthetic.parent != "") | (synthetic.group != "")
    return Lineage(source, np.asarray(known, dtype=bool), number)


@dataclass(frozen=True, eq=False)
class Draw:
    """Synthetic images for one training part.

    Attributes:
        rows: positions in the synthetic manifest.
        short: whether some class has fewer than the ratio asks.
    """

    rows: Ints
    short: bool


def draw(
    synthetic: Manifest, allowed: Bools, order: Ints, train_label: Strings, ratio: float
) -> Draw:
    """Return, class by class, the first round(ratio × real images) allowed ones in `order`.

    The same `order` at another ratio gives nested subsets: 1:1 ⊂ 1:2 ⊂ 1:3.
    """
    rows, short = [], False
    ordered = order[allowed[order]]
    label = synthetic.label[ordered]
    for name in synthetic.classes:
        want = round(ratio * int((train_label == name).sum()))
        own = ordered[label == name][:want]
        short |= len(own) < want
        rows.append(own)
    return Draw(np.sort(np.concatenate(rows)), short)


def check_supply(
    synthetic: Manifest, generator: str, train: dict[str, int], ratios: tuple[float, ...]
) -> str | None:
    """Return what is wrong if a generator has too few images for the largest ratio, else None.

    `train` is the number of images of each class in the largest real training part.
    """
    have = {c: int((synthetic.label == c).sum()) for c in train}
    need = {c: round(max(ratios) * n) for c, n in train.items()}
    short = [f"{c} ({have[c]} of {need[c]})" for c in train if have[c] < need[c]]
    if not short:
        return None
    possible = min(have[c] / train[c] for c in train)
    largest = int(possible) if possible >= 1 else int(possible * 100) / 100
    return (
        f"generator {generator} has too few synthetic images for the ratio 1:{max(ratios):g} in "
        f"class {some(short)}; the largest possible ratio is 1:{largest:g}"
    )
