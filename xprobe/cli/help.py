"""How the help of a command reads: options under headings, in two columns, then an example.

Plain text of at most 80 columns; rich's panels cut words there, and importing rich takes as long as
all else of ``xprobe --help``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import wrap
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from xprobe.base.declared import FILES, PANELS

NAMES_WIDTH = 24  # columns for names; a longer name has a line of its own

UNBROKEN = "\N{NO-BREAK SPACE}"

REQUIRED = "required"

METAVARS = {int: "N", float: "X", str: "NAME", Path: "PATH", bool: ""}


@dataclass(frozen=True)
class Row:
    """What the help says of one option or argument.

    Attributes:
        names: its names as they are typed, with a word for the value.
        help: what it does.
        default: its default as text; empty: the help names none.
        panel: heading that it stands under.
    """

    names: str
    help: str
    default: str
    panel: str


def kind_of(command: Any, name: str) -> tuple[Any, Any]:
    """Return the type of a parameter of a command, without None, and what Typer knows of it."""
    hints = _hints(command.callback) if command.callback else {}
    hint = hints.get(name, bool)  # Typer's own options are flags
    info = None
    if get_origin(hint) is Annotated:
        hint, info = get_args(hint)
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return (kinds[0] if kinds and get_origin(hint) is not list else hint), info


@cache
def _hints(function: Any) -> Mapping[str, Any]:
    return get_type_hints(function, include_extras=True)


def rows(command: Any) -> Iterator[Row]:
    """Yield what the help says of each parameter of a command, in the order of the panels."""
    parameters = sorted(command.params, key=lambda parameter: parameter.param_type_name)
    table = [_help_row(command, parameter) for parameter in parameters if not parameter.hidden]
    for panel in dict.fromkeys([*PANELS, *(row.panel for row in table)]):
        yield from (row for row in table if row.panel == panel)


def _help_row(command: Any, parameter: Any) -> Row:
    kind, _ = kind_of(command, parameter.name)
    is_list = get_origin(kind) is list
    metavar = parameter.metavar or METAVARS[get_args(kind)[0] if is_list else kind]
    if parameter.param_type_name == "argument":
        names = parameter.metavar or parameter.name.upper()
    else:
        names = ", ".join(sorted(parameter.opts, key=len))
        if parameter.secondary_opts:
            names = names.replace("--", "--[no-]", 1)
        names = f"{names} {metavar}".rstrip()
    words = parameter.help or ""
    return Row(names, words, _default(parameter), parameter.rich_help_panel or FILES)


def _default(parameter: Any) -> str:
    """Return a default as text; nothing for None, no and empty text, which need no mention."""
    value = parameter.default
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return REQUIRED
    if value is None or value is False or value == "" or callable(value):
        return ""
    if value is True:
        return "yes"
    return f"{value:g}" if isinstance(value, float) else str(value)


class Command(TyperCommand):
    """A command whose help lists options under headings and ends in an example."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the options under their headings."""
        _write_options(self, formatter)

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the example."""
        _write_example(self, formatter)


class Group(TyperGroup):
    """A group of commands whose help reads like that of a command."""

    def summaries(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each command and what it does."""
        return ((name, command.help or "") for name, command in self.commands.items())

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the commands, and what options there are."""
        lines = list(self.summaries())
        _write_table(formatter, "Commands", lines, max(len(name) for name, _ in lines))
        _write_options(self, formatter)

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the example."""
        _write_example(self, formatter)


def _write_options(command: Any, formatter: Any) -> None:
    table = [*rows(command), Row("-h, --help", "Show this.", "", FILES)]
    for panel in dict.fromkeys(row.panel for row in table):
        lines = [(row.names, _words(row)) for row in table if row.panel == panel]
        _write_table(formatter, "Options" if isinstance(command, Group) else panel, lines)


def _words(row: Row) -> str:
    """Return the help of a row and its default, which is never broken over two lines."""
    if not row.default:
        return row.help
    words = row.default if row.default == REQUIRED else f"default: {row.default}"
    return f"{row.help} [{words.replace(' ', UNBROKEN)}]"


def _write_table(
    formatter: Any, title: str, lines: Sequence[tuple[str, str]], names_width: int = NAMES_WIDTH
) -> None:
    formatter.write_paragraph()
    formatter.write(f"{title}:\n")
    left = names_width + 4
    for names, words in lines:
        width = formatter.width - left
        texts = wrap(words, width, break_long_words=False, break_on_hyphens=False)
        if len(names) > names_width:
            texts.insert(0, "")
        for i, text in enumerate(texts):
            start = f"  {names}" if i == 0 else ""
            line = f"{start:<{left}}{text}".rstrip()
            formatter.write(line.replace(UNBROKEN, " ") + "\n")


def _write_example(command: Any, formatter: Any) -> None:
    if command.epilog:
        formatter.write_paragraph()
        formatter.write("Example:\n")
        for line in command.epilog.splitlines():
            formatter.write(f"  {line}\n")
