"""``python -m xprobe``."""

import sys
from pathlib import Path

# ``python -m`` looks for modules in the working folder first, where a file of the user's may have
# the name of one. A checkout of xprobe that is not installed is found there, and looked at last.
if not sys.flags.safe_path and Path(sys.path[0]) == Path.cwd():
    folder = sys.path.pop(0)
    if Path(__file__).parents[1] == Path(folder):
        sys.path.append(folder)

from xprobe.cli.app import main

if __name__ == "__main__":
    main()
