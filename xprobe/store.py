"""The feature store: immutable HDF5 shards that count only with their receipt (docs/store.md).

A shard and its receipt are each put whole or not at all, so a process may be killed at any
instant, and several may write into one store at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xprobe.errors import XprobeError, nearest, some
from xprobe.prompts import TextFeatures
from xprobe.types import Bools, EncoderSpec, Features, Floats, Ints, Manifest, Strings, digest_of

FORMAT = "xprobe-features"
VERSION = 1
_STALE_S = 3600.0  # a temporary file lives for milliseconds; one this old was left by a kill
_READ_ROWS = 8192
_DIGEST = np.dtype("S32")


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder that the store has features of.

    Attributes:
        name: the name it was embedded under.
        key: digest of its spec.
        spec: the fields that decide its features.
        folder: where its shards lie.
    """

    name: str
    key: str
    spec: EncoderSpec
    folder: Path


@dataclass(frozen=True)
class Receipt:
    """What makes a shard count.

    Attributes:
        shard: name of its file; None if all contents failed.
        rows, bytes, sha256: of that file.
        failed: digest → why that content cannot be embedded.
    """

    shard: str | None
    rows: int
    bytes: int
    sha256: str
    failed: Mapping[str, str]


class Places(Mapping[str, tuple[Path, int]]):
    """Content digest → (shard file, row), in 48 bytes a content instead of a dictionary's 300."""

    def __init__(self, shards: Sequence[tuple[Path, NDArray[np.uint8]]]) -> None:
        """Take the digests (n, 32) of each shard's rows; of equal ones the first counts."""
        self.shards = tuple(file for file, _ in shards)
        rows = [len(digests) for _, digests in shards]
        every = [np.ascontiguousarray(d).view(_DIGEST).ravel() for _, d in shards]
        stacked = np.concatenate(every) if every else np.empty(0, dtype=_DIGEST)
        self._digests, first = np.unique(stacked, return_index=True)
        self._shard = np.repeat(np.arange(len(rows)), rows)[first].astype(np.int32)
        self._row = np.concatenate([np.arange(n) for n in rows] or [np.arange(0)])[first]

    def find(self, digests: Sequence[str]) -> tuple[Ints, Ints]:
        """Return the number of the shard (n,) and the row in it (n,) of contents that are there.

        Raises:
            KeyError: one is not there.
        """
        at, there = self._look_up(digests)
        if not there.all():
            raise KeyError(digests[int(np.flatnonzero(~there)[0])])
        return self._shard[at].astype(np.intp), self._row[at].astype(np.intp)

    def _look_up(self, digests: Sequence[str]) -> tuple[Ints, Bools]:
        """Return where each digest stands or would stand (n,), and whether it is there (n,)."""
        wanted = np.array([bytes.fromhex(digest) for digest in digests], dtype=_DIGEST)
        at = np.searchsorted(self._digests, wanted)
        there = at < len(self._digests)
        there[there] = self._digests[at[there]] == wanted[there]
        return at, there

    def __getitem__(self, digest: str) -> tuple[Path, int]:
        (shard,), (row,) = self.find([digest])
        return self.shards[shard], int(row)

    def __contains__(self, digest: object) -> bool:
        return bool(digest and self._look_up([str(digest)])[1][0])

    def __iter__(self) -> Iterator[str]:
        return (digest.ljust(32, b"\0").hex() for digest in self._digests.tolist())

    def __len__(self) -> int:
        return len(self._digests)


