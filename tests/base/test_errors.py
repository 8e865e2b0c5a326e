"""What errors of the operating system are called."""

from __future__ import annotations

import errno

from xprobe.base.errors import explain_os_error


def test_a_file_that_is_too_large_for_its_place_is_explained() -> None:
    error = OSError(errno.EFBIG, "File too large", "t.csv")
    assert (explain_os_error(error) or "").startswith("t.csv: the file system, or 'ulimit -f', all")
    assert explain_os_error(OSError(errno.EIO, "Input/output error")) is None
