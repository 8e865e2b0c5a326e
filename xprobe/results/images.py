"""Where the tested images of studies lie, so that a report can show some of them.

The file ``images/<fingerprint>.npz`` stands once for all studies of the same images. It is written
anew whenever they are swept, since images may have been moved meanwhile.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from xprobe.base.arrays import UNREADABLE
from xprobe.base.atomic import put
from xprobe.images.manifest import Manifest
from xprobe.results.study import Results, Study, folders_of


def places_file(folder: Path, fingerprint: str) -> Path:
    """Return where the places of images lie."""
    return folder / "images" / f"{fingerprint[:32]}.npz"


def save_places(folder: Path, table: Manifest) -> None:
    """Keep where the real images of a table lie, by the digest of their content."""
    real = table.source == "real"
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, sha256=table.sha256[real].astype(str), path=table.path[real].astype(str)
    )
    file = places_file(folder, table.fingerprint)
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, buffer.getvalue())


def load_places(results: Results, study: Study) -> dict[str, str]:
    """Return the path of each real image of a study by the digest of its content.

    It is empty where nothing was kept, or what was kept is damaged: pictures are no result, and a
    report without them says so.
    """
    for folder in folders_of(results):
        file = places_file(folder, study.manifest.fingerprint)
        try:
            with np.load(file, allow_pickle=False) as data:
                return dict(zip(data["sha256"].tolist(), data["path"].tolist(), strict=True))
        except UNREADABLE:
            continue
    return {}
