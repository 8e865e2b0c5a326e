"""``xprobe scan``: what images there are, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from warnings import catch_warnings

import typer

from xprobe.base.errors import XprobeError, XprobeNote, counted, first_few
from xprobe.cli.options import Data, Json, filled_in, table_file
from xprobe.cli.printing import notes, print_json, print_table, tell, warn
from xprobe.images.config import DataConfig

if TYPE_CHECKING:
    from xprobe.images.manifest import Manifest


@filled_in(images=DataConfig)
def scan(
    images: DataConfig,
    data: Data = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the table to this file.", callback=table_file),
    ] = None,
    as_json: Json = False,
) -> None:
    from xprobe.cli import outputs, tables
    from xprobe.design import lineage, seen
    from xprobe.images import ranges, survey
    from xprobe.images import read as manifests
    from xprobe.images.samples import AS_IT_IS

    with catch_warnings(record=True) as caught:
        manifest = manifests.read(data, whole=False, config=images)
    taken_as = [str(w.message) for w in caught if isinstance(w.message, XprobeNote)]
    said = [str(w.message) for w in caught if not isinstance(w.message, XprobeNote)]
    tell(taken_as)
    warn(said)
    counts = survey.counts(manifest)
    formats, unusable = survey.shapes(manifest)
    warnings = survey.find_problems(manifest) + survey.codec_problems(formats)
    if len(unusable) == len(manifest):
        id_, reason = next(iter(unusable.items()))
        raise XprobeError(
            f"{images.words(data)}: none of the {len(manifest)} files holds a readable image; the "
            f"first, {id_}: {reason}"
        )
    warnings += lineage.outside_warnings(*lineage.sides(manifest))
    warnings += seen.unchecked_warnings(*lineage.sides(manifest))
    warnings += ranges.problems(manifest, AS_IT_IS)
    if unusable:
        shown = [f"{id_} ({reason})" for id_, reason in unusable.items()]
        files = counted(len(unusable), "file holds", "files hold")
        warnings.append(f"{files} no readable image: {first_few(shown, 3)}")
    is_new = output is not None and _write(manifest, output, data or ())
    if as_json:
        print_json(
            outputs.Scan(
                images=len(manifest), taken_as=tuple(taken_as), counts=tuple(counts),
                formats=tuple(formats), warnings=(*said, *warnings),
            )
        )  # fmt: skip
        return
    print_table(tables.of_counts(counts))
    print_table(tables.of_formats(formats))
    warn(warnings)
    if output is not None:
        notes.print(f"wrote {output}" if is_new else f"nothing new: {output} had all of it")


def _write(manifest: Manifest, output: Path, data: Sequence[Path]) -> bool:
    """Write the table, and return whether it is new.

    A file that is there may have been corrected by hand, so that nothing that it says is lost. Of a
    table that is DATA itself, all was read.
    """
    from xprobe.images.sources.numbered import FILE_DIGEST
    from xprobe.images.sources.rewrite import rewrite_table
    from xprobe.images.sources.table import write_table

    if output.resolve() in {path.resolve() for path in data}:
        write_table(manifest, output)
        return True
    return rewrite_table(manifest, output, facts=(FILE_DIGEST,), tells_added=True)
