"""The settings file: options of commands in a table each, as defaults that a command line changes.

``xprobe.toml`` of the working folder is read unasked, another file by ``--config``. Every value of
a file is checked before anything begins, whichever command is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import typer

from xprobe.base.errors import XprobeError, did_you_mean
from xprobe.cli.help import kind_of

FILE = Path("xprobe.toml")

Defaults = dict[str, Any]  # defaults as Typer takes them, by parameter or by command

# A parameter of such a type takes values of these types from the file.
TAKEN: dict[Any, Any] = {Path: str, float: (int, float)}

KINDS = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path as text"}


def read_settings(context: typer.Context, file: Path | None) -> Path | None:
    """Take the defaults of a command from a settings file, and return which file that is.

    It is the callback of ``--config``, which comes before all other options.

    Raises:
        XprobeError: the file is no TOML, names what no command has or a value that is not possible,
            or is not named by ``--config`` and would run code.
    """
    if context.resilient_parsing:
        return None
    is_named = file is not None
    if file is None:
        if not FILE.is_file():
            return None
        file = FILE
    import tomllib

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # the file is no TOML, or no UTF-8
        raise XprobeError(f"{file}: {error}") from error
    reader = _Reader(file, runs_code=is_named)
    root = context.find_root()
    defaults: Any = reader.commands(root.command, tables, ())
    for name in _path(context):
        defaults = defaults.get(name, {})
    context.default_map = defaults
    return file


def _path(context: typer.Context) -> list[str]:
    """Return the names of a command and the groups that it is in, the root's left out."""
    names: list[str] = []
    inner: Any = context
    while inner.parent is not None:
        names.insert(0, str(inner.info_name))
        inner = inner.parent
    return names


OF_TRUST = frozenset(("base_url", "yes", "send_restricted", "allow_remote_code"))
"""Options that a settings file may not give which only lies in the folder where a command runs."""


class _Reader:
    """Checks tables of one file against the commands, and turns values into what Typer takes."""

    def __init__(self, file: Path, runs_code: bool) -> None:
        self.file, self.runs_code = file, runs_code

    def commands(self, group: Any, tables: Mapping[str, Any], path: tuple[str, ...]) -> Defaults:
        """Return the defaults of the commands of a group."""
        defaults = {}
        for key, table in tables.items():
            name = key.replace("_", "-")
            command = group.commands.get(name)
            if not isinstance(table, dict):
                self._refuse(f"{key} stands outside of a table; write it below one, as [sweep]")
            if command is None:
                near = did_you_mean(name, group.commands, most=1)
                self._refuse(f"there is no command for [{'.'.join((*path, key))}]{near}")
            inner = (*path, name)
            if hasattr(command, "commands"):
                defaults[name] = self.commands(command, table, inner)
            else:
                defaults[name] = self.values(command, table, ".".join(inner))
        return defaults

    def values(self, command: Any, table: Mapping[str, Any], title: str) -> Defaults:
        """Return the defaults of a command by parameter."""
        parameters = {_key(parameter): parameter for parameter in command.params}
        del parameters["config"]
        defaults = {}
        for key, value in table.items():
            name = key.replace("-", "_")
            if name not in parameters:
                self._refuse(
                    f"[{title}] has no option {key}{did_you_mean(name, parameters, most=1)}"
                )
            if name in OF_TRUST and value and not self.runs_code:
                self._refuse(
                    f"[{title}] {key} decides where keys and images go, or what code runs; give it "
                    f"on the command line, or name this file with --config {self.file}, if you "
                    f"trust it"
                )
            parameter = parameters[name]
            if parameter.name in defaults:
                self._refuse(f"[{title}] {key} is there twice, with - and with _")
            kind, info = kind_of(command, parameter.name)
            place = f"[{title}] {key}"
            defaults[parameter.name] = default = self._converted(kind, value, place)
            least = getattr(info, "min", None)
            if least is not None and default < least:
                self._refuse(f"{place} must be {least:g} or more, not {value!r}")
        return defaults

    def _converted(self, kind: Any, value: Any, place: str) -> Any:
        if get_origin(kind) is list:
            parts = value if isinstance(value, list) else [value]
            (kind,) = get_args(kind)
            return [self._converted(kind, part, place) for part in parts]
        if kind is str:
            return self._text(value, place)
        is_flag = isinstance(value, bool)
        if is_flag != (kind is bool) or not isinstance(value, TAKEN.get(kind, kind)):
            self._refuse(f"{place} takes {KINDS[kind]}, not {value!r}")
        return value

    def _text(self, value: Any, place: str) -> str:
        """Return text, also of a number or a list of texts and numbers, joined with commas."""
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, bool) or not isinstance(part, str | int | float):
                self._refuse(f"{place} takes text, a number or a list of them, not {value!r}")
        text = ",".join(str(part) for part in parts)
        for name in text.split(","):
            if ":" in name and not self.runs_code and _runs_code(name):
                self._refuse(
                    f"{place}: {name} would run code of this folder; name it on the command line, "
                    f"or this file with --config {self.file}, if you trust it"
                )
        return text

    def _refuse(self, message: str) -> NoReturn:
        raise XprobeError(f"{self.file}: {message}")


def _key(parameter: Any) -> str:
    """Return the name of an option, or of an argument, in a settings file."""
    flag = max(parameter.opts, key=len)
    return str(flag).removeprefix("--").replace("-", "_")


def _runs_code(name: str) -> bool:
    from xprobe.encoders.load import is_own_code

    return is_own_code(name.strip())
