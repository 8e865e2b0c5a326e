"""Images that a table names by a number in a file: the table knows the file again by its digest.

``train.parquet::00017`` is whatever image is in that row. If the file is written anew in another
order, the table gives its labels to other images, and nothing shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from xprobe.base.errors import XprobeError, cannot_read
from xprobe.images.containers.digests import sampled_digest
from xprobe.images.containers.registry import file_of, member_of
from xprobe.images.manifest import Row

FILE_DIGEST = "file_digest"
"""The column with the digest of the file of an image that is called by a number in it."""


def digests_of(paths: Iterable[str]) -> list[str]:
    """Return the digest of the file of each image, ``""`` for images that are called by a name.

    Raises:
        XprobeError: a file cannot be read.
    """
    digest = cache(_digest)
    files = map(_numbered_file, paths)
    return [digest(file) if file else "" for file in files]


def check_digests(rows: Sequence[Row], table: Path) -> None:
    """Take the column `FILE_DIGEST` out of the rows of a table, and compare it with the files.

    Args:
        rows: the rows, with paths relative to the folder of the table.
        table: the table.

    Raises:
        XprobeError: a file was written anew since the table was.
    """
    known: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, 1):
        digest = row.pop(FILE_DIGEST, "")
        if digest and (file := _numbered_file(row["path"])):
            known.setdefault((file, digest), number)
    for (file, digest), number in known.items():
        path = table.parent / file
        if path.exists() and _digest(str(path)) != digest:
            raise XprobeError(
                f"{table}, row {number}: {file} was written anew since this table was, and its "
                f"rows may be other images by now; make the table again with 'xprobe scan', or "
                f"empty the column {FILE_DIGEST} if the rows are the same"
            )


def _numbered_file(path: str) -> str:
    """Return the file on disk of an image that is called by a number in it; else ``""``."""
    member = member_of(path)
    return file_of(path) if member and member[0].is_numbered else ""


def _digest(file: str) -> str:
    try:
        return sampled_digest(file)
    except OSError as error:
        raise cannot_read(file, error) from error
