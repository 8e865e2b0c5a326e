"""Who computed a result: when, by which command, and with which versions."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import xprobe
from xprobe import __version__

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "open_clip_torch", "Pillow", "h5py")


class Call(TypedDict):
    """The fields of a document that say when and by which command it was made."""

    created: str
    command: str


class Versions(TypedDict):
    """The fields of a document that say what computed it."""

    versions: dict[str, str]
    commit: str | None
    platform: str


def call() -> Call:
    """Return the time, in UTC, and the command line of this process."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": shlex.join(["xprobe", *sys.argv[1:]]),
    }


def provenance() -> Versions:
    """Return versions of what computed a result; `commit` if xprobe runs from a git checkout."""
    versions = {"xprobe": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"versions": versions, "commit": _commit(), "platform": platform.platform()}


def _commit() -> str | None:
    checkout = Path(xprobe.__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
