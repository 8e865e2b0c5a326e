"""Which versions computed a result."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import xprobe
from xprobe import __version__

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "open_clip_torch", "Pillow", "h5py")


def provenance() -> dict[str, Any]:
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
