"""Arrays that would fill the memory, told before they are read."""

from __future__ import annotations

from pathlib import Path

from xprobe.base.errors import XprobeError

# An array of more bytes than this, and so many times more than its file has, holds next to nothing.
_LARGE, _TIMES = 2**30, 100


def check_unpacked(file: Path, name: str, size: int) -> None:
    """Check that an array is not far larger than the file that it is packed in.

    Args:
        file: the file.
        name: name of the array in it.
        size: bytes that the array has in memory.

    Raises:
        XprobeError: it is so large that nearly all of it must be one value.
    """
    if size > _LARGE and size > _TIMES * file.stat().st_size:
        raise XprobeError(
            f"{file}: {name} takes {size / 2**30:.1f} GiB of memory, and the file only "
            f"{file.stat().st_size / 2**20:.1f} MiB, so that nearly all values must be the same; "
            f"write the file again"
        )