@dataclass(frozen=True)
class Index:
    """What the store holds of one encoder, by content digest.

    Attributes:
        rows: digest → (shard file, row).
        failed: digest → why that content cannot be embedded.
    """

    rows: Places
    failed: Mapping[str, str]

    def stored_rows(self, digests: Sequence[str], dim: int) -> StoredRows:
        """Return the features of contents that are there, in their order."""
        return StoredRows(self.rows.shards, *self.rows.find(digests), dim)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Features of images where they lie, read by row: x[rows] is (m, d) float32.

    Attributes:
        shards: files.
        shard, row: (n,) which of them, and where in it.
        dim: d.
    """

    shards: tuple[Path, ...]
    shard: Ints
    row: Ints
    dim: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.row)

    def select(self, rows: Ints) -> StoredRows:
        """Return some of the images, in that order."""
        return replace(self, shard=self.shard[rows], row=self.row[rows])

    def __getitem__(self, rows: Ints) -> Floats:
        """Read the features of some of the images."""
        x = np.empty((len(rows), self.dim), dtype=np.float32)
        shard, row = self.shard[rows], self.row[rows]
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            here = here[np.argsort(row[here], kind="stable")]
            file = self.shards[number]
            with _open_shard(file, file) as h5:
                # Read as ranges, which is fast, but few rows at once of what may be a large file.
                piece = row[here] // _READ_ROWS
                for part in np.split(here, np.flatnonzero(np.diff(piece)) + 1):
                    first, last = row[part[0]], row[part[-1]] + 1
                    x[part] = h5["x"][first:last][row[part] - first]
        return x


class Store:
    """A folder of features, one sub-folder per encoder key."""

    def __init__(self, folder: str | Path, *, create: bool = False) -> None:
        """Open a store, or make it.

        Raises:
            XprobeError: there is none and `create` is false; it is of a newer format.
        """
        self.folder = Path(folder)
        marker = self.folder / "format.json"
        if not marker.is_file():
            if not create:
                raise XprobeError(
                    f"{self.folder}: no feature store; make one with 'xprobe embed', or name "
                    f"another with --features"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            create_if_absent(marker, _json({"format": FORMAT, "version": VERSION}))
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
            version, kind = int(found["version"]), found["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise XprobeError(f"{marker}: not the marker of a feature store") from error
        if kind != FORMAT:
            raise XprobeError(f"{marker}: not the marker of a feature store, but of {kind!r}")
        if version > VERSION:
            raise XprobeError(
                f"{self.folder}: a feature store of format {version}, and this xprobe reads up to "
                f"{VERSION}; upgrade xprobe, or embed into another folder with --out"
            )

    def encoders(self) -> list[StoredEncoder]:
        """Return every encoder of the store, sorted by name and key."""
        found = []
        for file in sorted(self.folder.glob("*/encoder.json")):
            about = json.loads(file.read_text(encoding="utf-8"))
            fields: dict[str, Any] = about["spec"]
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            spec = EncoderSpec(**fields)
            found.append(StoredEncoder(about["name"], about["key"], spec, file.parent))
        return sorted(found, key=lambda e: (e.name, e.key))

    def labels(self) -> dict[str, str]:
        """Return key → the name to show: ``name``, or ``name@key`` where two share a name."""
        encoders = self.encoders()
        names = [e.name for e in encoders]
        return {
            e.key: e.name if names.count(e.name) == 1 else f"{e.name}@{e.key[:8]}" for e in encoders
        }

    def find(self, name: str) -> list[StoredEncoder]:
        """Return the encoders of a name, or of ``name@`` and the beginning of a key.

        Raises:
            XprobeError: there is none.
        """
        wanted, _, key = name.rpartition("@")
        every = self.encoders()
        found = [e for e in every if e.name == name] or [
            e for e in every if e.name == wanted and e.key.startswith(key)
        ]
        if not found:
            known = [e.name for e in every]
            embedded = wanted if wanted in known else name
            raise XprobeError(
                f"{self.folder} has no features of {name!r}{nearest(name, known)}; make them with "
                f"'xprobe embed --encoder {embedded}' (there are: {some(sorted(set(known)), 9)})"
            )
        return found

    def add_encoder(self, name: str, spec: EncoderSpec) -> StoredEncoder:
        """Return the stored encoder of a spec, made if it is new."""
        for stored in self.encoders():
            if stored.key == spec.key:
                return stored
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[-40:]
        folder = self.folder / f"{slug}-{spec.key[:16]}"
        for part in ("shards", "receipts"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        about = {"name": name, "key": spec.key, "spec": asdict(spec)}
        create_if_absent(folder / "encoder.json", _json(about))
        return StoredEncoder(name, spec.key, spec, folder)

    def index(self, encoder: StoredEncoder) -> Index:
        """Return what is there of one encoder. Receipts in order of name; the first row counts."""
        shards: list[tuple[Path, NDArray[np.uint8]]] = []
        failed: dict[str, str] = {}
        for file in self.receipt_files(encoder):
            receipt = self.receipt(file)
            failed.update(receipt.failed)
            if receipt.shard is None:
                continue
            shard = encoder.folder / "shards" / receipt.shard
            with _open_shard(shard, file) as h5:
                digests = h5["sha256"][:]
            if len(digests) != receipt.rows:
                raise _damaged(shard, file)
            shards.append((shard, digests))
        rows = Places(shards)
        return Index(rows, {d: reason for d, reason in failed.items() if d not in rows})

    def receipt_files(self, encoder: StoredEncoder) -> list[Path]:
        """Return the receipts of an encoder in order of name."""
        return sorted((encoder.folder / "receipts").glob("*.json"))

    def receipt(self, file: Path) -> Receipt:
        """Read a receipt.

        Raises:
            XprobeError: it is damaged.
        """
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            failed = {bad["sha256"]: bad["reason"] for bad in about["failed"]}
            return Receipt(
                about["shard"], int(about["rows"]), int(about["bytes"]), about["sha256"], failed
            )
        except (ValueError, KeyError, TypeError) as error:
            raise XprobeError(
                f"{file}: a damaged receipt; delete it and run 'xprobe embed' again"
            ) from error

    def receipts(self, encoder: StoredEncoder) -> Iterator[Receipt]:
        """Yield the receipts of an encoder."""
        return (self.receipt(file) for file in self.receipt_files(encoder))

    def read_shard(
        self, encoder: StoredEncoder, receipt: Receipt
    ) -> tuple[NDArray[np.uint8], Floats]:
        """Return digests (n, 32) and features (n, d) of a shard.

        Raises:
            XprobeError: it does not open.
        """
        shard = encoder.folder / "shards" / str(receipt.shard)
        with _open_shard(shard, shard) as h5:
            return h5["sha256"][:], h5["x"][:]

    def write_shard(
        self,
        encoder: StoredEncoder,
        digests: Sequence[str],
        x: Floats,
        failed: Mapping[str, str],
    ) -> Path:
        """Put one shard and its receipt: rows x (n, d) of the contents `digests`, and failures.

        A second shard of the same contents is dropped: the first receipt wins.

        Returns:
            the receipt.
        """
        shard_key = digest_of([encoder.key, sorted([*digests, *failed])])
        receipt = encoder.folder / "receipts" / f"{shard_key[:32]}.json"
        if receipt.exists():
            return receipt
        _sweep_stale(encoder.folder)
        name = None
        content = b""
        if len(digests):
            content = _shard_bytes(encoder, digests, x)
            name = f"{shard_key[:16]}-{hashlib.sha256(content).hexdigest()[:16]}.h5"
            put(encoder.folder / "shards" / name, content)
        about = {
            "version": VERSION,
            "shard": name,
            "rows": len(digests),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "failed": [{"sha256": d, "reason": r} for d, r in sorted(failed.items())],
        }
        create_if_absent(receipt, _json(about))
        return receipt

    def read(self, encoder: StoredEncoder, manifest: Manifest) -> tuple[Features, dict[str, str]]:
        """Return the features of a manifest's images, and id → reason of those that have none.

        Raises:
            XprobeError: images were never embedded.
        """
        ids, stored, failed = self.locate(encoder, manifest)
        x = stored[np.arange(len(stored))]
        x.flags.writeable = False
        return Features(encoder.key, ids, x), failed

    def locate(
        self, encoder: StoredEncoder, manifest: Manifest
    ) -> tuple[Strings, StoredRows, dict[str, str]]:
        """Return ids, features and failures as `read` does, but without reading the features."""
        index = self.index(encoder)
        no_file = {
            i: "no such file" for i, d in zip(manifest.id, manifest.sha256, strict=True) if not d
        }
        failed = {
            i: index.failed[d]
            for i, d in zip(manifest.id, manifest.sha256, strict=True)
            if d in index.failed
        } | no_file
        wanted = [
            (i, d) for i, d in zip(manifest.id, manifest.sha256, strict=True) if i not in failed
        ]
        missing = [i for i, d in wanted if d not in index.rows]
        if missing:
            imported = encoder.spec.source.startswith("import:")
            remedy = "import-features FILE --encoder-name" if imported else "embed --encoder"
            raise XprobeError(
                f"{len(missing)} of {len(manifest)} images are not embedded with {encoder.name} "
                f"({some(missing, 3)}); run 'xprobe {remedy} {encoder.name}' first"
            )
        ids = np.array([i for i, _ in wanted], dtype=object)
        return ids, index.stored_rows([d for _, d in wanted], encoder.spec.dim), failed

    def agreement(self, encoder: StoredEncoder) -> dict[str, float] | None:
        """Return ``{"images", "least_cosine"}`` of an encoder that takes a short cut, or None."""
        try:
            text = (encoder.folder / "agreement.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return dict(json.loads(text))

    def put_agreement(self, encoder: StoredEncoder, about: Mapping[str, float]) -> None:
        """Keep how near the features are to those computed without a short cut."""
        put(encoder.folder / "agreement.json", _json(about))

    def put_text(self, encoder: StoredEncoder, text: TextFeatures) -> None:
        """Keep the text features of these classes; the last ones count."""
        buffer = io.BytesIO()
        about = {"classes": text.classes, "prompts": text.prompts, "logit_scale": text.logit_scale}
        np.savez(buffer, x=text.x, about=np.array(json.dumps(about)))
        file = self._text_file(encoder, text.classes)
        file.parent.mkdir(parents=True, exist_ok=True)
        put(file, buffer.getvalue())

    def read_text(self, encoder: StoredEncoder, classes: Sequence[str]) -> TextFeatures | None:
        """Return the text features of exactly these classes, or None if there are none."""
        try:
            with np.load(self._text_file(encoder, classes), allow_pickle=False) as data:
                about = json.loads(str(data["about"]))
                x = data["x"]
        except FileNotFoundError:
            return None
        found = tuple(about["classes"])
        return TextFeatures(found, x, about["logit_scale"], about["prompts"])

    @staticmethod
    def _text_file(encoder: StoredEncoder, classes: Sequence[str]) -> Path:
        return encoder.folder / "text" / f"{digest_of(list(classes))[:32]}.npz"

    def coverage(self, encoder: StoredEncoder, manifest: Manifest) -> bool:
        """Return whether the store has any image of a manifest under an encoder."""
        index = self.index(encoder)
        return any(digest in index.rows for digest in manifest.sha256)


def _shard_bytes(encoder: StoredEncoder, digests: Sequence[str], x: Floats) -> bytes:
    """Build a shard in memory: equal content gives equal bytes, and a full disk a plain error."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.shape != (len(digests), encoder.spec.dim):
        raise ValueError(f"x of shape {x.shape} for {len(digests)} images of {encoder.name}")
    if not np.isfinite(x).all():
        raise XprobeError(f"{encoder.name} gave features that are not finite; try --precision fp32")
    raw = np.frombuffer(bytes.fromhex("".join(digests)), dtype=np.uint8).reshape(-1, 32)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("earliest", "v110")) as h5:
        h5.attrs["format"] = FORMAT
        h5.attrs["version"] = VERSION
        h5.attrs["encoder"] = encoder.key
        h5.create_dataset("sha256", data=raw, track_times=False)
        h5.create_dataset("x", data=x, track_times=False)
    return buffer.getvalue()


