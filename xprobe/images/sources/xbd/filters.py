"""Which tiles a study may take: classes, damage, and samples that are even over events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from numpy.random import Generator

from xprobe.images.sources.xbd.tiles import Tile

DAMAGED, UNDAMAGED = "damaged", "undamaged"

Draw = Callable[..., Generator]  # from names; equal names have equal generators


def is_undamaged(tile: Tile) -> bool:
    """Return whether there are graded buildings, and none of them is damaged."""
    return tile.damage.graded > 0 and not tile.damage.damaged


def damage_filter(text: str) -> Callable[[Tile], bool]:
    """Return whether a tile passes ``--damage``: a function from a tile, for a checked text."""
    name, _, number = text.partition(":")
    if name == "buildings":
        return lambda tile: tile.damage.damaged >= int(number)
    if name == "share":
        return lambda tile: tile.damage.damaged > 0 and tile.damage.share >= float(number)
    return {
        "all": lambda _tile: True,
        "none": is_undamaged,
        "any": lambda tile: tile.damage.damaged > 0,
        "major": lambda tile: tile.damage.major > 0,
    }[name]


def by_study(tiles: Iterable[Tile], class_of: Mapping[str, str]) -> list[Tile]:
    """Return the tiles of the events of a table, of the kinds that it says."""
    return [
        replace(tile, disaster=class_of[tile.event], label=class_of[tile.event])
        for tile in tiles
        if tile.event in class_of
    ]


def by_damage(tiles: Iterable[Tile]) -> list[Tile]:
    """Return the tiles with graded buildings, of the classes ``damaged`` and ``undamaged``."""
    return [
        replace(tile, label=DAMAGED if tile.damage.damaged else UNDAMAGED)
        for tile in tiles
        if tile.damage.graded
    ]


def sample(
    tiles: Iterable[Tile], per_class: int | None, draw: Draw, *, matched: bool = False
) -> list[Tile]:
    """Return random tiles of each class, drawn evenly from its events.

    Events that have few tiles give all of them, and the others give more. With equal draws a
    smaller number gives a subset, and which other classes there are changes nothing.

    Args:
        tiles: the tiles, whose order does not matter.
        per_class: how many of each class; all, if there are no more. None: all.
        draw: generator of a class and event, or of an event.
        matched: take as many tiles of every class from each event, so that events say nothing of
            classes.
    """
    shuffled = _shuffled(tiles, draw)
    classes = sorted({label for label, _ in shuffled})
    capacity: dict[str, dict[str, int]] = {label: {} for label in classes}
    for (label, event), of_event in shuffled.items():
        capacity[label][event] = len(of_event)
    if matched:
        events = {event for _, event in shuffled}
        least = {e: min(capacity[label].get(e, 0) for label in classes) for e in events}
        capacity = dict.fromkeys(classes, least)
    order = sorted({event for _, event in shuffled}, key=lambda event: draw(event).random())
    chosen: list[Tile] = []
    for label in classes:
        shares = spread(capacity[label], per_class, order)
        for event, n in shares.items():
            chosen += shuffled.get((label, event), [])[:n]
    return sorted(chosen, key=lambda tile: tile.name)


def spread(capacity: Mapping[str, int], total: int | None, order: Sequence[str]) -> dict[str, int]:
    """Return how much each event gives so that all give as evenly as they can.

    Args:
        capacity: the most that each event can give.
        total: what all give together, if they can; None: all that they have.
        order: names of the events; what cannot be divided evenly is given by the first of them.
    """
    if total is None:
        return dict(capacity)
    given = dict.fromkeys(capacity, 0)
    left = total
    while left > 0:
        able = [event for event in order if given.get(event, 0) < capacity.get(event, 0)]
        if not able:
            break
        share = max(1, left // len(able))
        for event in able:
            n = min(share, capacity[event] - given[event], left)
            given[event] += n
            left -= n
    return given


def _shuffled(tiles: Iterable[Tile], draw: Draw) -> dict[tuple[str, str], list[Tile]]:
    """Return the tiles of each class and event in random order, which only these tiles decide."""
    parts: dict[tuple[str, str], list[Tile]] = {}
    for tile in sorted(tiles, key=lambda tile: tile.name):
        parts.setdefault((tile.label, tile.event), []).append(tile)
    return {
        key: [part[i] for i in draw(*key).permutation(len(part))] for key, part in parts.items()
    }
