"""The families of encoders, one row a family; all that differs between families is in its row."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Protocol, cast

from xprobe.base.registry import by_name, entry_points_of, load_entry_point
from xprobe.encoders.base import Encoder
from xprobe.encoders.families.own import ENTRY_POINTS
from xprobe.encoders.presets import ENCODERS
from xprobe.encoders.tower import Tower, Wish
from xprobe.encoders.weights import OPEN_CLIP_FILES, TIMM_FILES


class Load(Protocol):
    """Loads an encoder of a family."""

    def __call__(self, rest: str, wish: Wish, /) -> Tower | Encoder:
        """Return what a long name without its prefix stands for.

        A `Tower` is run, and trained, by `network.Network`; an `Encoder` is ready.

        Raises:
            XprobeError: an unknown name, weights that are nowhere or do not fit, a wish that the
                family cannot fulfil.
        """
        ...


@dataclass(frozen=True)
class Family:
    """A family of encoders, known before anything heavy is imported.

    Attributes:
        name: the prefix of the long names of its encoders, ``<name>:<rest>``.
        load_by: ``module:function`` that names a `Load`.
        weights: files of a hub repository that hold the weights, the preferred one first.
        own_weights: what users write before the path of weights of their own; ``{model}`` is the
            part of the name before the first slash.
        known_by: ``module:function`` that says whether a name without the prefix is that of an
            architecture, without the network; empty: nothing can.
        has_networks: whether its encoders are towers, with layers and precisions to choose, and
            weights that can be trained or left as initialised.
        is_closed: whether all of its encoders are in `presets.ENCODERS`.
    """

    name: str
    load_by: str
    weights: tuple[str, ...] = ()
    own_weights: str = ""
    known_by: str = ""
    has_networks: bool = True
    is_closed: bool = False

    def knows(self, name: str) -> bool:
        """Return whether a name without a prefix is known to be that of an architecture."""
        module, _, function = self.known_by.partition(":")
        return bool(function) and bool(getattr(importlib.import_module(module), function)(name))

    def load(self, rest: str, wish: Wish) -> Tower | Encoder:
        """Import the family's module and load one of its encoders, as `Load` does."""
        module, _, function = self.load_by.partition(":")
        return cast(Load, getattr(importlib.import_module(module), function))(rest, wish)


_FOLDER = "xprobe.encoders.families"

FAMILIES: dict[str, Family] = by_name(
    Family(
        "open_clip", f"{_FOLDER}.open_clip:load",
        weights=OPEN_CLIP_FILES, own_weights="open_clip:{model}/",
    ),
    Family(
        "timm", f"{_FOLDER}.timm:load", weights=TIMM_FILES, own_weights="timm:{model}/",
        known_by=f"{_FOLDER}.timm:knows",
    ),
    Family("torchvision", f"{_FOLDER}.torchvision:load"),
    Family("hf", f"{_FOLDER}.transformers:load", weights=TIMM_FILES, own_weights="hf:"),
    Family("builtin", f"{_FOLDER}.builtin:load", has_networks=False, is_closed=True),
)  # fmt: skip

# The family of encoders that a function of somebody else returns; their names have no prefix.
OWN = Family("", f"{_FOLDER}.own:load", has_networks=False)


def outside_encoders() -> dict[str, EntryPoint]:
    """Return the encoders and families that other packages registered, by name.

    An entry point stands for a function that makes an encoder, or for a `Family`.

    Raises:
        XprobeError: a package takes a name of xprobe's own.
    """
    return entry_points_of(ENTRY_POINTS, "encoder", {*ENCODERS, *FAMILIES})


def family_of(prefix: str) -> Family | None:
    """Return the family of a prefix, from xprobe or from another package, or None.

    Raises:
        XprobeError: a package takes a name of xprobe's own, or does not load.
    """
    if prefix in FAMILIES:
        return FAMILIES[prefix]
    point = outside_encoders().get(prefix)
    family = None if point is None else load_entry_point(point, "encoder")
    return family if isinstance(family, Family) and family.name == prefix else None
