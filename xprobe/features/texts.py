"""Features of texts in a store: captions and prompts, each text once (docs/reference/store.md).

Files of texts are never changed, and their names are digests of their contents, so that a file is
whole or damaged without a receipt, and several processes may write at once.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xprobe.base import documents
from xprobe.base.arrays import UNREADABLE, Floats
from xprobe.base.atomic import create_if_absent, discard_stale
from xprobe.base.errors import UnreadableError, XprobeError, first_line
from xprobe.base.progress import Progress, no_progress
from xprobe.features.inside import listed, read_bytes
from xprobe.features.records import VERSION, TextsRecord
from xprobe.features.shards import StoredEncoder, raw_digests

# Number of texts in a file: a run that is killed loses those of one file at most.
FILE_ROWS = 1024

# `gc` makes many small files into files of so many texts.
GATHERED_ROWS = 65_536

# An encoder is given so many texts at once.
BATCH = 64


def digest_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8 as hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, eq=False)
class Texts:
    """Features of texts by an encoder.

    Attributes:
        row_of: digest of a text → its row.
        x: (n, d) float32 features of length 1.
        logit_scale: factor by which the encoder multiplies cosines; 1 without texts.
    """

    row_of: dict[str, int]
    x: Floats
    logit_scale: float = 1.0

    def __contains__(self, text: str) -> bool:
        return digest_of_text(text) in self.row_of

    def of_texts(self, texts: Iterable[str]) -> Floats:
        """Return the features (n, d) of texts, all of which must be here.

        Raises:
            KeyError: one of them is not.
        """
        rows = [self.row_of[digest_of_text(text)] for text in texts]
        return np.asarray(self.x[np.array(rows, dtype=np.intp)])


def embed_texts(
    embed_text: Callable[[Sequence[str]], tuple[Floats, float]],
    encoder: StoredEncoder,
    texts: Iterable[str],
    progress: Progress = no_progress,
    title: str = "",
) -> Texts:
    """Embed the texts that the store lacks, and return all texts that it then has of an encoder.

    Args:
        embed_text: gives the features (n, d) of texts, and the logit scale.
        encoder: the encoder in the store.
        texts: the texts; equal ones are embedded once.
        progress: shows how far the work has come.
        title: what the work is called there.

    Raises:
        XprobeError: the encoder has no text side, or a text has no finite feature.
    """
    known = read_texts(encoder)
    wanted = [text for text in dict.fromkeys(texts) if text not in known]
    if not wanted:
        return known
    with progress(title or "embed texts", len(wanted)) as advance:
        for start in range(0, len(wanted), FILE_ROWS):
            part, rows, scale = wanted[start : start + FILE_ROWS], [], 1.0
            for i in range(0, len(part), BATCH):
                batch = part[i : i + BATCH]
                x, scale = embed_text(batch)
                rows.append(x)
                advance(len(batch))
            put_texts(encoder, part, np.concatenate(rows), scale)
    return read_texts(encoder)


def put_texts(encoder: StoredEncoder, texts: Sequence[str], x: Floats, logit_scale: float) -> Path:
    """Write the features of different texts into a file, whole or not at all, and return it.

    Args:
        encoder: the encoder.
        texts: n texts.
        x: (n, d) their features, of any length but 0.
        logit_scale: factor by which the encoder multiplies cosines.

    Raises:
        XprobeError: a feature is not finite, or has length 0.
    """
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if bad := [text for text, one in zip(texts, length[:, 0], strict=True) if not 0 < one < np.inf]:
        raise XprobeError(f"{encoder.name} gives no finite feature of the text {bad[0]!r}")
    return _put(encoder, [digest_of_text(text) for text in texts], x / length, logit_scale)


def _put(encoder: StoredEncoder, digests: Sequence[str], x: Floats, logit_scale: float) -> Path:
    """Write features of length 1 by the digests of their texts, and return the file."""
    folder = encoder.folder / "texts"
    folder.mkdir(parents=True, exist_ok=True)
    discard_stale(folder)
    record = TextsRecord(version=VERSION, encoder=encoder.key, logit_scale=logit_scale)
    about = np.array(json.dumps(documents.to_json(record)))
    buffer = io.BytesIO()
    np.savez(buffer, sha256=raw_digests(digests), x=x.astype(np.float32), about=about)
    content = buffer.getvalue()
    file = folder / _name_of(content)
    create_if_absent(file, content)
    return file


def _name_of(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:32]}.npz"


def read_texts(encoder: StoredEncoder) -> Texts:
    """Return the features of all texts that a store has of an encoder.

    Of a text in several files the row of the first one by name counts.

    Raises:
        XprobeError: a file of texts is damaged, cannot be read now, or is of a newer version.
    """
    return _joined(encoder, [part for _, part in _parts(encoder)])


def _joined(encoder: StoredEncoder, parts: Sequence[Texts]) -> Texts:
    """Return several files' texts as one; of a text in several of them the first row counts."""
    if not parts:
        return Texts({}, np.empty((0, encoder.spec.dim), dtype=np.float32))
    row_of: dict[str, int] = {}
    start = 0
    for part in parts:
        for digest, row in part.row_of.items():
            row_of.setdefault(digest, start + row)
        start += len(part.x)
    return Texts(row_of, np.concatenate([part.x for part in parts]), parts[0].logit_scale)


