"""From all tiles of xBD to those of a study, step by step, with what every step leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xprobe.base.errors import XprobeError, counted, first_few
from xprobe.base.packed import packed_table
from xprobe.images.sources.xbd.config import XbdConfig
from xprobe.images.sources.xbd.filters import by_damage, by_study, damage_filter
from xprobe.images.sources.xbd.splits import Division, divide
from xprobe.images.sources.xbd.tiles import Tile

Kinds = Counter[tuple[str, str]]
"""Number of tiles by class and event."""


@dataclass(frozen=True)
class Step:
    """The tiles that are left after a step of the selection, such as a filter or a draw, counted.

    Attributes:
        name: what was asked for, such as ``damage any``.
        counts: how many tiles are left of each class and event.
    """

    name: str
    counts: Kinds


@dataclass(frozen=True)
class Selection:
    """The tiles of a study.

    Attributes:
        division: its parts.
        steps: what every step left, in order.
        warnings: what was left out, and of what there is too little.
    """

    division: Division
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]


def select(tiles: Sequence[Tile], config: XbdConfig) -> Selection:
    """Return the tiles of a study, chosen as `config` says; equal seeds choose equal tiles.

    Raises:
        XprobeError: no tile is left to train on, or an event that was asked for does not exist.
    """
    warnings = list(_unknown_events(tiles, config))
    if config.classes == "study":
        table = packed_table("events")
        tiles = by_study(tiles, {row["event"]: row["study_class"] for row in table})
    steps = [_step("tiles", tiles)]
    if config.label == "damage":
        # Before this step a tile has no class that could be counted.
        tiles = by_damage(tiles)
        steps = [_step("graded tiles", tiles)]
    if config.damage != "all":
        passes = damage_filter(config.damage)
        tiles = [tile for tile in tiles if passes(tile)]
        steps.append(_step(f"damage {config.damage}", tiles))
    if not tiles:
        asked = f"--damage {config.damage} --label {config.label} --classes {config.classes}"
        raise XprobeError("; ".join([f"no tile is left after {asked}", *warnings]))
    division = divide(tiles, config)
    if not division.train:
        what = f"no tile is left to train on with --splits {config.splits}"
        raise XprobeError("; ".join([what, *division.warnings[:2]]))
    is_sampled = config.per_class or config.test_per_class or config.label == "damage"
    if is_sampled:
        steps += [
            _step(f"could be {part}", pool)
            for part, pool in division.pools.items()
            if len(division.pools) > 1 and part != "sources"
        ]
    steps += [_step(part, getattr(division, part)) for part in division.pools]
    warnings += division.warnings
    labels = {tile.label for tile in division.train}
    if len(labels) < 2:
        warnings.append(f"a study needs two classes, and there is {first_few(labels) or 'none'}")
    return Selection(division, tuple(steps), tuple(warnings))


def _step(name: str, tiles: Iterable[Tile]) -> Step:
    return Step(name, Counter((tile.label, tile.event) for tile in tiles))


def _unknown_events(tiles: Iterable[Tile], config: XbdConfig) -> Iterable[str]:
    """Yield a line about events that the table of events lacks."""
    known = {row["event"] for row in packed_table("events")}
    counts = Counter(tile.event for tile in tiles if tile.event not in known)
    if counts:
        done = "left out, since the study names no class for them"
        if config.classes == "metadata":
            done = "taken with the class that their label files say"
        events = counted(len(counts), "unknown event", "unknown events")
        shown = first_few((f"{event} ({n})" for event, n in sorted(counts.items())), 3)
        yield f"{counted(counts.total(), 'tile is', 'tiles are')} of {events} ({done}): {shown}"
