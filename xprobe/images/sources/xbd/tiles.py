"""A tile of xBD as a value: one place before and after a disaster, and its damaged buildings."""

from __future__ import annotations

from dataclasses import dataclass

GRADES = ("no-damage", "minor-damage", "major-damage", "destroyed", "un-classified")
"""The grades of damage that label files give to buildings, and the word for those without one."""


@dataclass(frozen=True)
class Damage:
    """How many buildings of a tile have each grade after the event.

    Attributes:
        counts: number of buildings of each grade, in the order of `GRADES`.
    """

    counts: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)

    @property
    def buildings(self) -> int:
        """Number of all buildings."""
        return sum(self.counts)

    @property
    def graded(self) -> int:
        """Number of buildings of which it is known whether they are damaged."""
        return sum(self.counts[:4])

    @property
    def damaged(self) -> int:
        """Number of buildings with minor damage or more."""
        return sum(self.counts[1:4])

    @property
    def major(self) -> int:
        """Number of buildings with major damage or more."""
        return sum(self.counts[2:4])

    @property
    def share(self) -> float:
        """Part of the graded buildings that is damaged; 0 where there are none."""
        return self.damaged / self.graded if self.graded else 0.0

    def __str__(self) -> str:
        return " ".join(f"{grade}:{n}" for grade, n in zip(GRADES, self.counts, strict=True))


@dataclass(frozen=True)
class Tile:
    """A tile of xBD: its image after an event, the twin from before, and what their labels say.

    Attributes:
        event: name of the event, such as ``hurricane-harvey``.
        number: the eight digits that tell the tiles of an event apart.
        disaster: kind of the disaster, by the metadata of the label file.
        part: official split: ``train``, ``tier3``, ``test`` or ``hold``.
        post, pre: paths of the images after and before the event; empty: there is none.
        post_label, pre_label: paths of their label files, for the outlines of buildings; empty:
            there is none, or its outlines cannot be used.
        damage: buildings by their damage.
        strip: catalogue number of the strip that the image after the event was cut from.
        size: width and height that the label file says, pixels; None: it says none.
        label: class of the tile in a study; at first the kind of the disaster.
    """

    event: str
    number: str
    disaster: str
    part: str
    post: str
    post_label: str
    pre: str = ""
    pre_label: str = ""
    damage: Damage = Damage()
    strip: str = ""
    size: tuple[int, int] | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.disaster)

    @property
    def name(self) -> str:
        """Event and number, which no other tile of xBD has; the scene of the study is called so."""
        return f"{self.event}_{self.number}"


GROUPS = ("tile", "strip", "event")
"""What images of a study can be grouped by: scenes, strips of a satellite, or events."""


def group_of(tile: Tile, unit: str) -> str:
    """Return the group that a tile belongs to.

    Args:
        tile: the tile.
        unit: one of `GROUPS`. Tiles of an event whose strip is not known are one strip.
    """
    if unit == "event":
        return tile.event
    return f"{tile.event}_{tile.strip or 'unknown-strip'}" if unit == "strip" else tile.name