def _parts(encoder: StoredEncoder) -> list[tuple[Path, Texts]]:
    """Return the files of texts and what each holds.

    If a file vanishes meanwhile, `gather_texts` is at work: all of them are read again.
    """
    while True:
        try:
            return [(file, _texts_in(encoder, file, read_bytes(file))) for file in _files(encoder)]
        except FileNotFoundError:
            continue


def _files(encoder: StoredEncoder) -> list[Path]:
    return listed(encoder.folder / "texts", ".npz")


def _texts_in(encoder: StoredEncoder, file: Path, content: bytes) -> Texts:
    """Return what a file of texts holds.

    Raises:
        XprobeError: it is damaged, or of a newer version.
    """
    try:
        if _name_of(content) != file.name:
            raise ValueError("other bytes than were written")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            record = documents.parse(TextsRecord, str(arrays["about"]))
            raw, x = arrays["sha256"], arrays["x"]
        if record.version > VERSION:
            raise ValueError(f"of format {record.version}, which only a newer xprobe reads")
        if record.encoder != encoder.key or x.shape != (len(raw), encoder.spec.dim):
            raise ValueError("features of another encoder")
        if raw.dtype != np.uint8 or raw.shape[1:] != (32,) or not np.isfinite(x).all():
            raise ValueError("no digests, or features that are not finite")
    except (*UNREADABLE, MemoryError) as error:
        raise XprobeError(
            f"{file}: damaged ({first_line(error)}); delete it and run 'xprobe embed --prompts' "
            f"again"
        ) from error
    digests = (one.tobytes().hex() for one in raw)
    row_of = {digest: row for row, digest in enumerate(digests)}
    return Texts(row_of, x.astype(np.float32, copy=False), float(record.logit_scale))


# --- upkeep --------------------------------------------------------------------------------


Faults = list[tuple[str, str]]
"""Pairs of a file, and what is wrong with it."""


def check_texts(encoder: StoredEncoder) -> tuple[Faults, Faults]:
    """Return the files of texts that are damaged, and those that cannot be read now."""
    damaged: Faults = []
    unreadable: Faults = []
    for file in _files(encoder):
        try:
            _texts_in(encoder, file, read_bytes(file))
        except FileNotFoundError:  # `gc` has gathered it meanwhile.
            continue
        except UnreadableError as error:
            unreadable.append((str(file), str(error)))
        except XprobeError as error:
            damaged.append((str(file), str(error).removeprefix(f"{file}: ")))
    return damaged, unreadable


def copy_texts(encoder: StoredEncoder, target: StoredEncoder) -> int:
    """Copy the texts that another store lacks of the same encoder, and return how many these are.

    Raises:
        XprobeError: a file of texts is damaged, or cannot be read now.
    """
    texts, known = read_texts(encoder), read_texts(target)
    wanted = [digest for digest in texts.row_of if digest not in known.row_of]
    _put_many(target, texts, wanted)
    return len(wanted)


def gather_texts(encoder: StoredEncoder) -> None:
    """Write the texts of small files into large ones, and then delete the small ones.

    Raises:
        XprobeError: a file of texts is damaged, or cannot be read now; then nothing is changed.
    """
    parts = _parts(encoder)
    if len(parts) > 1:
        texts = _joined(encoder, [part for _, part in parts])
        written = _put_many(encoder, texts, sorted(texts.row_of))
        for file, _ in parts:
            if file not in written:
                file.unlink(missing_ok=True)
        discard_stale(encoder.folder / "texts")


def _put_many(encoder: StoredEncoder, texts: Texts, digests: Sequence[str]) -> list[Path]:
    """Write some texts into as few files as they fit into, and return these."""
    parts = [digests[i : i + GATHERED_ROWS] for i in range(0, len(digests), GATHERED_ROWS)]
    return [
        _put(encoder, part, texts.x[[texts.row_of[d] for d in part]], texts.logit_scale)
        for part in parts
    ]
