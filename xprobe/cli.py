"""The command line: parse, one call, print. The only module that prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xprobe import __version__, progress, tables
from xprobe.cli_encoders import encoders_app
from xprobe.cli_plan import plan
from xprobe.cli_store import store_app
from xprobe.encoders import DEFAULT_ENCODER
from xprobe.errors import XprobeError, explain_os_error, some
from xprobe.options import (
    DEFAULT_RATIOS,
    AllowFewer,
    Alternatives,
    Balanced,
    CGrid,
    Concurrent,
    CRule,
    Data,
    Device,
    DryRun,
    Features,
    FinetuneRepeats,
    Folds,
    Group,
    Heads,
    Holdout,
    IgnoreLineage,
    Images,
    InnerFolds,
    Json,
    LeaveOneGroupOut,
    MemoryGib,
    Offline,
    PerClass,
    Ratios,
    RealCurve,
    RealFraction,
    Repeats,
    Results,
    WithSynthetic,
    Workers,
    names,
    numbers,
    whole_numbers,
    with_recipe,
)
from xprobe.printing import err, out, print_json, print_table, warn
from xprobe.recipe import Recipe
from xprobe.types import MEMORY_GIB, PRECISIONS, SweepConfig
from xprobe.views import VIEWS

if TYPE_CHECKING:
    from xprobe.extract import Embedded

AUTO, EXACT, FAST = "auto", "exact", "fast"
STREAMED = (".tar", ".txt")  # images without classes

app = typer.Typer(
    name="xprobe",
    help="Do AI-generated images help image recognition? A verdict with a known error rate.\n\n"
    "In a folder that holds data/real/<class>/… and data/synthetic/[<generator>/]<class>/… run: "
    "xprobe embed, xprobe sweep, xprobe report. To see it work first: xprobe demo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
DENSE_C_GRID = tuple(10.0 ** (-6 + 0.25 * i) for i in range(45))


def main() -> None:
    """Run the command line; every error that the user can mend is one line and exit status 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    # Worker processes that are ended early leave semaphores that their tracker clears, and reports.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    try:
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


