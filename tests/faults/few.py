"""A few cases of each script beside this file, in one process, which loads the libraries once."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

FEW = (
    ("mutate.py", "--tars", "4", "--shards", "4", "--manifests", "4"),
    ("kill.py", "--gc", "1", "--kills", "2"),
    ("paid.py", "--kills", "2", "--images", "12"),
)


def main() -> int:
    codes = []
    for script, *options in FEW:
        sys.argv = [script, *options]
        try:
            runpy.run_path(str(Path(__file__).with_name(script)), run_name="__main__")
        except SystemExit as end:
            codes.append(end.code)
    return int(codes != [0] * len(FEW))


if __name__ == "__main__":
    sys.exit(main())
