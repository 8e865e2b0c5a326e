"""JSON files of the folders in which libraries keep their networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, first_line

Fields = dict[str, Any]
"""The fields of a JSON file, as the library that wrote it names them."""


def read_fields(file: Path) -> Fields:
    """Return the fields of a JSON file.

    Raises:
        XprobeError: there is no such file, or it holds no object.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise XprobeError(f"{file}: not readable as JSON: {reason}") from error
    if not isinstance(fields, dict):
        raise XprobeError(f"{file}: it holds a {type(fields).__name__} instead of fields")
    return fields
