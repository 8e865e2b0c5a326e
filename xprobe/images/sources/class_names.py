"""Names of classes that a data set gives as numbers: a file with a name a line, from 0."""

from __future__ import annotations

from pathlib import Path

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.text import read_text, unified


def class_names(file: str | Path) -> list[str]:
    """Return the names of classes in a file: that of class 0 in the first line, and so on.

    Blank lines at the end are left out.

    Raises:
        XprobeError: there is no such file, a line is blank, or two classes have one name.
    """
    file = Path(file)
    if not file.is_file():
        raise XprobeError(f"--classes {file}: no such file; write the name of a class a line")
    names = [line.strip() for line in unified(read_text(file)).rstrip().split("\n")]
    for number, name in enumerate(names, 1):
        if not name:
            raise XprobeError(f"{file}, line {number}: no name; write the name of a class a line")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise XprobeError(f"{file}: classes named twice: {first_few(doubled)}; mend the list")
    return names
