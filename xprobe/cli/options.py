"""Options of the command line that several commands share, or that a dataclass declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from xprobe.design.config import SweepConfig
from xprobe.learners.finetune.recipe import Recipe
from xprobe.learners.kinds import KINDS

Data = Annotated[
    Path, typer.Argument(help="Folder of images, or a manifest (.csv, .jsonl, .parquet).")
]

Images = Annotated[
    Path,
    typer.Argument(
        help="Folder of images, a manifest (.csv, .jsonl, .parquet), or images without classes: a "
        "tar archive (.tar), or a list of paths (.txt)."
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

Features = Annotated[Path, typer.Option(help="Feature store that embed wrote.")]

Results = Annotated[Path, typer.Option(help="Folder of predictions and studies.")]

Offline = Annotated[bool, typer.Option("--offline", help="Never ask the network for weights.")]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]

Balanced = Annotated[
    bool, typer.Option("--balanced/--no-balanced", help="Let classes weigh the same in training.")
]

CGrid = Annotated[
    str, typer.Option(help="Values of C: default (10), dense (45), or comma-separated.")
]

CRule = Annotated[
    str, typer.Option(help="best, or one-se: the smallest C within a standard error of it.")
]

Heads = Annotated[
    str, typer.Option(help=f"What is trained, comma-separated: {', '.join(KINDS.rows)}.")
]

AllowFewer = Annotated[
    bool,
    typer.Option(
        "--allow-fewer/--no-allow-fewer",
        help="Go on where a ratio needs more synthetic images than there are.",
    ),
]

MemoryGib = Annotated[
    float, typer.Option(min=0, help="Features beyond this size are read from disk in each pass.")
]

PerClass = Annotated[
    int | None, typer.Option(help="Real images of each class to study. Default: all.")
]

Folds = Annotated[
    int | None,
    typer.Option(help="Cross-validation folds. Default: 5, or the hold-out if data has one."),
]

Repeats = Annotated[int, typer.Option(help="How often folds and synthetic subsets are drawn anew.")]

InnerFolds = Annotated[int, typer.Option(help="Folds within each training part, to choose C.")]

FinetuneRepeats = Annotated[int, typer.Option(help="The same as --repeats for fine-tunes.")]

Ratios = Annotated[str, typer.Option(help="Synthetic images per real one, comma-separated.")]

DEFAULT_RATIOS = ",".join(f"{r:g}" for r in SweepConfig.ratios)

RealFraction = Annotated[
    str, typer.Option(help="Shares of the real training images, a study each, such as 0.25,1.")
]

RealCurve = Annotated[
    str,
    typer.Option(
        help="Real training images of each class, a study each, such as 20,40,60,80: how many real "
        "images the synthetic ones are worth."
    ),
]

Holdout = Annotated[
    float | None,
    typer.Option(help="Draw this share of the real images as a fixed hold-out, such as 0.3."),
]

LeaveOneGroupOut = Annotated[
    bool,
    typer.Option(
        "--leave-one-group-out/--no-leave-one-group-out", help="Make each group a fold: of events."
    ),
]

Group = Annotated[
    str,
    typer.Option(help="event: images of an event stay together, by that column of the manifest."),
]

IgnoreLineage = Annotated[
    bool,
    typer.Option(
        "--ignore-lineage/--no-ignore-lineage",
        help="Train on what was made from test images, too: to show the size of the leak.",
    ),
]

Alternatives = Annotated[
    str, typer.Option(help="Augmentations to try instead of synthetic images, comma-separated.")
]

WithSynthetic = Annotated[
    bool,
    typer.Option(
        "--with-synthetic/--no-with-synthetic",
        help="Try them with synthetic images, too, at the largest ratio.",
    ),
]

Concurrent = Annotated[
    int, typer.Option(min=1, help="Fine-tunes at a time, each in a process of its own.")
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count the fits, estimate the time, and train nothing.")
]

Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads or processes; default one a core.")
]


def names(text: str) -> list[str]:
    """Return the parts of a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Return the numbers of such a list."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes numbers like 1,2,3,4, not {text!r}") from error


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the numbers of such a list, which may be empty; they count images of a class."""
    if not all(part.isdecimal() and int(part) for part in names(text)):
        raise typer.BadParameter(f"{option} takes numbers of images, as 20,40,60,80, not {text!r}")
    return tuple(int(part) for part in names(text))


def with_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes a `recipe` an option for each of its fields."""
    own, hints = get_type_hints(command, include_extras=True), get_type_hints(Recipe)
    options = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=Annotated[
                hints[each.name],
                typer.Option(help=each.metadata["help"], rich_help_panel="Fine-tunes"),
            ],
        )
        for each in fields(Recipe)
    ]
    own_names = {option.name for option in options}

    @wraps(command)
    def taking(**given: Any) -> None:
        recipe = Recipe(**{name: given.pop(name) for name in own_names})
        command(recipe=recipe, **given)

    kept = [
        parameter.replace(annotation=own[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "recipe"
    ]
    taking.__signature__ = inspect.Signature([*kept, *options])  # type: ignore[attr-defined]
    taking.__annotations__ = {p.name: p.annotation for p in [*kept, *options]}
    return taking
