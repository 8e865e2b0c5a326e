"""The command line: parse, one call, print. The only module that prints."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from xprobe import __version__
from xprobe.base.errors import XprobeError, XprobeWarning, explain_os_error
from xprobe.cli.demo import demo
from xprobe.cli.distance import distance
from xprobe.cli.embed import embed
from xprobe.cli.encoders import encoders_app
from xprobe.cli.importing import import_features
from xprobe.cli.plan import plan
from xprobe.cli.printing import err, out
from xprobe.cli.report import report
from xprobe.cli.scan import scan
from xprobe.cli.store import store_app
from xprobe.cli.sweep import sweep

app = typer.Typer(
    name="xprobe",
    help="Do AI-generated images help image recognition? A verdict with a known error rate.\n\n"
    "In a folder that holds data/real/<class>/… and data/synthetic/[<generator>/]<class>/… run: "
    "xprobe embed, xprobe sweep, xprobe report. To see it work first: xprobe demo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; every error that the user can mend is one line and exit status 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Worker processes that are ended early leave semaphores that their tracker clears, and reports.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", XprobeWarning)
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            app()
    except XprobeError as error:
        _fail(str(error))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        explained = explain_os_error(error)
        if explained is None:
            raise
        _fail(explained)
    except SystemExit as end:
        if end.code == 130:
            err.print("interrupted; everything finished so far is kept, run again to go on")
        raise


def _show_warning(others: Callable[..., None], message: Warning | str, *rest: Any) -> None:
    """Print a warning of this package; `others` shows those of libraries."""
    if isinstance(message, XprobeWarning):
        err.print(f"warning: {message}")
    else:
        others(message, *rest)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _fail(message: str) -> None:
    err.print(f"error: {message}")
    sys.exit(1)


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


app.command()(scan)
app.add_typer(encoders_app, name="encoders")
app.add_typer(store_app, name="store")
app.command()(plan)
app.command()(embed)
app.command("import-features")(import_features)
app.command()(sweep)
app.command()(distance)
app.command()(report)
app.command()(demo)
