"""Which tiles are trained on, tested on, and sources of generated images. Pure.

Every event of xBD is of one kind of disaster, so that a test part of unseen events needs an event
of each kind, and a kind of which there is one event cannot be tested so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from numpy.random import Generator

from xprobe.base.errors import OptionError, counted, did_you_mean, first_few
from xprobe.base.streams import stream
from xprobe.images.sources.xbd.config import XbdConfig
from xprobe.images.sources.xbd.filters import sample
from xprobe.images.sources.xbd.tiles import Tile, group_of

FEW_GROUPS = 5
"""With fewer groups in a class little can be said about further ones."""


@dataclass(frozen=True)
class Division:
    """The parts of a study, tiles by name.

    Attributes:
        pools: what the parts were drawn from, by the name of the part.
        train: tiles to train on.
        test: tiles of the test part.
        sources: tiles whose images from before the event may be made into images of it.
        warnings: what was left out, and of what there is too little.
        notes: what was drawn, and how to go on.
    """

    pools: dict[str, list[Tile]]
    train: list[Tile]
    test: list[Tile] = field(default_factory=list)
    sources: list[Tile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def divide(tiles: Sequence[Tile], config: XbdConfig) -> Division:
    """Return the parts that ``--splits`` makes of the tiles of a study.

    Raises:
        OptionError: an event that was asked for does not exist.
    """
    division = _POLICIES[config.splits](tiles, config)
    shortages, few = _shortages(division, config), _few_groups(division, config)
    return replace(division, warnings=[*division.warnings, *shortages, *few])


def _none(tiles: Sequence[Tile], config: XbdConfig) -> Division:
    return Division({"train": list(tiles)}, _sample(tiles, config, "train"))


def _official(tiles: Sequence[Tile], config: XbdConfig) -> Division:
    tested = [tile for tile in tiles if tile.part in ("test", "hold")]
    others = [tile for tile in tiles if tile.part not in ("test", "hold")]
    test = _sample(tested, config, "test")
    return _guarded(others, tested, test, config)


def _events(tiles: Sequence[Tile], config: XbdConfig) -> Division:
    tiles, left_out = _without_single_events(tiles, config, "can be tested in no unseen event")
    held = held_out_events(tiles, stream(config.seed, "xbd", "events"))
    tested = [tile for tile in tiles if tile.event in held]
    others = [tile for tile in tiles if tile.event not in held]
    division = _guarded(others, tested, _sample(tested, config, "test"), config)
    note = f"held-out events, by --seed {config.seed}: {first_few(sorted(held), 20)}"
    notes = [note, *_errors_note(division.test)]
    return replace(division, warnings=[*left_out, *division.warnings], notes=notes)


def _leave_one_event_out(tiles: Sequence[Tile], config: XbdConfig) -> Division:
    tiles, left_out = _without_single_events(tiles, config, "could not be trained without it")
    options = "--leave-one-group-out --group event"
    meaning = ""
    if config.label == "class":  # Without its event a class is rarer in training than others.
        options += " --balanced"
        meaning = ": its accuracy is the recall of an unseen event's class, averaged over events"
    note = f"every event is tested once by 'xprobe sweep TABLE {options}'{meaning}"
    train = _sample(tiles, config, "train")
    return Division({"train": tiles}, train, warnings=left_out, notes=[note])


def _target_domain(tiles: Sequence[Tile], config: XbdConfig) -> Division:
    known = {tile.event for tile in tiles}
    for option in ("train_events", "test_events"):
        for name in getattr(config, option):
            if name not in known:
                raise OptionError(
                    f"--{option.replace('_', '-')}: no tile is of an event {name!r}"
                    f"{did_you_mean(name, known, 1)}; there are {first_few(sorted(known), 20)}"
                )
    trained = [tile for tile in tiles if tile.event in config.train_events]
    aimed = [tile for tile in tiles if tile.event in config.test_events]
    labels = {tile.label for tile in trained} & {tile.label for tile in aimed}
    left_out = []
    if alone := sorted({tile.label for tile in (*trained, *aimed)} - labels):
        left_out.append(
            f"left out class {first_few(alone)}: it has no event to train on, or none to test on"
        )
    trained = [tile for tile in trained if tile.label in labels]
    aimed = [tile for tile in aimed if tile.label in labels]
    tested = aimed
    if config.test_per_class is None:
        tested = half_of_groups(aimed, config.group, stream(config.seed, "xbd", "half"))
    test = _sample(tested, config, "test")
    groups = {group_of(tile, config.group) for tile in test}
    sources = [tile for tile in aimed if group_of(tile, config.group) not in groups]
    notes = _errors_note(test)
    if sources:
        lie = "tile of the test events lies", "tiles of the test events lie"
        notes = [
            f"{counted(len(sources), *lie)} outside the test part: the images from before, of "
            f"split pre, are the sources of images to be generated",
            *notes,
        ]
    elif test:
        left_out.append(
            "all tiles of the test events are tested, so that none is a source of images to be "
            "generated; choose a smaller --test-per-class"
        )
    return Division(
        {"train": trained, "test": tested, "sources": sources},
        _sample(trained, config, "train"), test, sources, left_out, notes,
    )  # fmt: skip


def _errors_note(test: Sequence[Tile]) -> list[str]:
    """Say how a sweep judges by test events, where there are two."""
    n = len({tile.event for tile in test})
    if n < 2:
        return []
    return [
        f"'xprobe sweep TABLE --errors-by event' takes the standard errors over the {n} test "
        f"events, and guards lineage by scene"
    ]


_POLICIES: dict[str, Callable[[Sequence[Tile], XbdConfig], Division]] = {
    "none": _none,
    "official": _official,
    "events": _events,
    "leave-one-event-out": _leave_one_event_out,
    "target-domain": _target_domain,
}


def held_out_events(tiles: Iterable[Tile], rng: Generator) -> set[str]:
    """Return random events, a third of those of each kind of disaster, rounded, but at least one.

    A kind of which there is one event keeps it.
    """
    held: set[str] = set()
    for _, events in sorted(events_of(tiles).items()):
        if len(events) > 1:
            held |= set(rng.permutation(events)[: max(1, round(len(events) / 3))].tolist())
    return held


def half_of_groups(tiles: Iterable[Tile], unit: str, rng: Generator) -> list[Tile]:
    """Return the tiles of half of the groups of each event, one more of an odd number."""
    groups: dict[str, set[str]] = {}
    tiles = list(tiles)
    for tile in tiles:
        groups.setdefault(tile.event, set()).add(group_of(tile, unit))
    chosen: set[str] = set()
    for _, names in sorted(groups.items()):
        chosen |= set(rng.permutation(sorted(names))[: (len(names) + 1) // 2].tolist())
    return [tile for tile in tiles if group_of(tile, unit) in chosen]


def events_of(tiles: Iterable[Tile]) -> dict[str, list[str]]:
    """Return the events of each kind of disaster, in alphabetical order."""
    events: dict[str, set[str]] = {}
    for tile in tiles:
        events.setdefault(tile.disaster, set()).add(tile.event)
    return {kind: sorted(names) for kind, names in events.items()}


def _without_single_events(
    tiles: Sequence[Tile], config: XbdConfig, why: str
) -> tuple[list[Tile], list[str]]:
    """Return tiles without the classes of one event, and a note that names these.

    Where damage is told apart, a kind of disaster is no class, and nothing is left out.
    """
    single = {k: names for k, names in events_of(tiles).items() if len(names) == 1}
    if config.label == "damage" or not single:
        return list(tiles), []
    shown = first_few(f"{kind} ({names[0]})" for kind, names in sorted(single.items()))
    note = f"left out class {shown}: a class of one event {why}"
    return [tile for tile in tiles if tile.disaster not in single], [note]


def _guarded(
    others: Sequence[Tile], tested: list[Tile], test: list[Tile], config: XbdConfig
) -> Division:
    """Return a division whose training tiles share no group with the test part."""
    groups = {group_of(tile, config.group) for tile in test}
    train = [tile for tile in others if group_of(tile, config.group) not in groups]
    n = len(others) - len(train)
    shared = counted(n, "tile that shares", "tiles that share")
    warning = f"left out of training {shared} a {config.group} with the test part"
    return Division(
        {"train": train, "test": tested}, _sample(train, config, "train"), test,
        warnings=[warning] * (n > 0),
    )  # fmt: skip


def _sample(tiles: Sequence[Tile], config: XbdConfig, part: str) -> list[Tile]:
    wanted = config.per_class if part == "train" else config.test_per_class
    draw = partial(stream, config.seed, "xbd", part)
    return sample(tiles, wanted, draw, matched=config.label == "damage")


def _shortages(division: Division, config: XbdConfig) -> list[str]:
    """Return a line for each part that has fewer tiles of a class than were asked for, or none."""
    notes = []
    parts = [("--per-class", config.per_class, division.train, "train")]
    if "test" in division.pools:
        parts.append(("--test-per-class", config.test_per_class, division.test, "test"))
    labels = sorted({tile.label for pool in division.pools.values() for tile in pool})
    for option, wanted, tiles, part in parts:
        counts = {label: sum(tile.label == label for tile in tiles) for label in labels}
        least = wanted or 1
        few = [f"{label} ({n})" for label, n in counts.items() if n < least]
        if few and wanted:
            notes.append(
                f"fewer than {option} {wanted} of class {first_few(few, 10)}: all of "
                f"them are taken, and nothing fills them up"
            )
        elif few:
            names = first_few(label for label, n in counts.items() if not n)
            notes.append(f"no tile of class {names} is in the {part} part")
    return notes


def _few_groups(division: Division, config: XbdConfig) -> list[str]:
    """Return a warning of each part whose images of some class are of few groups."""
    parts = [("to train on", division.train, config.group)]
    if config.splits == "leave-one-event-out":
        parts = [("to test in turn", division.train, "event")]
    elif config.splits in ("events", "target-domain"):
        parts.append(("in the test part", division.test, "event"))
    notes = []
    for words, tiles, unit in parts:
        groups: dict[str, set[str]] = {}
        for tile in tiles:
            groups.setdefault(tile.label, set()).add(group_of(tile, unit))
        few = [f"{k} ({len(g)})" for k, g in sorted(groups.items()) if len(g) < FEW_GROUPS]
        if few:
            notes.append(
                f"fewer than {FEW_GROUPS} {unit}s {words} of class {first_few(few, 10)}: how much "
                f"{unit}s vary can hardly be told from so few"
            )
    return notes
