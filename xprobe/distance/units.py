"""Which images are one draw: those of a scene with all edits of it, those of a prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from xprobe.base.arrays import Bools, Ints
from xprobe.images.manifest import Manifest

# Prompts are units from this many prompts in each class on. Fewer are no sample of prompts, so that
# the comparison holds for these prompts alone.
FEWEST_PROMPTS = 10

GIVEN_PROMPTS = "given these prompts"

INDEPENDENT = "assumes independent images"


@dataclass(frozen=True, eq=False)
class Units:
    """The units of some images.

    Attributes:
        number: (n,) number of the unit of each image.
        assumption: what has to be taken for granted about synthetic images without a known source
            among the real ones, `GIVEN_PROMPTS` or `INDEPENDENT`; None: nothing.
    """

    number: Ints
    assumption: str | None


def scenes(images: Manifest, real: Manifest) -> Ints:
    """Return the number of the scene of each image (n,), -1 where none is known.

    The scene of a real image is its group. A synthetic image is of the scene of its parent and of
    its group, whether that scene has real images or not; if these are two scenes, they count as
    one, since both share that image.

    Args:
        images: the images.
        real: all real images of the table, which parents may name.
    """
    group_of, groups = dict(zip(real.id, real.group, strict=True)), set(real.group)
    number_of: dict[str, int] = {}
    number = np.full(len(images), -1, dtype=np.intp)
    pairs = []
    for i, (parent, group) in enumerate(zip(images.parent, images.group, strict=True)):
        names = {group}
        if images.source[i] != "real":
            names |= {group_of.get(parent, parent)} | ({parent} & groups)
        numbers = [number_of.setdefault(name, len(number_of)) for name in sorted(names - {""})]
        if numbers:
            number[i] = numbers[0]
            pairs += [(numbers[0], other) for other in numbers[1:]]
    if not number_of:
        return number
    rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    size = len(number_of)
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    joined = connected_components(links, directed=False)[1]
    return np.where(number < 0, -1, joined[number])


def units(images: Manifest, scene: Ints, is_outside: Bools) -> Units:
    """Return the units of images (n,) whose scenes are known (-1: not).

    A synthetic image without a scene is of the unit of its prompt if each class has
    `FEWEST_PROMPTS` prompts or more; else it is a unit by itself. Images of one source that is
    outside the table, or misspelt, are a unit, which is taken to be independent of the real ones.

    Args:
        images: the images.
        scene: (n,) numbers of their scenes, as from `scenes`.
        is_outside: (n,) whether the source that is named is no real image of the table.
    """
    number = scene.astype(np.intp)
    unknown = np.flatnonzero(number < 0)
    prompted = unknown[images.prompt[unknown] != ""]
    start = int(number.max(initial=-1)) + 1
    number[unknown] = start + np.arange(len(unknown))
    classes = images.label[prompted]
    prompts = [set(images.prompt[prompted[classes == name]]) for name in set(classes)]
    are_units = bool(prompts) and min(map(len, prompts)) >= FEWEST_PROMPTS
    if are_units:
        _, code = np.unique(images.prompt[prompted].astype(str), return_inverse=True)
        number[prompted] = start + len(unknown) + code
    if len(prompted) < len(unknown) or is_outside.any():
        return Units(number, INDEPENDENT)
    return Units(number, GIVEN_PROMPTS if len(prompted) and not are_units else None)
