"""Errors that the user can mend; the message of each is one line and names the remedy."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class XprobeError(Exception):
    """The user can mend this error; the command line prints it as one line, without a traceback."""


class OptionError(XprobeError):
    """An option cannot have this value; the command line shows its usage, and exits with 2."""


class UnreadableError(XprobeError):
    """A file or folder is there and cannot be read now, which may pass; nothing is known of it."""


class XprobeWarning(UserWarning):
    """The user should know this; the command line prints it on stderr and goes on."""


class XprobeNote(XprobeWarning):
    """The user may want to know this, and nothing is wrong; `--quiet` leaves it out."""


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of an error of another library, cut after `most` characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:most] if lines else type(error).__name__


def did_you_mean(word: str, known: Iterable[str], most: int = 3) -> str:
    """Return ``" (did you mean a or b?)"`` for the known words nearest to `word`, else ``""``."""
    close = difflib.get_close_matches(word, list(known), n=most, cutoff=0.5)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def first_few(names: Iterable[str], most: int = 5) -> str:
    """Return the first names, comma-separated, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(n: int, one: str, many: str) -> str:
    """Return how many there are, as people say it: ``1 image is``, ``1,200 images are``.

    Args:
        n: how many.
        one, many: what follows the number where it is 1, and otherwise.
    """
    return f"{n:,} {one if n == 1 else many}"


# Number of an error of the operating system → what went wrong, and what the user can do.
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run the command again: "
    "everything that was finished is kept",
    errno.EDQUOT: "your disk quota is used up; free some space and run the command again: "
    "everything that was finished is kept",
    errno.EFBIG: "the file system, or 'ulimit -f', allows no file as large as this; choose another "
    "folder, or raise the limit",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
    errno.EISDIR: "a folder stands where a file is needed; choose another name",
    errno.ENOENT: "there is no such file or folder",
    errno.EMFILE: "too many open files; raise the limit with 'ulimit -n 4096'",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


def explain_os_error(error: OSError) -> str | None:
    """Return the one line that explains an operating-system error, or None for an unknown one."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    return f"{error.filename}: {remedy}" if error.filename else remedy


def cannot_read(file: object, error: OSError) -> UnreadableError:
    """Return the error of a file or folder that cannot be read for a reason of the system's."""
    remedy = "see to that and run the command again; nothing of it is lost"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        remedy = "raise the limit with 'ulimit -n 4096'"
    return UnreadableError(
        f"{file}: cannot be read now ({(error.strerror or str(error)).lower()}); {remedy}"
    )
