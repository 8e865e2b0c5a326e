"""The entry point of the command line: which commands there are, and how errors end them."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from xprobe import __version__
from xprobe.base.errors import (
    OptionError,
    XprobeError,
    XprobeNote,
    XprobeWarning,
    explain_os_error,
)
from xprobe.cli.commands import CommandRow, lazy_group
from xprobe.cli.printing import err, forget_warnings, out, prepare_streams, tell, warn

COMMANDS = (
    CommandRow(
        "scan", "Table the images: counts, sizes, formats, and what looks wrong.",
        "xprobe scan data -o manifest.csv", "xprobe.cli.scan:scan",
    ),
    CommandRow(
        "adopt", "Table images that were made elsewhere, and which real ones they were made from.",
        "xprobe adopt rsedit --data study.csv --generator rsedit --trained-on xbd",
        "xprobe.cli.adopt:adopt",
    ),
    CommandRow(
        "generate",
        "Make synthetic images from real ones and prompts, by a service or on this machine.",
        "xprobe generate --provider openai --model ID --prompts disasters-en -o made",
        "xprobe.cli.generate:generate",
    ),
    CommandRow(
        "encoders",
        "List the encoders: names, dimension, input size, licence, whether the weights are here.",
        "xprobe encoders --json", "xprobe.cli.encoders:encoders_app",
    ),
    CommandRow(
        "import", "Make the table of a study from a published set as it is downloaded: xBD.",
        "xprobe import xbd xbd -o study.csv --damage any", "xprobe.cli.importing:import_app",
    ),
    CommandRow(
        "plan", "Say what difference a study of these images could detect, before it is made.",
        "xprobe plan data --ratios 1,2,4 --sizes 30,100,500", "xprobe.cli.plan:plan",
    ),
    CommandRow(
        "embed", "Embed every image once with frozen encoders; goes on where it was.",
        "xprobe embed data --encoder clip-vit-b32 --encoder dinov2-vit-b14",
        "xprobe.cli.embed:embed",
    ),
    CommandRow(
        "import-features",
        "Store embeddings that were computed elsewhere as an encoder like any other.",
        "xprobe import-features features.npz --encoder-name skysense-o-tuned",
        "xprobe.cli.importing:import_features",
    ),
    CommandRow(
        "store",
        "Look after feature stores: what they hold, checking, merging, export, clearing up.",
        "xprobe store info features", "xprobe.cli.store:store_app",
    ),
    CommandRow(
        "sweep", "Train real only, synthetic only and mixes; test on unseen real images; judge.",
        "xprobe sweep data --ratios 1,2,4 --heads logistic,finetune", "xprobe.cli.sweep:sweep",
    ),
    CommandRow(
        "distance", "Measure how far synthetic lies from real; find copies and shortcuts.",
        "xprobe distance data --drop-leaks clean.csv", "xprobe.cli.distance:distance",
    ),
    CommandRow(
        "report", "Write the answer of the sweeps: index.html, summary.md, figures and tables.",
        "xprobe report --cost-real 2 --cost-synthetic 0.1", "xprobe.cli.report:report",
    ),
    CommandRow(
        "compare", "Set two folders of results beside each other, paired on the same test images.",
        "xprobe compare results-a results-b", "xprobe.cli.compare:compare",
    ),
    CommandRow(
        "studies", "List the studies of results, name them, and take them out.",
        "xprobe studies --results results", "xprobe.cli.studies:studies_app",
    ),
    CommandRow(
        "demo", "Run a true study of handwritten digits, offline, in under three minutes.",
        "xprobe demo --out xprobe-demo", "xprobe.cli.demo:demo",
    ),
)  # fmt: skip

WRONG_USAGE = 2
"""The exit status of a command that no data could make right."""

app = typer.Typer(
    name="xprobe",
    cls=lazy_group(COMMANDS),
    help="Do AI-generated images help image recognition? A verdict with a known error rate.\n\n"
    "In a folder that holds data/real/<class>/… and data/synthetic/[<generator>/]<class>/… run: "
    "xprobe embed, xprobe sweep, xprobe report. To see it work first: xprobe demo.",
    epilog="xprobe embed && xprobe sweep && xprobe report",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; every error that the user can mend is one line and exit status 1 or 2.

    It is 2 where no data could make the command right: an option that is not there, or cannot have
    its value.
    """
    prepare_streams()
    forget_warnings()
    sys.excepthook = _show_traceback
    signal.signal(signal.SIGTERM, _interrupt)
    # Worker processes that are ended early leave semaphores that their tracker clears, and reports.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", XprobeWarning)
            warnings.showwarning = _show_warning
            app()
    except OptionError as error:
        _fail(str(error), WRONG_USAGE)
    except XprobeError as error:
        _fail(str(error))
    except OSError as error:
        explained = explain_os_error(error)
        if explained is None:
            raise
        _fail(explained)
    except SystemExit as end:
        if end.code == 130:
            err.print("interrupted; everything finished so far is kept, run again to go on")
        raise


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
) -> None:
    """Print a warning, one of this package in its own words alone."""
    if isinstance(message, XprobeNote):
        tell([str(message)])
    elif isinstance(message, XprobeWarning):
        warn([str(message)])
    else:
        err.print(*warnings.formatwarning(message, category, filename, lineno).splitlines())


def _show_traceback(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print an error that nobody expected; its message may hold what a terminal would obey."""
    err.print(*"".join(traceback.format_exception(kind, error, trace)).splitlines())


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _fail(message: str, status: int = 1) -> None:
    err.say(f"error: {message}")
    sys.exit(status)


def _version(show: bool) -> None:
    if show:
        out.print(f"xprobe {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
