"""What synthetic images know of real ones: the images that they were made from, and the events that
their generator was trained on; nested draws of synthetic images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Bools, Ints, Strings, frozen_strings
from xprobe.base.errors import XprobeError, first_few
from xprobe.images.events import event_key, keys_in
from xprobe.images.licence import is_withheld
from xprobe.images.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Lineage:
    """The real groups that synthetic images, or what made them, have seen.

    Attributes:
        source: (n, 3) numbers of real groups: the group of the image that the parent names, the
            group that the parent names, and the group of the image itself; -1 where there is none.
        known: (n,) whether any of them is known.
        is_outside: (n,) whether the parent of the image, or its group if it has none, names no real
            image and no group of real images.
        group_number: number of each real group.
        training: (n,) which row of `seen` an image has: that of its column ``trained_on``.
        seen: (lists, groups) whether a list of events, which a generator was trained on, names an
            event of a real group.
    """

    source: NDArray[np.intp]
    known: Bools
    is_outside: Bools
    group_number: dict[str, int]
    training: Ints
    seen: Bools

    def allowed(self, held_groups: Strings) -> Bools:
        """Return (n,) whether an image may be trained on while these groups are held out."""
        # A source of -1 reads the last entry, which stays False: no known source, no exclusion.
        is_held = np.append(self._is_held(held_groups), False)
        return np.asarray(~is_held[self.source].any(axis=1) & ~self.trained_with(held_groups))

    def trained_with(self, held_groups: Strings) -> Bools:
        """Return (n,) whether what made an image was trained on an event of these groups."""
        knows = np.asarray(self.seen[:, self._is_held(held_groups)].any(axis=1))
        return np.asarray(knows[self.training])

    def _is_held(self, held_groups: Strings) -> Bools:
        is_held = np.zeros(len(self.group_number), dtype=bool)
        is_held[[self.group_number[g] for g in set(held_groups)]] = True
        return is_held


def trace(synthetic: Manifest, real: Manifest) -> Lineage:
    """Return the lineage of synthetic images with respect to all real ones.

    `real` must hold also those that the study leaves out: they may show the scene of a test image.
    """
    number = {name: i for i, name in enumerate(sorted(set(real.group)))}
    number_of_id = {id_: number[g] for id_, g in zip(real.id, real.group, strict=True)}
    parent, group = synthetic.parent, synthetic.group
    lookups = ((number_of_id, parent), (number, parent), (number, group))
    numbers = [[table.get(name, -1) for name in column] for table, column in lookups]
    source = np.array(numbers, dtype=np.intp).T.reshape(-1, 3)
    known = source >= 0
    has_parent = parent.astype(str) != ""
    is_outside = np.where(
        has_parent, ~known[:, :2].any(axis=1), (group.astype(str) != "") & ~known[:, 2]
    )
    training, seen = _training(synthetic, real, number)
    return Lineage(source, np.asarray(known.any(axis=1)), is_outside, number, training, seen)


def _training(synthetic: Manifest, real: Manifest, number: dict[str, int]) -> tuple[Ints, Bools]:
    """Return `Lineage.training` and `Lineage.seen`; a real image is made by no generator."""
    cells = np.where(synthetic.source == "real", "", synthetic.column("trained_on"))
    lists, training = np.unique(cells.astype(str), return_inverse=True)
    seen = np.zeros((len(lists), len(number)), dtype=bool)
    if not lists.any():
        return np.asarray(training), seen
    groups_of: dict[str, set[int]] = {}
    for event, group in set(zip(real.column("event"), real.group, strict=True)):
        groups_of.setdefault(event_key(event), set()).add(number[group])
    for row, cell in enumerate(lists):
        for key in keys_in(cell):
            seen[row, list(groups_of.get(key, ()))] = True
    return np.asarray(training), seen


def sides(images: Manifest) -> tuple[Manifest, Manifest]:
    """Return the synthetic and the real images of a table, as the functions below take them."""
    is_real = images.source == "real"
    return images.select(~is_real), images.select(is_real)


def outside_warnings(synthetic: Manifest, real: Manifest) -> list[str]:
    """Return a warning of the sources of synthetic images that are no real images of the table."""
    is_outside = trace(synthetic, real).is_outside
    has_parent = synthetic.parent.astype(str) != ""
    warnings = []
    for word, names in (("parents", synthetic.parent), ("groups", synthetic.group)):
        counted = has_parent if word == "parents" else ~has_parent & (names.astype(str) != "")
        outside = names[is_outside & counted]
        if len(outside):
            different = sorted(set(outside))
            warnings.append(
                f"{len(outside)} of {counted.sum()} {word} of synthetic images ({len(different)} "
                f"different) name no real image of the study, such as {first_few(different, 2)}: "
                f"their source is outside the study, or misspelt; --require-lineage refuses them"
            )
    return warnings


def unknown_warnings(synthetic: Manifest, real: Manifest) -> list[str]:
    """Return a warning of the generators of which some image has no known source."""
    is_unknown = ~trace(synthetic, real).known
    if not is_unknown.any():
        return []
    generators = first_few(sorted(set(synthetic.generator[is_unknown])))
    return [
        f"the lineage of {is_unknown.sum()} of {len(synthetic)} synthetic images is not known "
        f"(generator {generators}): that some were made from test images cannot be excluded; name "
        f"their sources in the manifest's parent column"
    ]


def require(synthetic: Manifest, real: Manifest) -> None:
    """Refuse synthetic images whose source is not known to be a real image of the table.

    Raises:
        XprobeError: there are such images.
    """
    lineage = trace(synthetic, real)
    lacking = np.flatnonzero(~lineage.known | lineage.is_outside)
    if len(lacking):
        shown = [
            f"{synthetic.id[i]} ({synthetic.parent[i] or synthetic.group[i] or 'no parent'})"
            for i in lacking
        ]
        raise XprobeError(
            f"--require-lineage: {len(lacking)} of {len(synthetic)} synthetic images name no real "
            f"image of the study as their source: {first_few(shown, 3)}; correct the column parent "
            f"of the manifest, or leave these images out"
        )


def licences(images: Manifest) -> Strings:
    """Return (n,) the licence that counts for each image; empty where none is known.

    It is the image's own. Where an image with the same content may not be passed on, that licence
    counts for both. An edit is a derived work: where the image that it was made from, or one of
    the scene that its parent or group names, may not be passed on, that licence counts.
    """
    licence = images.column("licence")
    strict = {name for name in set(licence) if is_withheld(name)}
    if not strict:
        return licence
    digests = images.sha256
    of_content = {
        digest: name
        for digest, name in zip(digests, licence, strict=True)
        if digest and name in strict
    }
    counting = np.array(
        [
            name if name in strict else of_content.get(digest, name)
            for digest, name in zip(digests, licence, strict=True)
        ],
        dtype=object,
    )
    is_real = np.asarray(images.source == "real", dtype=bool)
    of_scene = {
        group: name
        for group, name in zip(images.group[is_real], counting[is_real], strict=True)
        if group and name in strict
    }
    for part in (is_real, ~is_real):  # An edit may be made from a crop of a real image.
        of_image = dict(zip(images.id[is_real], counting[is_real], strict=True))
        for i in np.flatnonzero(part):
            parent = images.parent[i]
            scene = parent if parent or is_real[i] else images.group[i]
            inherited = of_image.get(parent, of_scene.get(scene, ""))
            if inherited in strict and counting[i] not in strict:
                counting[i] = inherited
    return frozen_strings(counting)


@dataclass(frozen=True, eq=False)
class Draw:
    """Synthetic images for one training part.

    Attributes:
        rows: positions in the synthetic manifest, ascending.
        short: whether some class has fewer images than the ratio asks for.
    """

    rows: Ints
    short: bool


def draw(
    synthetic: Manifest, allowed: Bools, order: Ints, train_label: Strings, ratio: float
) -> Draw:
    """Return the first allowed images in `order`: round(ratio × real images) of each class.

    The same `order` gives nested subsets at other ratios: 1:1 ⊂ 1:2 ⊂ 1:3.
    """
    rows, short = [], False
    ordered = order[allowed[order]]
    label = synthetic.label[ordered]
    for name in synthetic.classes:
        n_wanted = round(ratio * int((train_label == name).sum()))
        rows_of_class = ordered[label == name][:n_wanted]
        short |= len(rows_of_class) < n_wanted
        rows.append(rows_of_class)
    return Draw(np.sort(np.concatenate(rows)), short)


def supply_per_real(synthetic: Manifest, allowed: Bools, train_label: Strings) -> dict[str, float]:
    """Return of each class how many allowed images there are for a real training image."""
    n = Counter(synthetic.label[allowed])
    return {name: n[name] / n_real for name, n_real in sorted(Counter(train_label).items())}


def check_supply(
    synthetic: Manifest, generator: str, train: dict[str, int], ratios: tuple[float, ...]
) -> str | None:
    """Return what is wrong if a generator has too few images for the largest ratio, else None.

    `train` is the number of images of each class in the largest real training part.
    """
    supply = {c: int((synthetic.label == c).sum()) for c in train}
    demand = {c: round(max(ratios) * n) for c, n in train.items()}
    shortages = [f"{c} ({supply[c]} of {demand[c]})" for c in train if supply[c] < demand[c]]
    if not shortages:
        return None
    possible = min(supply[c] / train[c] for c in train)
    largest = int(possible) if possible >= 1 else int(possible * 100) / 100
    return (
        f"generator {generator} has too few synthetic images for the ratio 1:{max(ratios):g} in "
        f"class {first_few(shortages)}; the largest possible ratio is 1:{largest:g}"
    )
