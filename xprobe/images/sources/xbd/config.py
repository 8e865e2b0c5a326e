"""What of xBD makes a study: what a user may choose, checked once; no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xprobe.base.declared import COMPARED, PROTOCOL, check_least, option, parse_names
from xprobe.base.errors import OptionError, did_you_mean
from xprobe.images.sources.xbd.tiles import GROUPS

CLASSES = ("metadata", "study")

LABELS = ("class", "damage")

SPLITS = ("none", "official", "events", "leave-one-event-out", "target-domain")

_DAMAGE = re.compile(r"all|none|any|major|buildings:[1-9]\d{0,8}|share:(0?\.\d*[1-9]\d*|1|1\.0*)")


def _parse_damage(text: str) -> str:
    if _DAMAGE.fullmatch(text):
        return text
    raise ValueError(
        "takes all, none, any, major, buildings:K (at least K damaged buildings) or share:X (at "
        "least this part of the buildings, as share:0.5)"
    )


@dataclass(frozen=True)
class XbdConfig:
    """What of xBD makes a study.

    Attributes:
        label: what is told apart: ``class`` (kinds of disasters) or ``damage`` (tiles with a
            damaged building from tiles without one, as many of both in every event).
        classes: kinds by the ``metadata`` of the label files, or by the table of a ``study``.
        damage: which tiles take part, by their damaged buildings.
        per_class: tiles of each class to train on, drawn evenly from its events; None: all.
        test_per_class: the same of the test part.
        splits: what the test part is; empty: ``official`` with `test_per_class`, else ``none``.
        train_events, test_events: events of ``target-domain``.
        group: which images are a group: those of a tile, of a strip, or of an event.
        seed: every random choice follows from it.
    """

    label: str = option(
        "class", "class: kinds of disasters; damage: tiles with a damaged building and tiles "
        "without one, as many of both in every event.",
        panel=COMPARED, values=LABELS,
    )  # fmt: skip
    classes: str = option(
        "metadata", "Kinds of disasters by the metadata of the label files, or by the table of a "
        "study, which says wildfire and storm, and has two events in another class.",
        panel=COMPARED, values=CLASSES,
    )  # fmt: skip
    damage: str = option(
        "all", "Which tiles take part: all; none (graded buildings, none damaged); any (a damaged "
        "building); major (or destroyed); buildings:K or share:X of them damaged.",
        panel=COMPARED, parse=_parse_damage, shown="all", metavar="WHICH",
        values=("all", "none", "any", "major", "buildings:", "share:"),
    )  # fmt: skip
    per_class: int | None = option(
        None, "Tiles of each class to train on, drawn evenly from its events. Default: all.",
        panel=COMPARED, least=1,
    )  # fmt: skip
    test_per_class: int | None = option(
        None, "Tiles of each class in the test part. Default: all that the split has; half of the "
        "test events in target-domain.",
        panel=PROTOCOL, least=1,
    )  # fmt: skip
    splits: str = option(
        "", "none, official (test and hold), events (some events are held out), "
        "leave-one-event-out, or target-domain. Default: none, or official with --test-per-class.",
        panel=PROTOCOL, metavar="POLICY", values=SPLITS,
    )  # fmt: skip
    train_events: tuple[str, ...] = option(
        (), "target-domain: events to train on, such as hurricane-harvey,joplin-tornado.",
        panel=PROTOCOL, parse=parse_names, metavar="LIST",
    )  # fmt: skip
    test_events: tuple[str, ...] = option(
        (), "target-domain: events to test on, and to make images of.",
        panel=PROTOCOL, parse=parse_names, metavar="LIST",
    )  # fmt: skip
    group: str = option(
        "tile", "Images that are never divided between training and test: those of a tile, of a "
        "strip (one pass of a satellite), or of an event.",
        panel=PROTOCOL, values=GROUPS,
    )  # fmt: skip
    seed: int = option(0, "What every random choice follows from.", panel=PROTOCOL, least=0)

    def __post_init__(self) -> None:
        check_least(self, OptionError)
        if not self.splits:
            policy = "none" if self.test_per_class is None else "official"
            object.__setattr__(self, "splits", policy)
        for name, known in (
            ("label", LABELS), ("classes", CLASSES), ("splits", SPLITS), ("group", GROUPS),
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known:
                raise OptionError(
                    f"--{name} {value!r}{did_you_mean(value, known, 1)}; it is "
                    f"{', '.join(known[:-1])} or {known[-1]}"
                )
        if self.label == "damage" and self.damage != "all":
            raise OptionError(
                "--label damage asks for tiles with and without damage; leave out --damage"
            )
        self._check_splits()

    def _check_splits(self) -> None:
        is_target = self.splits == "target-domain"
        if is_target != bool(self.train_events) or is_target != bool(self.test_events):
            raise OptionError(
                "--splits target-domain goes with --train-events and --test-events, and they with "
                "it"
            )
        if both := sorted(set(self.train_events) & set(self.test_events)):
            raise OptionError(f"--train-events and --test-events both name {both[0]}")
        if self.test_per_class is not None and self.splits in ("none", "leave-one-event-out"):
            raise OptionError(f"--test-per-class: --splits {self.splits} has no test part")
        if self.group == "event" and self.splits == "official":
            raise OptionError(
                "--group event: the official splits share their events; choose --splits events"
            )
        if self.group == "event" and is_target:
            raise OptionError(
                "--group event: no image of a test event could be a source then; leave it out, "
                "since training and test events differ all the same"
            )
