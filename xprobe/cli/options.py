"""Options of commands: those that several share, and those that dataclasses declare."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from xprobe.base.declared import PROTOCOL, Option, option, options
from xprobe.base.errors import OptionError, XprobeError
from xprobe.cli.completion import Completer, complete_generator, complete_stored, completer
from xprobe.cli.printing import notes
from xprobe.cli.settings import read_settings
from xprobe.images.config import DEFAULT_DATA, WIDER
from xprobe.images.sources.registry import SOURCES_OF_IMAGES, forms

SEVERAL = "Several are one study together."

Data = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DATA", help=f"{forms()} {SEVERAL}", show_default=str(DEFAULT_DATA)),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Group = Annotated[
    str,
    typer.Option(
        help="event: images of an event stay together, by that column of the manifest, instead of "
        "those of a scene.",
        rich_help_panel=PROTOCOL,
        autocompletion=completer(WIDER),
    ),
]
ResultFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--results",
        help="Folder that sweep and distance wrote to: predictions, studies and distances; repeat "
        "for several, which are taken together. Default: results.",
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file, a table for each command; what stands on the command line wins. "
        "Default: xprobe.toml, if there is one.",
        callback=read_settings,
        is_eager=True,
    ),
]


def table_file(file: Path | None) -> Path | None:
    """Check the name of a table that a command will write, before the command does its work."""
    if file is not None:
        from xprobe.images.sources.cells import check_suffix

        check_suffix(file)
    return file


def _take_quiet(context: typer.Context, quiet: bool) -> bool:
    """Let a command say no more than its result, its warnings and its errors, if asked to."""
    outer = context.parent.params if context.parent is not None else {}
    notes.wanted = not (quiet or outer.get("quiet"))
    return quiet


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress and no notes; the result, warnings and errors stay.",
        callback=_take_quiet,
        is_eager=True,
    ),
]
Function = Callable[..., None]

Values = dict[str, Any]  # values of parameters by name; a parameter may be of any type

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Files:
    """Where features are read and results are written.

    Attributes:
        features: feature store.
        results: folder of predictions, studies and distances.
    """

    features: Path = option(Path("features"), "Feature store that embed wrote.")
    results: Path = option(
        Path("results"), "Folder for predictions, studies and distances.", flag="--out"
    )


def with_settings(command: Function) -> Function:
    """Return a command that takes a settings file, too, and can be quiet."""
    return _taking(command, _keyword("settings", Settings, None), _keyword("quiet", Quiet, False))


def quietable(command: Function) -> Function:
    """Return a command that takes ``--quiet`` but no settings file, which has no table for it."""
    return _taking(command, _keyword("quiet", Quiet, False))


def _taking(command: Function, *further: inspect.Parameter) -> Function:
    """Return a command with further options, whose callbacks do all there is to do with them."""

    @wraps(command)
    def taking(**values: Any) -> None:
        for parameter in further:
            values.pop(parameter.name)
        command(**values)

    return _signed(taking, [*_parameters(command), *further])


def pick(kind: type, *names: str) -> tuple[type, tuple[str, ...]]:
    """Return what `filled_in` takes to ask for these fields of a dataclass alone."""
    return kind, names


def filled_in(**kinds: type | tuple[type, tuple[str, ...]]) -> Callable[[Function], Function]:
    """Give a command an option for each field of the dataclasses that it takes filled in.

    ``@filled_in(config=SweepConfig, execution=Execution)``: the command takes `config` and
    `execution`. Fields that are dataclasses themselves are filled in likewise.
    """
    requests = {
        name: kind if isinstance(kind, tuple) else pick(kind) for name, kind in kinds.items()
    }

    def decorate(command: Function) -> Function:
        parameters = {parameter.name: parameter for parameter in _parameters(command)}
        others = [
            parameter
            for name, parameter in parameters.items()
            if name not in requests and name != "context"
        ]

        @wraps(command)
        def filled(context: typer.Context, **values: Any) -> None:
            for name, (kind, _) in requests.items():
                values[name] = _fill(kind, values, context)
            if "context" in parameters:
                values["context"] = context
            command(**values)

        asking = [_keyword("context", typer.Context)]
        for kind, names in requests.values():
            asking += _field_parameters(kind, names)
        return _signed(filled, [*asking, *others])

    return decorate


def option_sources(context: typer.Context) -> dict[str, str]:
    """Return where the options come from that are not at their default, by name.

    That is ``command line``, or the settings file; for the record of a study.
    """
    sources = {}
    for parameter in context.command.params:
        source = _source(context, str(parameter.name))
        if source and parameter.name not in ("as_json", "settings", "quiet"):
            flag = max(parameter.opts, key=len)
            sources[flag.removeprefix("--").replace("-", "_")] = source
    return sources


def _source(context: typer.Context, name: str) -> str:
    """Return where the value of a parameter comes from; nothing if it is the default."""
    source = context.get_parameter_source(name)
    if source is not None and source.name == "DEFAULT_MAP":
        return str(context.params["settings"])
    return COMMAND_LINE if source is not None and source.name == "COMMANDLINE" else ""


def _field_parameters(kind: type, names: Sequence[str] = ()) -> list[inspect.Parameter]:
    """Return the parameters of a command that ask for the fields of a dataclass, or for some."""
    hints = get_type_hints(kind)
    words_of = {member.name: words for member, words in options(kind)}
    parameters = []
    for member in fields(kind):
        if names and member.name not in names:
            continue
        if member.name in words_of:
            parameters.append(_parameter(member, words_of[member.name], hints[member.name]))
        elif is_dataclass(hints[member.name]):
            parameters += _field_parameters(hints[member.name])
    return parameters


def _parameter(member: Field[Any], words: Option, hint: Any) -> inspect.Parameter:
    flags, default = words.flag, member.default
    if words.parse is not None:
        hint, default = str | None, None
    elif hint is bool:
        flags = f"{flags}/--no-{flags.removeprefix('--')}"
    elif get_origin(hint) in (tuple, Sequence):
        hint, default = list[str] | None, None
    info = typer.Option(
        flags,
        help=words.help,
        rich_help_panel=words.panel,
        metavar=words.metavar or ("LIST" if words.parse is not None else None),
        show_default=words.shown or True,
        autocompletion=_completer(words),
    )
    return _keyword(words.name, Annotated[hint, info], default)


def _completer(words: Option) -> Completer | None:
    """Return what completes the value of an option; None: the shell does, which offers files."""
    if words.values:
        return completer(words.values)
    special = {
        "--encoder": complete_stored,
        "--generator": complete_generator,
        "--layout": completer(SOURCES_OF_IMAGES.rows),
    }
    return special.get(words.flag)


def _fill(kind: type, values: Values, context: typer.Context) -> Any:
    """Return a dataclass from the values of a command, which are taken out of them.

    Raises:
        XprobeError: a value that is not possible, if it is from a settings file or the dataclass
            says so.
        typer.BadParameter: the same from the command line.
    """
    arguments: Values = {}
    hints = get_type_hints(kind)
    for member in fields(kind):
        if is_dataclass(hints[member.name]):
            arguments[member.name] = _fill(hints[member.name], values, context)
    for member, words in options(kind):
        value = values.pop(words.name, None)
        if value in (None, (), []):  # nothing was given, so the field keeps its default
            continue
        if isinstance(value, list):
            value = tuple(value)
        try:
            arguments[member.name] = value if words.parse is None else words.parse(value)
        except ValueError as error:
            message = f"{words.flag} {error}, not {value!r}"
            raise _refusal(message, kind, context, usage=True) from error
    try:
        return kind(**arguments)
    except XprobeError as error:
        usage = isinstance(error, OptionError)
        raise _refusal(str(error), kind, context, usage=usage) from error


def _refusal(message: str, kind: type, context: typer.Context, *, usage: bool) -> Exception:
    """Return the error of impossible values; it names the settings file that gave them."""
    flags = re.findall(r"--[a-z-]+", message)
    culprits = [words for _, words in options(kind) if words.flag in flags]
    sources = {_source(context, words.name) for words in culprits} - {"", COMMAND_LINE}
    if sources:
        return XprobeError(f"{' and '.join(sources)}: {message}")
    return typer.BadParameter(message) if usage else XprobeError(message)


def _parameters(command: Function) -> list[inspect.Parameter]:
    """Return the parameters of a command, their annotations resolved."""
    hints = get_type_hints(command, include_extras=True)
    return [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
    ]


def _keyword(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _signed(function: Function, parameters: Sequence[inspect.Parameter]) -> Function:
    """Return a function that says of itself that it takes these parameters."""
    function.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function
