"""Encoders that a function of somebody else makes: a registered one, or ``module:function``."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.base.registry import entry_points_of, load_entry_point
from xprobe.encoders.base import Encoder
from xprobe.encoders.tower import Wish

ENTRY_POINTS = "xprobe.encoders"
"""The group of entry points by which other packages register encoders and families."""


def load(name: str, _wish: Wish) -> Encoder:
    """Return the encoder that a registered function, or ``module:function``, makes.

    Raises:
        XprobeError: the function cannot be imported, or returns something else.
    """
    points = entry_points_of(ENTRY_POINTS, "encoder", ())
    module, _, function = name.partition(":")
    folder = str(Path.cwd())
    if name not in points and folder not in sys.path:
        # Users keep such a module beside their data, where a file of theirs may also have the name
        # of a module of Python; the folder is last, so that this is not taken for it.
        sys.path.append(folder)
    try:
        if name in points:
            maker = load_entry_point(points[name], "encoder")
        else:
            maker = getattr(importlib.import_module(module), function)
        if not callable(maker):
            raise XprobeError(
                f"{name} is a {type(maker).__name__}, not a function or class that makes an "
                f"xprobe.Encoder"
            )
        encoder = maker()
    except ImportError as error:
        raise XprobeError(f"{name}: {error}; install what it needs") from error
    except AttributeError as error:
        raise XprobeError(f"{name}: {error}") from error
    if not isinstance(encoder, Encoder):
        raise XprobeError(
            f"{name} returned a {type(encoder).__name__}, not an xprobe.Encoder with its spec and "
            f"forward"
        )
    return encoder


def is_module(name: str) -> bool:
    """Return whether a module can be looked for, here or in the working folder; nothing is run."""
    package = name.partition(".")[0]
    places = [*sys.path, str(Path.cwd())]
    return package in sys.modules or PathFinder.find_spec(package, places) is not None
