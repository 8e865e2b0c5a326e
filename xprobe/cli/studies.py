"""``xprobe studies``: which studies there are, their names, and taking them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.base.errors import XprobeError, counted
from xprobe.cli.commands import add
from xprobe.cli.help import Group
from xprobe.cli.options import Json, ResultFolders, quietable
from xprobe.cli.printing import out, print_json, print_table, warn

if TYPE_CHECKING:
    from xprobe.cli.outputs import ListedStudy
    from xprobe.results.study import Study

studies_app = typer.Typer(
    cls=Group, invoke_without_command=True, rich_markup_mode=None, add_completion=False
)

LONGEST_NAME = 60

Folder = Annotated[Path, typer.Option("--results", help="Folder of the results.")]

DEFAULT = Path("results")


@studies_app.callback()
@quietable
def studies(context: typer.Context, results: ResultFolders = None, as_json: Json = False) -> None:
    if context.invoked_subcommand is not None:
        if results:
            raise typer.BadParameter(f"--results stands after {context.invoked_subcommand}")
        return
    from xprobe.cli import outputs, tables
    from xprobe.report.differences import ID_LENGTH
    from xprobe.report.left_out import left_out
    from xprobe.report.words import whole
    from xprobe.results.study import newest, read_studies, with_aliases, without_held

    folders = results or [DEFAULT]
    every = with_aliases(read_studies(folders))
    why = {o.study.key: o.why for o in left_out(newest(without_held(every)), every)}
    rows = [_listed(study, why.get(study.key, ""), folders) for study in every]
    if as_json:
        print_json(outputs.Studies(studies=tuple(rows)))
        return
    columns = ["id", "name", "encoder", "head", "seeds", "real images", "ratios", "created",
               "in the report"]  # fmt: skip
    cells = [
        [
            row.id[:ID_LENGTH], row.name or None, row.alias, row.head,
            ", ".join(map(str, row.seeds)), whole(row.n_train_real),
            ", ".join(f"{ratio:g}" for ratio in row.ratios), row.created[:16], row.why or "yes",
        ]
        for row in rows
    ]  # fmt: skip
    title = counted(len(rows), "study", "studies")
    spare = ("created", "seeds", "ratios", "real images")
    print_table(tables.table(title, columns, cells, spare))


def _listed(study: Study, why: str, folders: Sequence[Path]) -> ListedStudy:
    from xprobe.cli.outputs import ListedStudy
    from xprobe.results.hits import hits_file
    from xprobe.results.study import study_file

    config, real = study.config, study.real_only
    files = [path(folder, study.key) for folder in folders for path in (study_file, hits_file)]
    return ListedStudy(
        id=study.key, name=study.name, encoder=study.encoder.label, alias=study.encoder.title,
        head=config.head,
        seeds=study.seeds or (config.seed,), per_class=config.per_class,
        real_fraction=config.real_fraction, train_per_class=config.train_per_class,
        protocol=study.protocol, n_train_real=real.n_train_real, n_test=real.n_test,
        ratios=config.ratios, generators=study.generators, images=study.manifest.fingerprint,
        created=study.created, command=study.command, version=study.version, shown=not why,
        why=why, files=tuple(str(file) for file in files if file.is_file()),
    )  # fmt: skip


def name(
    id_: Annotated[str, typer.Argument(help="Its id, or the first digits.", metavar="ID")],
    text: Annotated[
        str, typer.Argument(help="Short name for reports and tables; empty: none.", metavar="NAME")
    ],
    folder: Folder = DEFAULT,
    as_json: Json = False,
) -> None:
    """Give a study a short name, which the report and its tables show."""
    from xprobe.base.documents import replace
    from xprobe.results.removal import find_studies
    from xprobe.results.study import read_studies, save_study

    text = " ".join(text.split())
    if len(text) > LONGEST_NAME:
        raise XprobeError(f"a name has at most {LONGEST_NAME} characters")
    every = read_studies(folder)
    (study,) = find_studies(every, [id_], str(folder))
    if text and any(other.name == text and other.key != study.key for other in every):
        raise XprobeError(f"{folder}: another study has the name {text!r}; choose another one")
    named = replace(study, name=text)
    save_study(folder, named)
    if as_json:
        from xprobe.cli.outputs import Studies

        print_json(Studies(studies=(_listed(named, "", [folder]),)))
        return
    out.print(f"{study.key[:8]} is {f'called {text}' if text else 'without a name'} now")


def remove(
    ids: Annotated[
        list[str], typer.Argument(help="Ids, their first digits, or names.", metavar="ID…")
    ],
    predictions: Annotated[
        bool,
        typer.Option(
            "--predictions/--no-predictions",
            help="Delete their predictions, too, but for those that other studies use.",
        ),
    ] = False,
    folder: Folder = DEFAULT,
    as_json: Json = False,
) -> None:
    """Delete studies; the same sweep makes them again, from predictions that are kept."""
    from xprobe.results.removal import remove_studies

    removed = remove_studies(folder, ids, with_predictions=predictions)
    if as_json:
        print_json(removed)
        return
    out.print(*(f"deleted {file}" for file in removed.files))
    if removed.predictions:
        out.print(f"deleted {removed.predictions} predictions")
    if removed.predictions_kept or (predictions and removed.why_kept):
        warn([f"{removed.predictions_kept} predictions are kept: {removed.why_kept}"])


add(studies_app, name, "xprobe studies name 1a2b3c4d 'CLIP, 16 a class'")
add(studies_app, remove, "xprobe studies remove 1a2b3c4d --predictions")
