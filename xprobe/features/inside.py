"""What a store reads, writes and deletes lies inside its folder, and is no link, pipe or device."""

from __future__ import annotations

import stat
from pathlib import Path

from xprobe.base import documents
from xprobe.base.documents import AnyDocument
from xprobe.base.errors import XprobeError, cannot_read


def check_is_file(file: Path) -> None:
    """Check that a name leads to a file, and not to something else or to somewhere else.

    Raises:
        FileNotFoundError: there is nothing of that name.
        OSError: the file system refuses to say what it is.
        XprobeError: it is a link, a folder, a pipe or a device.
    """
    if not stat.S_ISREG(file.lstat().st_mode):
        raise XprobeError(
            f"{file}: no file, but a link, a folder, a pipe or a device; put the file itself there "
            f"(such as by 'cp -rL')"
        )


def read_bytes(file: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        FileNotFoundError: there is no such file.
        XprobeError: it cannot be read now, or is no regular file.
    """
    try:
        check_is_file(file)
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise cannot_read(file, error) from error


def read_record(
    kind: type[AnyDocument], file: Path, remedy: str, newest: int | None = None
) -> AnyDocument:
    """Return the document in a file, as `documents.read` does.

    Raises:
        FileNotFoundError: there is no such file.
        XprobeError: it is damaged, cannot be read now, is no regular file, or of a newer version.
    """
    try:
        check_is_file(file)
        return documents.read(kind, file, remedy, newest)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise cannot_read(file, error) from error


def leads_outside(folder: Path, store: Path) -> bool:
    """Return whether a folder of a store is a link that leads outside of it."""
    return folder.is_symlink() and not folder.resolve().is_relative_to(store.resolve())


def listed(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a suffix in a folder in order of name, none if there is no folder.

    Raises:
        XprobeError: the folder cannot be listed, so that nobody knows what it holds.
    """
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(folder, error) from error
    return [folder / name for name in sorted(names) if name.endswith(suffix) and name[0] != "."]
