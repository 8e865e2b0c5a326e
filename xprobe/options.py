"""Options of the command line that several commands share, or that a dataclass declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from xprobe.recipe import Recipe
from xprobe.types import FINETUNE, HEADS

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
    str, typer.Option(help=f"What is trained, comma-separated: {', '.join(HEADS)}, {FINETUNE}.")
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
RealFraction = Annotated[
    str, typer.Option(help="Shares of the real training images, a study each, such as 0.25,1.")
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
    names = {option.name for option in options}

    @wraps(command)
    def taking(**given: Any) -> None:
        recipe = Recipe(**{name: given.pop(name) for name in names})
        command(recipe=recipe, **given)

    kept = [
        parameter.replace(annotation=own[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "recipe"
    ]
    taking.__signature__ = inspect.Signature([*kept, *options])  # type: ignore[attr-defined]
    taking.__annotations__ = {p.name: p.annotation for p in [*kept, *options]}
    return taking
