"""Embeddings computed elsewhere → store: read, matched to the images, checked, kept as an encoder.

n images or rows, d features.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError, counted, first_few
from xprobe.base.progress import Progress, no_progress
from xprobe.encoders.presets import ENCODERS, IMPORT_ONLY
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.foreign import ForeignRows, read_foreign_file
from xprobe.features.items import EncoderOutcome
from xprobe.features.shards import SHARD_ROWS, StoredEncoder
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

# Rows of equal files differ in their last bits where they went through a network in other batches.
# They are one row if they differ by no more than this part of their length.
NEARLY_EQUAL = 0.01


class Imported(EncoderOutcome, frozen=True, kw_only=True):
    """What one run of `import_features` did.

    Attributes:
        label: how the store tells the encoder from others of its name: ``name`` or ``name@key``.
        unmatched_rows: rows of the file whose image the manifest lacks, or cannot be read.
        missing_images: readable images of the manifest that the file has no row of.
        nearly_equal_rows: rows of files that an earlier row is of, too, and whose last bits differ.
        rounded_rows: rows with whole numbers that float32 cannot hold, or values that it holds as
            zero.
        zero_rows: rows that are stored and hold nothing but zeros.
    """

    label: str
    unmatched_rows: int
    missing_images: int
    nearly_equal_rows: int
    rounded_rows: int
    zero_rows: int


def import_features(
    manifest: Manifest,
    file: str | Path,
    name: str,
    store: Store,
    *,
    bases: Sequence[str | Path] = (".",),
    allow_missing: bool = False,
    progress: Progress = no_progress,
) -> Imported:
    """Store the embeddings of a file as the encoder `name`, for the images of a manifest.

    Args:
        manifest: the images.
        file: .npz, .h5, .hdf5, .parquet or .csv with one row an image: its name, under one of
            `NAMES`, and its features (d,), under one of `FEATURES` or in numbered columns.
        name: what the encoder is called from now on.
        store: where the rows are put. Its key for them holds the digest of all names' contents
            and features, so other features under the same name are another encoder.
        bases: folders that relative paths in the file may be relative to.
        allow_missing: go on if images of the manifest have no row.
        progress: how long work is shown.

    Raises:
        XprobeError: a name of another encoder; a file that cannot be read, or whose rows are not
            finite vectors of one length; rows of one image that differ; rows that are all equal;
            no row of these images; images without a row.
    """
    start = time.monotonic()
    check_import_name(name)
    file = Path(file)
    rows = read_foreign_file(file)
    contents = _contents_of_rows(manifest, rows, [Path(base) for base in bases], file)
    row_of, nearly_equal = _one_row_a_content(rows, contents, file)
    if not row_of:
        raise _no_match_error(manifest, rows, file)
    used = list(row_of.values())
    if len(used) > 1 and (rows.x[used] == rows.x[used[0]]).all():
        what = "all zero" if not rows.x[used[0]].any() else "the same for every image"
        raise XprobeError(f"{file}: features are {what}, so nothing can be learned from them")
    missing = {
        id_: digest
        for id_, digest in zip(manifest.id, manifest.sha256, strict=True)
        if digest and digest not in row_of
    }
    if missing and not allow_missing:
        raise XprobeError(
            f"{file}: no row of {len(missing)} of {len(manifest)} images "
            f"({first_few(missing, 3)}); add them, name a manifest without them with --data, or "
            f"give --allow-missing"
        )
    stored = store.add_encoder(name, _spec_of_import(name, rows.x, row_of))
    embedded = _put_missing(store, stored, rows.x, row_of, progress)
    if missing:  # The store keeps them as failures, so that a sweep goes on without them.
        none = np.empty((0, stored.spec.dim), dtype=np.float32)
        store.write_shard(
            stored, [], none, dict.fromkeys(missing.values(), f"no row in {file.name}")
        )
    failed = len(missing) + sum(not digest for digest in manifest.sha256)
    seconds = time.monotonic() - start
    return Imported(
        name=name,
        key=stored.key,
        dim=stored.spec.dim,
        label=store.labels()[stored.key],
        images=len(manifest),
        embedded=embedded,
        reused=len(manifest) - embedded - failed,
        failed=failed,
        seconds=round(seconds, 3),
        images_per_s=round(embedded / seconds, 1),
        unmatched_rows=sum(not digest for digest in contents),
        missing_images=len(missing),
        nearly_equal_rows=nearly_equal,
        rounded_rows=int(rows.is_rounded[used].sum()),
        zero_rows=int((~rows.x[used].any(axis=1)).sum()),
    )


def remarks(done: Imported, file: str | Path) -> list[str]:
    """Return what the user should know of an import that went through."""

    def rows(n: int, one: str, many: str) -> str:
        return counted(n, f"row of {file} {one}", f"rows of {file} {many}")

    sentences = []
    if n := done.unmatched_rows:
        sentences.append(f"{rows(n, 'is', 'are')} of no readable image of DATA")
    if n := done.missing_images:
        no_part = f"no row in {file}, and no part in what follows"
        sentences.append(counted(n, f"image has {no_part}", f"images have {no_part}"))
    if n := done.nearly_equal_rows:
        sentences.append(
            f"{rows(n, 'is of a file that equals', 'are of files that equal')} an earlier one, but "
            f"for last bits; the first row of each was taken"
        )
    if n := done.rounded_rows:
        sentences.append(
            f"{rows(n, 'holds', 'hold')} numbers that float32 rounds (whole numbers above 2^24) or "
            f"holds as zero; scale them before they are saved, if that matters"
        )
    if n := done.zero_rows:
        sentences.append(f"{rows(n, 'is', 'are')} all zeros, as of images not embedded")
    if done.label != done.name:
        sentences.append(
            f"the store has other features called {done.name}; these are --encoder {done.label}"
        )
    return sentences


def check_import_name(name: str) -> None:
    """Raise XprobeError if an encoder of xprobe has the name, or if it has forbidden characters."""
    preset = ENCODERS.get(name.lower())
    if ":" in name or (preset is not None and preset.source != IMPORT_ONLY):
        raise XprobeError(
            f"--encoder-name {name}: that is an encoder of xprobe, and imported features would be "
            f"mistaken for its own; choose another, such as --encoder-name "
            f"my-{re.sub('[^a-z0-9.-]+', '-', name.lower())}"
        )
    if not _NAME.fullmatch(name):
        raise XprobeError(
            f"--encoder-name {name!r}: use letters, digits and . _ + - only, such as skysense-o"
        )


def _spec_of_import(name: str, x: Floats, row_of: Mapping[str, int]) -> EncoderSpec:
    """Return the spec of imported features; the features themselves stand in for the weights."""
    digest = hashlib.sha256()
    for content, row in sorted(row_of.items()):
        digest.update(bytes.fromhex(content))
        digest.update(x[row].astype("<f4").tobytes())
    return EncoderSpec(
        source=f"import:{name}", weights=digest.hexdigest(), layer="imported",
        dim=int(x.shape[1]), input_px=(0, 0), resize="squash", interpolation="", mean=(), std=(),
        precision="fp32", preprocessing="",
    )  # fmt: skip


def _put_missing(
    store: Store, stored: StoredEncoder, x: Floats, row_of: Mapping[str, int], progress: Progress
) -> int:
    """Write shards of the contents that the store lacks; return how many contents these are."""
    known = store.index(stored).rows
    new = [content for content in sorted(row_of) if content not in known]
    with progress(f"import {stored.name}", len(new)) as advance:
        for i in range(0, len(new), SHARD_ROWS):
            part = new[i : i + SHARD_ROWS]
            store.write_shard(stored, part, x[[row_of[content] for content in part]], {})
            advance(len(part))
    return len(new)


# --- rows and images -----------------------------------------------------------------


def _contents_of_rows(
    manifest: Manifest, rows: ForeignRows, bases: Sequence[Path], file: Path
) -> list[str]:
    """Return the content digest of each row's image (n,); ``""`` if the manifest lacks it.

    Raises:
        XprobeError: a path leads to different images from several of the folders.
    """
    if rows.column == "path":
        several = [_contents_by_path(manifest, rows.names, base.resolve()) for base in bases]
        return [
            _one_content(name, digests, file)
            for name, *digests in zip(rows.names, *several, strict=True)
        ]
    keys = manifest.sha256 if rows.column == "sha256" else manifest.id
    content = dict(zip(keys, manifest.sha256, strict=True))
    return [content.get(name, "") for name in rows.names]


def _one_content(name: str, digests: Sequence[str], file: Path) -> str:
    different = {digest for digest in digests if digest}
    if len(different) > 1:
        raise XprobeError(
            f"{file}: the path {name!r} leads to different images from several DATA; give ids "
            f"or absolute paths in place of such paths"
        )
    return different.pop() if different else ""


def _contents_by_path(manifest: Manifest, names: Sequence[str], base: Path) -> list[str]:
    """Return the content digest of each path; the disk follows links only where it must."""
    pairs = list(zip(manifest.path, manifest.sha256, strict=True))
    direct = {os.path.normpath(path): digest for path, digest in pairs}
    digests = [direct.get(os.path.normpath(base / name)) for name in names]
    if None in digests:
        resolved = {_real_path(path): digest for path, digest in pairs}
        for i, name in enumerate(names):
            if digests[i] is None:
                digests[i] = resolved.get(_real_path(base / name)) or resolved.get(_real_path(name))
    return [digest or "" for digest in digests]


def _real_path(path: str | Path) -> str | None:
    try:
        return os.path.realpath(path)
    except ValueError:  # No file has a name with a zero byte or half a character.
        return None


def _one_row_a_content(
    rows: ForeignRows, contents: Sequence[str], file: Path
) -> tuple[dict[str, int], int]:
    """Return content digest → its first row, and how many other rows differ from it a little.

    Raises:
        XprobeError: rows of equal content differ by more than `NEARLY_EQUAL`.
    """
    row_of: dict[str, int] = {}
    nearly_equal = 0
    for row, content in enumerate(contents):
        if not content:
            continue
        first = row_of.setdefault(content, row)
        if first == row or (rows.x[first] == rows.x[row]).all():
            continue
        x = rows.x[first].astype(np.float64)
        if np.linalg.norm(rows.x[row] - x) > NEARLY_EQUAL * np.linalg.norm(x):
            a, b = rows.names[first], rows.names[row]
            which = f"of {a!r}" if a == b else f"of {a!r} and {b!r}, which are the same file,"
            raise XprobeError(
                f"{file}: rows {first + 1} and {row + 1} {which} hold different features; keep the "
                f"right one (one row serves every image of equal content)"
            )
        nearly_equal += 1
    return row_of, nearly_equal


def _no_match_error(manifest: Manifest, rows: ForeignRows, file: Path) -> XprobeError:
    known = getattr(manifest, rows.column)
    readable = [name for name, digest in zip(known, manifest.sha256, strict=True) if digest]
    return XprobeError(
        f"{file}: none of its {len(rows.names)} rows is an image of the manifest; its "
        f"{rows.column} is like {rows.names[0]!r}, and that of the manifest like "
        f"{first_few(map(repr, readable), 1)}; make them equal, or name other images with --data"
    )