@app.command()
def scan(
    data: Data = Path("data"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Table the images: counts, sizes, formats, and what looks wrong."""
    from xprobe import manifest as manifests

    manifest = manifests.read(data, whole=False)
    counts = manifests.counts(manifest)
    formats, unusable = manifests.shapes(manifest)
    warnings = manifests.find_problems(manifest) + manifests.codec_problems(formats)
    if unusable:
        shown = [f"{id_} ({reason})" for id_, reason in unusable.items()]
        warnings.append(f"{len(unusable)} files hold no readable image: {some(shown, 3)}")
    if output is not None:
        manifests.write(manifest, output)
    if as_json:
        print_json(
            {"images": len(manifest), "counts": counts, "formats": formats, "warnings": warnings}
        )
        return
    columns = ("class", "source", "generator", "split", "n")
    print_table(tables.of_rows(f"{len(manifest)} images", columns, counts))
    print_table(tables.of_formats(formats))
    warn(warnings)
    if output is not None:
        out.print(f"wrote {output}")


app.add_typer(encoders_app, name="encoders")
app.add_typer(store_app, name="store")
app.command()(plan)


@app.command()
def embed(
    data: Images = Path("data"),
    encoder: Annotated[
        list[str] | None,
        typer.Option(help=f"Name of an encoder; repeat for several. Default {DEFAULT_ENCODER}."),
    ] = None,
    store: Annotated[Path, typer.Option("--out", help="Feature store to add to.")] = Path(
        "features"
    ),
    batch_size: Annotated[
        str, typer.Option(help="Images a forward pass; auto: what suits the device.")
    ] = AUTO,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = PRECISIONS[0],
    layer: Annotated[
        str | None,
        typer.Option(help="projected (into the space shared with text; the default) or pooled."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights/--no-random-weights", help="Leave the weights as initialised."
        ),
    ] = False,
    prompts: Annotated[
        str | None,
        typer.Option(help="Embed the classes as text too: clip, satellite, plain, or a JSON file."),
    ] = None,
    match_codec: Annotated[
        str, typer.Option(help="Encode every image anew in this way first, such as jpeg-90.")
    ] = "",
    resize: Annotated[
        str, typer.Option(help="exact (as the publishers' features are), or fast and nearly so.")
    ] = EXACT,
    augment: Annotated[
        str, typer.Option(help="Augmentations to embed views of the real training images with.")
    ] = "",
    views: Annotated[int, typer.Option(min=1, help="Views of each image.")] = VIEWS,
    shard: Annotated[
        str, typer.Option(help="Embed one of n equal parts of the images alone: i/n, such as 2/8.")
    ] = "1/1",
    offline: Offline = False,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Embed every image once with frozen encoders; goes on where it was."""
    _go_offline(offline)
    from xprobe import manifest as manifests
    from xprobe.extract import embed_all, failed_file

    size, part = _batch_size(batch_size), _part(shard)
    if resize not in (EXACT, FAST):
        raise typer.BadParameter(f"--resize {resize!r}: it is {EXACT} or {FAST}")
    images: Any = data
    if data.suffix not in STREAMED or data.is_dir():
        images = manifests.read(data, whole=False, hashed=False)
        warn(manifests.find_problems(images))
    done = embed_all(
        images, encoder or [DEFAULT_ENCODER], store, batch_size=size, device=device,
        precision=precision, layer=layer, random_weights=random_weights, prompts=prompts,
        codec=match_codec, resampling=FAST if resize == FAST else "", augment=names(augment),
        views=views, shard=part, workers=workers, progress=progress.bar,
    )  # fmt: skip
    _show_embedded(done, store, failed_file(store, part), as_json)


def _show_embedded(done: Sequence[Embedded], store: Path, listed: Path, as_json: bool) -> None:
    hidden = ("failures", "failed_paths")
    rows = [{k: v for k, v in asdict(e).items() if k not in hidden} for e in done]
    if as_json:
        print_json({"store": str(store), "encoders": rows})
    else:
        columns = ("name", "dim", "images", "embedded", "reused", "failed", "seconds")
        print_table(tables.of_rows(f"features in {store}", (*columns, "images_per_s"), rows))
    for e in done:
        if e.batch_size < e.asked_batch_size:
            warn([
                f"{e.name}: batches of {e.asked_batch_size} images did not fit into memory; halved "
                f"to {e.batch_size}"
            ])  # fmt: skip
    failed = {id_ for e in done for id_ in e.failures}
    if failed:
        warn([f"{len(failed)} images were skipped; {listed} lists them and why"])


def _batch_size(text: str) -> int | None:
    """Return the number, or None for auto."""
    if text == AUTO:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--batch-size {text!r}: it is {AUTO} or a number of images")
    return int(text)


def _part(text: str) -> tuple[int, int]:
    """Return (i, n) of i/n."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise typer.BadParameter(f"--shard {text!r}: it is i/n with i from 1 to n, such as 2/8")
    return int(first), int(second)


@app.command("import-features")
def import_features(
    file: Annotated[
        Path, typer.Argument(help="Embeddings: .npz, .h5, .hdf5, .parquet or .csv.", metavar="FILE")
    ],
    name: Annotated[
        str, typer.Option("--encoder-name", help="What the encoder is called from now on.")
    ],
    data: Annotated[
        Path, typer.Option(help="Folder of images, or a manifest (.csv, .jsonl, .parquet).")
    ] = Path("data"),
    store: Annotated[Path, typer.Option("--out", help="Feature store to add to.")] = Path(
        "features"
    ),
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing/--no-allow-missing", help="Go on if images have no row in FILE."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Store embeddings that were computed elsewhere as an encoder like any other."""
    from xprobe import imports
    from xprobe import manifest as manifests
    from xprobe.store import Store

    base = data if data.is_dir() else data.parent
    done = imports.import_features(
        manifests.read(data), file, name, Store(store, create=True), base=base,
        allow_missing=allow_missing, progress=progress.bar,
    )  # fmt: skip
    columns = ("name", "key", "dim", "images", "embedded", "reused", "failed", "seconds")
    row = {column: getattr(done, column) for column in (*columns, "images_per_s")}
    rest = {"unmatched_rows": done.unmatched_rows, "missing_images": done.missing_images}
    if as_json:
        print_json({"store": str(store), "encoders": [row], **rest})
    else:
        shown = [column for column in row if column != "key"]
        print_table(tables.of_rows(f"features in {store}", shown, [row]))
        if not done.embedded:
            out.print(f"nothing new: {store} had all of it")
    warn(imports.remarks(done, file))


@app.command()
@with_recipe
def sweep(
    recipe: Recipe,
    data: Data = Path("data"),
    ratios: Ratios = DEFAULT_RATIOS,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Name in the store; repeat. Default: all in it.")
    ] = None,
    features: Features = Path("features"),
    results: Annotated[Path, typer.Option("--out", help="Folder for predictions and studies.")] = (
        Path("results")
    ),
    per_class: PerClass = SweepConfig.per_class,
    real_fraction: RealFraction = "1",
    real_curve: RealCurve = "",
    folds: Folds = SweepConfig.folds,
    holdout: Holdout = SweepConfig.holdout,
    leave_one_group_out: LeaveOneGroupOut = SweepConfig.leave_one_group_out,
    group: Group = "",
    repeats: Repeats = SweepConfig.repeats,
    inner_folds: InnerFolds = SweepConfig.inner_folds,
    c_grid: CGrid = "default",
    c_rule: CRule = SweepConfig.c_rule,
    balanced: Balanced = SweepConfig.balanced,
    heads: Heads = SweepConfig.head,
    finetune_repeats: FinetuneRepeats = SweepConfig.finetune_repeats,
    alternatives: Alternatives = "",
    with_synthetic: WithSynthetic = SweepConfig.with_synthetic,
    margin: Annotated[
        float | None,
        typer.Option(help="Accuracy differences up to this fraction count as equal, e.g. 0.02."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows.")] = SweepConfig.seed,
    allow_fewer: AllowFewer = SweepConfig.allow_fewer,
    ignore_lineage: IgnoreLineage = SweepConfig.ignore_lineage,
    workers: Workers = None,
    device: Device = "auto",
    memory_gib: MemoryGib = MEMORY_GIB,
    concurrent: Concurrent = 1,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train real only, synthetic only and mixes; test on unseen real images; judge."""
    from xprobe import manifest as manifests
    from xprobe.estimate import estimate
    from xprobe.results import families
    from xprobe.store import Store
    from xprobe.sweep import sweep as sweep_settings

    if margin is not None and not 0 < margin < 1:
        raise typer.BadParameter("--margin is a fraction between 0 and 1, such as 0.02")
    config = SweepConfig(
        ratios=numbers(ratios, "--ratios"),
        per_class=per_class,
        folds=folds,
        holdout=holdout,
        leave_one_group_out=leave_one_group_out,
        repeats=repeats,
        inner_folds=inner_folds,
        c_grid=_c_grid(c_grid),
        c_rule=c_rule,
        balanced=balanced,
        finetune_repeats=finetune_repeats,
        recipe=recipe,
        alternatives=tuple(names(alternatives)),
        with_synthetic=with_synthetic,
        seed=seed,
        allow_fewer=allow_fewer,
        ignore_lineage=ignore_lineage,
    )
    how: dict[str, Any] = {
        "encoders": encoder or (), "heads": names(heads), "workers": workers, "device": device,
        "concurrent": concurrent, "memory_gib": memory_gib, "progress": progress.bar,
        **_parts_of_real(real_fraction, real_curve),
    }  # fmt: skip
    manifest, store = manifests.read(data, group=group), Store(features)
    if dry_run:
        _show_estimate(estimate(manifest, store, results, config, **how), as_json)
        return
    studies = sweep_settings(manifest, store, results, config, margin=margin, **how)
    _show_studies(studies, families(studies), as_json)


@app.command()
def distance(
    data: Data = Path("data"),
    encoder: Annotated[
        list[str] | None, typer.Option(help="Name in the store; repeat. Default: all in it.")
    ] = None,
    features: Features = Path("features"),
    results: Annotated[Path, typer.Option("--out", help="Folder for distance.json.")] = Path(
        "results"
    ),
    metrics: Annotated[
        str, typer.Option(help="Comma-separated; default: all (docs/distance.md).")
    ] = "",
    by_class: Annotated[
        bool, typer.Option("--by-class/--no-by-class", help="Measure every class, too.")
    ] = True,
    permutations: Annotated[
        int, typer.Option(min=99, help="Of the tests of the headline metrics.")
    ] = 1000,
    drop_leaks: Annotated[
        Path | None,
        typer.Option(help="Write a manifest without synthetic copies of real images to this file."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows.")] = SweepConfig.seed,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure how far synthetic lies from real; find copies and shortcuts."""
    from xprobe import manifest as manifests
    from xprobe.distance import METRICS
    from xprobe.domain import measure_domain
    from xprobe.results import save_distance
    from xprobe.store import Store

    manifest = manifests.read(data, whole=False)
    document, clean = measure_domain(
        manifest, Store(features), encoders=encoder or (), metrics=names(metrics) or METRICS,
        by_class=by_class, permutations=permutations, seed=seed, workers=workers,
        progress=progress.bar,
    )  # fmt: skip
    save_distance(results, document)
    if drop_leaks is not None:
        manifests.write(clean, drop_leaks)
    if as_json:
        print_json(document)
    else:
        print_table(tables.of_distances(document["distances"]))
        if document["leaks"]:
            columns = ("id", "kind", "neighbour", "similarity")
            print_table(tables.of_rows("copies and duplicates", columns, document["leaks"][:20]))
        if drop_leaks is not None:
            out.print(f"wrote {drop_leaks}: {len(clean)} of {len(manifest)} images")
    warn([*manifests.find_problems(manifest), *document["warnings"]])


@app.command()
def report(
    results: Results = Path("results"),
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("report"),
    encoder: Annotated[
        list[str] | None, typer.Option(help="Name in the results; repeat. Default: all.")
    ] = None,
    cost_real: Annotated[
        float | None, typer.Option(min=0, help="What a real image costs, its label included.")
    ] = None,
    cost_synthetic: Annotated[
        float | None, typer.Option(min=0, help="What a synthetic image costs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the answer: index.html, summary.md, figures, results.csv and .json."""
    from xprobe.report import write_report
    from xprobe.study_view import Costs

    if (cost_real is None) != (cost_synthetic is None):
        raise typer.BadParameter("--cost-real and --cost-synthetic belong together")
    costs = None
    if cost_real is not None and cost_synthetic is not None:
        costs = Costs(cost_real, cost_synthetic)
    with progress.busy("drawing figures"):
        written = write_report(results, folder, encoder or (), costs)
    if costs and not written["valued"]:
        warn([
            "costs need a learning curve: run 'xprobe sweep --real-curve 20,40,60,80' first"
        ])  # fmt: skip
    if as_json:
        print_json(written)
        return
    for line in written["answer"]:
        out.print(line)
    out.print(f"\nreport: {written['report']}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder to work in.")] = Path("xprobe-demo"),
    as_json: Json = False,
) -> None:
    """Run a true study of handwritten digits, offline, in under three minutes."""
    from xprobe import demo as demonstration
    from xprobe.report import write_report
    from xprobe.results import families

    if not as_json:
        out.print(demonstration.ABOUT.strip() + "\n")
    studies = demonstration.run(folder, progress.bar)
    with progress.busy("drawing figures"):
        written = write_report(folder / "results", folder / "report")
    if as_json:
        rows = [row for study in studies for row in study["results"]]
        print_json({"results": rows, "families": families(studies), "report": written["report"]})
        return
    _show_studies(studies, families(studies), as_json=False)
    for line in written["answer"]:
        out.print(line)
    out.print(f"\n{demonstration.CUT.strip()}\n\nreport: {written['report']}")


def _go_offline(offline: bool) -> None:
    """The hub's library reads this when it is imported, so before anything else is."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


# --- what commands share ------------------------------------------------------------------------


def _show_studies(
    studies: list[dict[str, Any]], families: list[dict[str, Any]], as_json: bool
) -> None:
    rows = [row for study in studies for row in study["results"]]
    warnings = list(dict.fromkeys(w for study in studies for w in study["warnings"]))
    worth = [row for study in studies for row in study.get("data_value", ())]
    if as_json:
        classes = [row for study in studies for row in study["classes"]]
        print_json({
            "results": rows, "families": families, "classes": classes, "data_value": worth,
            "warnings": warnings,
        })  # fmt: skip
    else:
        for study in studies:
            for generator in study["generators"]:
                print_table(tables.of_family(study, generator))
        if len(studies) > 1:
            for generator in dict.fromkeys(g for study in studies for g in study["generators"]):
                print_table(tables.side_by_side(studies, generator))
        if len(families) > 1:
            print_table(tables.of_families(families))
        if worth:
            print_table(tables.of_worth(worth))
    warn(warnings)


def _parts_of_real(real_fraction: str, real_curve: str) -> dict[str, Any]:
    """Return which parts of the real images are trained on, a study each."""
    fractions = numbers(real_fraction, "--real-fraction")
    curve = whole_numbers(real_curve, "--real-curve")
    if curve and fractions != (1.0,):
        raise typer.BadParameter("--real-curve and --real-fraction exclude each other; keep one")
    if len(set(curve)) == 1:
        raise typer.BadParameter("--real-curve takes two or more numbers, such as 20,40,60,80")
    return {"real_fractions": fractions, "real_curve": curve}


def _show_estimate(rows: list[dict[str, Any]], as_json: bool) -> None:
    seconds = round(sum(row["seconds"] for row in rows), 1)
    if as_json:
        print_json({"studies": rows, "seconds": seconds})
        return
    print_table(tables.of_rows("to do", tuple(rows[0]), rows))
    out.print(f"about {tables.duration(seconds)} in all")


def _c_grid(text: str) -> tuple[float, ...]:
    if text == "default":
        return SweepConfig.c_grid
    return DENSE_C_GRID if text == "dense" else numbers(text, "--c-grid")
