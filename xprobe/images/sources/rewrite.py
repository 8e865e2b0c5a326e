"""A table that a command makes is written anew only where nothing that it says is lost."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, XprobeWarning, counted, first_few
from xprobe.images.containers.registry import file_of
from xprobe.images.manifest import OPTIONAL, REQUIRED, Manifest
from xprobe.images.sources.cells import Cells, check_suffix, read_cells
from xprobe.images.sources.table import write_table


def rewrite_table(
    manifest: Manifest, file: Path, facts: Collection[str] = (), *, tells_added: bool = False
) -> bool:
    """Write a table, and return whether it is new or differs from the one that was there.

    A file that is there is replaced if the new table has all that it says: images may be added to
    it, cells that are empty may be filled in, and rows may go whose image is gone. So the same
    command may be run again, and no table of somebody else, or corrected by hand, is lost.

    Args:
        manifest: the table.
        file: where it goes.
        facts: columns that nobody corrects by hand, which may change.
        tells_added: whether a warning names images that are added to a file that is there: rows
            that somebody took out of it come back so.

    Raises:
        XprobeError: the file says what the new table does not, or it is no table.
    """
    if not file.exists():
        write_table(manifest, file)
        return True
    check_suffix(file)
    # It is written beside the other one and read, so that both are compared as they are read.
    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}{file.suffix}")
    try:
        write_table(manifest, temporary)
        rows = _cells_of(temporary)
        old = _rows_of(file)
        if lost := _lost(old, {row["path"]: row for row in rows}, file.parent, facts):
            raise XprobeError(
                f"{file} is there, and says otherwise of {len(lost)} images, such as "
                f"{first_few(lost, 3)}; remove or rename it, or choose another file with -o"
            )
        if tells_added:
            _tell_added(old, rows, file)
        is_new = temporary.read_bytes() != file.read_bytes()
        if is_new:
            temporary.replace(file)
        return is_new
    finally:
        temporary.unlink(missing_ok=True)


def _rows_of(file: Path) -> list[Cells]:
    try:
        return _cells_of(file)
    except XprobeError as error:
        raise XprobeError(
            f"{error}; it is in the place of the table to write: remove or rename it, or choose "
            f"another file with -o"
        ) from error


def _tell_added(old: Sequence[Cells], new: Sequence[Cells], file: Path) -> None:
    known = {row["path"] for row in old}
    if added := [str(row["path"]) for row in new if row["path"] not in known]:
        warnings.warn(
            f"{file}: {counted(len(added), 'image was', 'images were')} not in it and "
            f"{'is' if len(added) == 1 else 'are'} now: {first_few(added, 3)}; rows that you took "
            f"out yourself are back, so take them out again",
            XprobeWarning,
            stacklevel=3,
        )


def _cells_of(file: Path) -> list[Cells]:
    return read_cells(file, (*REQUIRED, *OPTIONAL))[1]


def _lost(
    old: Sequence[Cells], new: dict[Any, Cells], folder: Path, facts: Collection[str]
) -> list[str]:
    """Return what a new table says otherwise, or no longer, than an old one."""
    lost = []
    for row in old:
        path = row.get("path")
        if path not in new:
            if path is None or (folder / file_of(str(path))).exists():
                lost.append(f"{path or 'a row without path'} (not in the new table)")
            continue
        names = [
            name
            for name, cell in row.items()
            if name not in facts and cell and cell != new[path].get(name)
        ]
        if names:
            lost.append(f"{path} ({first_few(names, 3)})")
    return lost
