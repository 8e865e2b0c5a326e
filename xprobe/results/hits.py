"""Which test images each setting of a study got right: what it takes to judge over studies.

The file ``studies/<key>.hits.npz`` stands beside the document of the study, which holds its digest.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xprobe.base import documents
from xprobe.base.arrays import UNREADABLE, Bools, Ints, Strings, frozen_array, frozen_strings
from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError
from xprobe.results.rows import SettingRow
from xprobe.results.study import REMEDY, Results, Study, folders_of


@dataclass(frozen=True, eq=False)
class Hits:
    """What every setting of a study got right, image by image.

    Attributes:
        settings: (S,) the settings.
        hit: (S, R, N) whether a setting was right about an image in a repeat.
        fold: (R, N) fold in which the image was tested.
        seed: (R,) seed of the repeat.
        image: (N,) digests of the contents of the test images.
        group: (N,) names of their groups, or of what is wider and the standard errors are over.
        label: (N,) index of their classes.
    """

    settings: tuple[SettingRow, ...]
    hit: Bools
    fold: Ints
    seed: Ints
    image: Strings
    group: Strings
    label: Ints

    def __post_init__(self) -> None:
        for name in ("image", "group"):
            object.__setattr__(self, name, frozen_strings(getattr(self, name)))
        for name in ("hit", "fold", "seed", "label"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))
        S, R, N = self.hit.shape
        lengths = (len(self.image), len(self.group), len(self.label))
        if lengths != (N, N, N) or self.fold.shape != (R, N) or self.seed.shape != (R,):
            raise ValueError("hits, images and repeats differ in length")
        if len(self.settings) != S:
            raise ValueError("hits and settings differ in length")

    @property
    def model(self) -> Ints:
        """(R, N) number of the fitted model that tested an image."""
        return models_of(self.fold)

    @property
    def scene(self) -> NDArray[np.str_]:
        """(N,) a name of the group of each image that it has in every study: its least digest."""
        _, code = np.unique(self.group.astype(str), return_inverse=True)
        order = np.lexsort((self.image.astype(str), code))
        first = order[np.searchsorted(code[order], np.arange(code.max(initial=-1) + 1))]
        return np.asarray(self.image.astype(str)[first][code])


def models_of(fold: Ints) -> Ints:
    """Return the number of the fitted model (R, N) that tested an image in its fold (R, N)."""
    repeat = np.arange(len(fold))[:, None]
    return np.asarray(repeat * (int(fold.max(initial=0)) + 1) + fold)


def hits_file(folder: Path, key: str) -> Path:
    """Return where the hits of a study lie."""
    return folder / "studies" / f"{key}.hits.npz"


def save_hits(folder: Path, key: str, hits: Hits) -> str:
    """Write the hits of a study, and return the digest of the file."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        settings=np.array(json.dumps(documents.to_json(hits.settings), allow_nan=False)),
        hit=hits.hit.astype(np.uint8),
        fold=hits.fold.astype(np.int32),
        seed=hits.seed.astype(np.int64),
        image=hits.image.astype(str),
        group=hits.group.astype(str),
        label=hits.label.astype(np.int32),
    )
    file = hits_file(folder, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, buffer.getvalue())
    return _digest(buffer.getvalue())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load_hits(results: Results, study: Study) -> Hits:
    """Return the hits of a study from the one of the folders of results that has them.

    Raises:
        XprobeError: they are missing, damaged, or of another study.
    """
    files = [hits_file(folder, study.key) for folder in folders_of(results)]
    contents = {file: file.read_bytes() for file in files if file.is_file()}
    if not contents:
        raise XprobeError(
            f"{files[0]}: missing, and {study.encoder.label} cannot be judged with other studies "
            f"without it; run the same 'xprobe sweep' again, which trains nothing anew"
        )
    same = [file for file in contents if _digest(contents[file]) == study.hits]
    file = [*same, *contents][0]
    if not same:
        raise XprobeError(f"{file}: damaged, or of another study; {REMEDY}")
    try:
        with np.load(io.BytesIO(contents[file]), allow_pickle=False) as data:
            columns = {name: data[name] for name in data.files}
        settings = tuple(
            documents.from_json(SettingRow, row) for row in json.loads(str(columns.pop("settings")))
        )
        columns["hit"] = columns["hit"].astype(bool)
        for name in ("image", "group"):
            columns[name] = columns[name].astype(object)
        return Hits(settings, **columns)
    except (*UNREADABLE, TypeError) as error:
        raise XprobeError(f"{file}: damaged ({error}); {REMEDY}") from error
