"""A figure before it is drawn: what decides it, as values; nothing here loads matplotlib."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Plot:
    """A figure that a report has.

    Attributes:
        name, kind, study, title: those of its `Drawing`.
        make: ``module:function`` that draws it.
        args: what that function is given; together they decide every pixel.
    """

    name: str
    kind: str
    study: int | None
    title: str
    make: str
    args: tuple[Any, ...]

    @property
    def key(self) -> str:
        """A digest of all that decides the figure: values, the code that draws, and matplotlib."""
        values = (self.make, self.args, _drawing_code(), version("matplotlib"))
        return hashlib.sha256(msgspec.json.encode(values, enc_hook=_encodable)).hexdigest()


def _encodable(value: Any) -> Any:
    """Return what stands for an array or a picture."""
    if isinstance(value, Image.Image):
        return [value.mode, value.size, hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise NotImplementedError(f"a figure of {type(value).__name__}")


@cache
def _drawing_code() -> str:
    """Return a digest of the code that draws figures, so that another version draws them anew."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
