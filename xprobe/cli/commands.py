"""Commands as rows, which make the list of the help; a command is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from typer.main import get_command

from xprobe.base.visible import visible
from xprobe.cli.help import Command, Group

UsageError: Any = typer.BadParameter.__base__


@dataclass(frozen=True)
class CommandRow:
    """A command before it is imported.

    Attributes:
        name: its name on the command line.
        help: what it does, in one or two sentences.
        example: the line that its help ends in.
        target: ``module:name`` of its function, or of a `typer.Typer` that holds further commands.
    """

    name: str
    help: str
    example: str
    target: str

    def build(self) -> Any:
        """Import the command and return it as Typer runs it."""
        module, _, name = self.target.partition(":")
        target = getattr(importlib.import_module(module), name)
        app = target
        if not isinstance(target, typer.Typer):
            app = typer.Typer(rich_markup_mode=None, add_completion=False)
            add(app, target, self.example, self.name)
        command = get_command(app)
        command.name, command.help, command.epilog = self.name, self.help, self.example
        return command


class _Commands(dict[str, Any]):
    """Commands by name, each built when it is first taken out."""

    def __init__(self, rows: Sequence[CommandRow]) -> None:
        super().__init__((row.name, None) for row in rows)
        self.rows = {row.name: row for row in rows}

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = self.rows[name].build()
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


def lazy_group(rows: Sequence[CommandRow]) -> type[Group]:
    """Return the class of a group that holds these commands."""

    class Lazy(Group):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings | {"commands": None})
            self.commands = _Commands(rows)
            self.command_first = False

        def make_context(
            self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
        ) -> Any:
            self.command_first = bool(args) and not args[0].startswith("-")
            with _visible_refusals():
                return super().make_context(info_name, args, parent, **extra)

        def invoke(self, ctx: Any) -> Any:
            with _visible_refusals():
                return super().invoke(ctx)

        def get_params(self, ctx: Any) -> Any:
            # Where a command comes first, no option of the group is given. To check their defaults
            # Typer imports Pydantic, which takes longer than all else of a command's help.
            return [] if self.command_first else super().get_params(ctx)

        def summaries(self) -> Iterator[tuple[str, str]]:
            return ((row.name, row.help) for row in rows)

    return Lazy


@contextmanager
def _visible_refusals() -> Iterator[None]:
    """Write out what a terminal would obey in messages of wrong usage, which Typer prints."""
    try:
        yield
    except UsageError as error:
        error.message = visible(error.message)
        raise


def add(
    app: typer.Typer, command: Callable[..., None], example: str, name: str | None = None
) -> None:
    """Add a command that takes a settings file, too, and whose help ends in an example."""
    from xprobe.cli.options import with_settings

    app.command(name, cls=Command, epilog=example)(with_settings(command))
