"""Names that have moved, and for one release can still be imported from their former modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module


def moved(module: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a module whose names have moved; each use of one warns.

    Args:
        module: the name of the module.
        places: old name → ``module:attribute`` of today.
    """

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, attribute = places[name].partition(":")
        warnings.warn(
            f"{module}.{name} is gone in the next release; use {place}.{attribute}",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(place), attribute)

    return get