def _open_shard(shard: Path, receipt: Path) -> h5py.File:
    try:
        return h5py.File(shard, "r", locking=False)  # immutable, so nothing to lock against
    except OSError as error:
        raise _damaged(shard, receipt) from error


def _damaged(shard: Path, receipt: Path) -> XprobeError:
    return XprobeError(
        f"{shard}: a shard that is missing or damaged; delete {receipt} and run 'xprobe embed' "
        f"again, which embeds only what was in it"
    )


def read_datasets(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return those of the named data sets that the root of any HDF5 file has, read whole.

    Raises:
        OSError, RuntimeError, TypeError: not an HDF5 file, damaged, or of a type unknown to NumPy.
    """
    with h5py.File(file, "r", locking=False) as h5:
        return {name: h5[name][()] for name in names if isinstance(h5.get(name), h5py.Dataset)}


def write_datasets(file: Path, columns: Mapping[str, Any], about: Mapping[str, str]) -> None:
    """Write arrays into one plain HDF5 file; arrays of objects as UTF-8 text."""
    with h5py.File(file, "w") as h5:
        h5.attrs.update(about)
        for name, values in columns.items():
            kind = h5py.string_dtype() if values.dtype == object else values.dtype
            h5.create_dataset(name, data=values, dtype=kind)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def put(file: Path, content: bytes) -> None:
    """Write a whole file: under its name there is the old content or all of the new."""
    temporary = _write_temporary(file, content)
    try:
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def create_if_absent(file: Path, content: bytes) -> bool:
    """Write a whole file unless there is one; return whether this call made it."""
    temporary = _write_temporary(file, content)
    try:
        os.link(temporary, file)
    except FileExistsError:
        return False
    except OSError:  # no hard links here (exFAT, some mounts): the last writer wins
        if file.exists():
            return False
        temporary.replace(file)
        return True
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write_temporary(file: Path, content: bytes) -> Path:
    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(file)
        raise
    return temporary


def _sweep_stale(folder: Path) -> None:
    for part in ("shards", "receipts"):
        for file in (folder / part).glob(".tmp-*"):
            try:
                if time.time() - file.stat().st_mtime > _STALE_S:
                    file.unlink()
            except OSError:  # another process was faster
                continue
