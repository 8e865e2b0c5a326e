"""Where the tested images of studies lie, and under which licence, for a report to show some.

The file ``images/<fingerprint>.npz`` stands once for all studies of the same images. It is written
anew whenever they are swept, since images may have been moved meanwhile.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xprobe.base.arrays import UNREADABLE, Strings
from xprobe.base.atomic import put
from xprobe.images.manifest import Manifest
from xprobe.results.study import Results, Study, folders_of


class Place(NamedTuple):
    """Where an image lies, and the licence that counts for it; empty where none is known."""

    path: str
    licence: str


def places_file(folder: Path, fingerprint: str) -> Path:
    """Return where the places of images lie."""
    return folder / "images" / f"{fingerprint[:32]}.npz"


def save_places(folder: Path, table: Manifest, licence: Strings) -> None:
    """Keep where the real images of a table lie, by the digest of their content.

    Args:
        folder: the folder of results.
        table: the images.
        licence: (n,) the licence that counts for each image (`design.lineage.licences`).
    """
    real = table.source == "real"
    columns = {"sha256": table.sha256[real], "path": table.path[real]}
    if any(licence[real]):
        columns["licence"] = licence[real]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: texts.astype(str) for name, texts in columns.items()})
    file = places_file(folder, table.fingerprint)
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, buffer.getvalue())


def load_places(results: Results, study: Study) -> dict[str, Place]:
    """Return the place of each real image of a study by the digest of its content.

    Of several folders the first one says where an image lies, and the first one that knows a
    licence says which. It is empty where nothing was kept, or what was kept is damaged: pictures
    are no result, and a report without them says so.
    """
    places: dict[str, Place] = {}
    for folder in folders_of(results):
        for digest, place in _read(places_file(folder, study.manifest.fingerprint)):
            first = places.setdefault(digest, place)
            places[digest] = first._replace(licence=first.licence or place.licence)
    return places


def _read(file: Path) -> Iterator[tuple[str, Place]]:
    """Yield the digest and the place of each image of a file; nothing if it cannot be read."""
    try:
        with np.load(file, allow_pickle=False) as data:
            columns = {name: data[name].tolist() for name in data.files}
    except UNREADABLE:
        return
    digests, paths = columns["sha256"], columns["path"]
    licences = columns.get("licence", [""] * len(paths))
    for digest, path, licence in zip(digests, paths, licences, strict=True):
        yield digest, Place(path, licence)
