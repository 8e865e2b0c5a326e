"""Digests of files whose images are called by their place, so that a table knows its files again.

A row of a Parquet file is called by its number. Where the file is written anew, in another order,
the number is that of another image, and nothing shows it.
"""

from __future__ import annotations

import hashlib
import os

from xprobe.base.regular import opener

_PIECES = 16

_PIECE_BYTES = 2**16


def sampled_digest(file: str) -> str:
    """Return 16 hex digits, a digest of the size of a file and of 16 pieces of its content.

    The pieces have 64 KiB each, from the beginning of the file to its end, at even distances. So a
    file of many GiB takes as little time as one of a MiB, which is read whole. Rows in another
    order change the pieces, and the description of the columns at the end of the file.

    Raises:
        OSError: the file cannot be read.
    """
    with open(file, "rb", opener=opener) as stream:  # A Path takes no opener.
        size = os.fstat(stream.fileno()).st_size
        last = max(size - _PIECE_BYTES, 0)
        digest = hashlib.sha256(str(size).encode())
        for i in range(_PIECES):
            stream.seek(last * i // (_PIECES - 1))
            digest.update(stream.read(_PIECE_BYTES))
    return digest.hexdigest()[:16]
