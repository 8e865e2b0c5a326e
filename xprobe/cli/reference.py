"""The page of all options, docs/reference/options.md, made from what the commands declare.

To write it anew: ``python -m xprobe.cli.reference docs/reference/options.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from xprobe.cli.app import app
from xprobe.cli.help import Row, rows

TOP = """# Options

What `xprobe COMMAND --help` shows, made from the fields that declare the options by
`python -m xprobe.cli.reference docs/reference/options.md`. All of them may stand in a
[settings file](commands.md#settings-file), too, under the name of the command.
"""


def page() -> str:
    """Return the page: for each command its options by panel, with default and meaning."""
    parts = [TOP]
    for path, command in _commands(get_command(app), ()):
        parts.append(f"\n## xprobe {' '.join(path)}\n\n{command.help}\n")
        table = list(rows(command))
        for panel in dict.fromkeys(row.panel for row in table):
            lines = [_line(row) for row in table if row.panel == panel]
            parts += [f"\n| {panel} | default | |\n|---|---|---|\n", *lines]
        parts.append(f"\n```sh\n{command.epilog}\n```\n")
    return "".join(parts)


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if command.params:
            yield (*path, name), command
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))


def _line(row: Row) -> str:
    words = row.help.replace("|", "\\|")
    return f"| `{row.names}` | {f'`{row.default}`' if row.default else ''} | {words} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
