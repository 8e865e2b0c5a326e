"""Tables and prompts that xprobe brings along: the files of the folder data of its repository."""

from __future__ import annotations

import csv
from pathlib import Path

from xprobe.base.errors import XprobeError

_PACKAGE = Path(__file__).parent.parent


def packed(name: str) -> Path:
    """Return the path of a file that xprobe brings along, such as ``tables/licences.csv``.

    A wheel has these files below the package, a checkout in its folder data.

    Raises:
        XprobeError: the installation lacks the file.
    """
    for folder in (_PACKAGE / "data", _PACKAGE.parent / "data"):
        if (folder / name).is_file():
            return folder / name
    raise XprobeError(f"this installation of xprobe lacks data/{name}; install it again")


def packed_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a table that xprobe brings along, column → text.

    Args:
        name: name of the table, such as ``licences``.

    Raises:
        XprobeError: the installation lacks the table.
    """
    with packed(f"tables/{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
