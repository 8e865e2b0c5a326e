"""``python -m xprobe``."""

from xprobe.cli import main

if __name__ == "__main__":
    main()
