"""The feature store (docs/reference/store.md): immutable HDF5 shards with receipts.

A shard and its receipt are each put whole or not at all, so a process may be killed at any
instant, and several may write into one store at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from xprobe.base import documents
from xprobe.base.arrays import UNREADABLE, Floats, Strings, digest_of, frozen_strings
from xprobe.base.atomic import create_if_absent, discard_stale, put
from xprobe.base.errors import XprobeError, XprobeWarning, did_you_mean, first_few
from xprobe.encoders.load import canonical
from xprobe.encoders.prompts import TextFeatures
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.records import (
    FORMAT,
    VERSION,
    Agreement,
    EncoderRecord,
    Failure,
    Marker,
    Receipt,
    TextRecord,
)
from xprobe.features.shards import (
    Index,
    Places,
    StoredEncoder,
    StoredRows,
    damaged,
    open_shard,
    shard_bytes,
)
from xprobe.images.manifest import Manifest

_EMBED_AGAIN = "delete it and run 'xprobe embed' again"

_NO_MARKER = (
    f"not the marker of a feature store; name another folder, or write it anew: "
    f'{{"format": "{FORMAT}", "version": {VERSION}}}'
)

AnyEncoder = TypeVar("AnyEncoder", "StoredEncoder", "NewerEncoder")


@dataclass(frozen=True, eq=False)
class Features:
    """Features of images by id, no labels.

    Attributes:
        encoder: key of the encoder.
        id: (n,) ids.
        x: (n, d) finite, read-only.
    """

    encoder: str
    id: Strings
    x: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", frozen_strings(self.id))
        x = self.x
        if x.flags.writeable:
            x = x.view()
            x.flags.writeable = False
        object.__setattr__(self, "x", x)
        if x.ndim != 2 or len(x) != len(self.id):
            raise ValueError(f"x of shape {x.shape} for {len(self.id)} ids")
        if not np.isfinite(x).all():
            bad = self.id[~np.isfinite(x).all(axis=1)]
            raise XprobeError(f"features that are not finite: {first_few(bad)}")


@dataclass(frozen=True)
class NewerEncoder:
    """An encoder that only a newer xprobe can use: its spec has what this one does not know.

    Attributes:
        name: the name it was embedded under.
        key: digest of its spec.
        folder: where its shards lie.
    """

    name: str
    key: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.folder}: {self.name} was written by a newer xprobe; upgrade this one"


class Store:
    """A folder of features, one sub-folder per encoder key."""

    def __init__(self, folder: str | Path, *, create: bool = False) -> None:
        """Open a store, or make it.

        Raises:
            XprobeError: the folder is no store and `create` is false, or it has a newer format.
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
            content = documents.encode(Marker(format=FORMAT, version=VERSION))
            create_if_absent(marker, content)
        kind = documents.read(Marker, marker, _NO_MARKER)
        if kind.format != FORMAT:
            raise XprobeError(
                f"{marker}: not the marker of a feature store, but of {kind.format!r}; name "
                f"another folder"
            )
        if kind.version > VERSION:
            raise XprobeError(
                f"{self.folder}: a feature store of format {kind.version}, and this xprobe reads "
                f"up to {VERSION}; upgrade xprobe, or embed into another folder with --out"
            )

    def encoders(self) -> list[StoredEncoder]:
        """Return every encoder of the store that this xprobe knows, sorted by name and key.

        Raises:
            XprobeError: the record of an encoder is damaged.
        """
        return self._sorted_encoders()[0]

    def newer_encoders(self) -> list[NewerEncoder]:
        """Return the encoders that only a newer xprobe can use, sorted by name and key."""
        return self._sorted_encoders()[1]

    def _sorted_encoders(self) -> tuple[list[StoredEncoder], list[NewerEncoder]]:
        known: list[StoredEncoder] = []
        newer: list[NewerEncoder] = []
        for file in self.folder.glob("*/encoder.json"):
            record = documents.read(EncoderRecord, file, _EMBED_AGAIN)
            if not record.spec.unknown and record.key != record.spec.key:
                raise XprobeError(
                    f"{file}: damaged ($.key is not the digest of $.spec); {_EMBED_AGAIN}"
                )
            if record.spec.is_known:
                known.append(StoredEncoder(record.name, record.key, record.spec, file.parent))
            else:
                newer.append(NewerEncoder(record.name, record.key, file.parent))
        known.sort(key=lambda encoder: (encoder.name, encoder.key))
        newer.sort(key=lambda encoder: (encoder.name, encoder.key))
        return known, newer

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
            XprobeError: no encoder has the name, or only a newer xprobe can use it.
        """
        known, newer = self._sorted_encoders()
        if encoders := _encoders_called(name, known):
            return encoders
        if out_of_use := _encoders_called(name, newer):
            raise XprobeError(str(out_of_use[0]))
        short, names = name.rpartition("@")[0], [encoder.name for encoder in known]
        embedded = short if short in names else name
        raise XprobeError(
            f"{self.folder} has no features of {name!r}{did_you_mean(name, names)}; make them with "
            f"'xprobe embed --encoder {embedded}' (there are: {first_few(sorted(set(names)), 9)})"
        )

    def add_encoder(self, name: str, spec: EncoderSpec) -> StoredEncoder:
        """Return the stored encoder of a spec, made if it is new.

        Raises:
            XprobeError: a newer xprobe added to this spec.
        """
        if not spec.is_known:
            raise ValueError(f"unknown resize mode, precision or field: {spec}")
        known, newer = self._sorted_encoders()
        for stored in known:
            if stored.key == spec.key:
                return stored
        for out_of_use in newer:
            if out_of_use.key == spec.key:
                raise XprobeError(str(out_of_use))
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[-40:]
        folder = self.folder / f"{slug}-{spec.key[:16]}"
        for part in ("shards", "receipts"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        record = EncoderRecord(name=name, key=spec.key, spec=spec)
        create_if_absent(folder / "encoder.json", documents.encode(record))
        return StoredEncoder(name, spec.key, spec, folder)

    def index(self, encoder: StoredEncoder) -> Index:
        """Return what the store holds of an encoder.

        Of rows with equal content, the one of the first receipt in order of name counts.
        """
        shards: list[tuple[Path, NDArray[np.uint8]]] = []
        failed: dict[str, str] = {}
        for file in self.receipt_files(encoder):
            receipt = self.receipt(file)
            failed.update({failure.sha256: failure.reason for failure in receipt.failed})
            if receipt.shard is None:
                continue
            shard = encoder.folder / "shards" / receipt.shard
            with open_shard(shard, file) as h5:
                digests = h5["sha256"][:]
            if len(digests) != receipt.rows:
                raise damaged(shard, file)
            shards.append((shard, digests))
        rows = Places(shards)
        return Index(rows, {d: reason for d, reason in failed.items() if d not in rows})

    def receipt_files(self, encoder: StoredEncoder) -> list[Path]:
        """Return the receipts of an encoder in order of name."""
        return sorted((encoder.folder / "receipts").glob("*.json"))

    def receipt(self, file: Path) -> Receipt:
        """Read a receipt.

        Raises:
            XprobeError: the receipt is damaged, or has a newer version.
        """
        return documents.read(Receipt, file, _EMBED_AGAIN, VERSION)

    def receipts(self, encoder: StoredEncoder) -> Iterator[Receipt]:
        """Yield the receipts of an encoder."""
        return (self.receipt(file) for file in self.receipt_files(encoder))

    def read_shard(
        self, encoder: StoredEncoder, receipt: Receipt
    ) -> tuple[NDArray[np.uint8], Floats]:
        """Return digests (n, 32) and features (n, d) of a shard.

        Raises:
            XprobeError: the shard does not open.
        """
        shard = encoder.folder / "shards" / str(receipt.shard)
        with open_shard(shard, shard) as h5:
            return h5["sha256"][:], h5["x"][:]

    def write_shard(
        self,
        encoder: StoredEncoder,
        digests: Sequence[str],
        x: Floats,
        failed: Mapping[str, str],
    ) -> Path:
        """Write one shard and its receipt, unless the same contents have a receipt.

        Args:
            encoder: the encoder that the features are of.
            digests: (n,) digests of the contents.
            x: (n, d) features of the contents.
            failed: digest → reason of contents that cannot be embedded.

        Returns:
            The file of the receipt.
        """
        shard_key = digest_of([encoder.key, sorted([*digests, *failed])])
        receipt = encoder.folder / "receipts" / f"{shard_key[:32]}.json"
        if receipt.exists():
            return receipt
        for part in ("shards", "receipts"):
            discard_stale(encoder.folder / part)
        name = None
        content = b""
        if len(digests):
            content = shard_bytes(encoder, digests, x)
            name = f"{shard_key[:16]}-{hashlib.sha256(content).hexdigest()[:16]}.h5"
            put(encoder.folder / "shards" / name, content)
        record = Receipt(
            version=VERSION,
            shard=name,
            rows=len(digests),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            failed=tuple(Failure(sha256=d, reason=why) for d, why in sorted(failed.items())),
        )
        create_if_absent(receipt, documents.encode(record))
        return receipt

    def read(
        self, encoder: StoredEncoder, manifest: Manifest, index: Index | None = None
    ) -> tuple[Features, dict[str, str]]:
        """Return the features of a manifest's images, and id → reason of those that have none.

        `index` is that of the encoder, if it was read before: reading it opens every shard.

        Raises:
            XprobeError: images were never embedded, or none of them can be.
        """
        ids, stored, failed = self.locate(encoder, manifest, index)
        x = stored[np.arange(len(stored))]
        x.flags.writeable = False
        return Features(encoder.key, ids, x), failed

    def locate(
        self, encoder: StoredEncoder, manifest: Manifest, index: Index | None = None
    ) -> tuple[Strings, StoredRows, dict[str, str]]:
        """Return ids, features and failures as `read` does, but without reading the features."""
        index = self.index(encoder) if index is None else index
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
                f"({first_few(missing, 3)}); run 'xprobe {remedy} {encoder.name}' first"
            )
        if failed and not wanted:
            id_, reason = next(iter(failed.items()))
            raise XprobeError(
                f"none of the {len(manifest)} images can be used with {encoder.name}; the first, "
                f"{id_}: {reason}"
            )
        ids = np.array([i for i, _ in wanted], dtype=object)
        return ids, index.stored_rows([d for _, d in wanted], encoder.spec.dim), failed

    def agreement(self, encoder: StoredEncoder) -> Agreement | None:
        """Return how near features by a short cut are to the exact ones; None without a short cut.

        Raises:
            XprobeError: the file that says so is damaged.
        """
        file = encoder.folder / "agreement.json"
        try:
            return documents.read(Agreement, file, "delete it: no feature depends on it")
        except FileNotFoundError:
            return None

    def put_agreement(self, encoder: StoredEncoder, agreement: Agreement) -> None:
        """Write how near the features are to those computed without a short cut."""
        documents.write(encoder.folder / "agreement.json", agreement)

    def put_text(self, encoder: StoredEncoder, text: TextFeatures) -> None:
        """Write the text features of a list of classes, in place of earlier ones."""
        record = TextRecord(
            classes=text.classes, prompts=text.prompts, logit_scale=text.logit_scale
        )
        buffer = io.BytesIO()
        np.savez(buffer, x=text.x, about=np.array(json.dumps(documents.to_json(record))))
        file = self._text_file(encoder, text.classes)
        file.parent.mkdir(parents=True, exist_ok=True)
        put(file, buffer.getvalue())

    def read_text(self, encoder: StoredEncoder, classes: Sequence[str]) -> TextFeatures | None:
        """Return the text features of exactly these classes, or None if there are none.

        Raises:
            XprobeError: the file of text features is damaged.
        """
        file = self._text_file(encoder, classes)
        try:
            # NumPy itself would leave a damaged file open.
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                record = documents.parse(TextRecord, str(arrays["about"]))
                text = TextFeatures(record.classes, arrays["x"], record.logit_scale, record.prompts)
            if text.classes != tuple(classes) or text.x.ndim != 2:
                raise ValueError("features of other classes")
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise XprobeError(
                f"{file}: damaged ({reason}); delete it and run 'xprobe embed --prompts' again"
            ) from error
        return text

    @staticmethod
    def _text_file(encoder: StoredEncoder, classes: Sequence[str]) -> Path:
        return encoder.folder / "text" / f"{digest_of(list(classes))[:32]}.npz"


def _encoders_called(name: str, encoders: Sequence[AnyEncoder]) -> list[AnyEncoder]:
    """Return the encoders of a name, or of ``name@`` and the beginning of a key."""
    short, _, key = name.rpartition("@")
    return [encoder for encoder in encoders if encoder.name == name] or [
        encoder for encoder in encoders if encoder.name == short and encoder.key.startswith(key)
    ]


def choose_encoders(
    store: Store, manifest: Manifest, names: Sequence[str]
) -> list[tuple[StoredEncoder, Index]]:
    """Return the stored encoders of some names, or all that have features of a manifest.

    Each comes with its index, because reading one opens every shard. Without names, encoders that
    only a newer xprobe can use are left out, with a warning.

    Raises:
        XprobeError: no encoder has features of these images.
    """
    if names:
        named = [encoder for name in names for encoder in store.find(canonical(name))]
        distinct = {encoder.key: encoder for encoder in named}.values()
        chosen = [(encoder, store.index(encoder)) for encoder in distinct]
    else:
        every = ((encoder, store.index(encoder)) for encoder in store.encoders())
        chosen = [(e, i) for e, i in every if any(d in i.rows for d in manifest.sha256)]
        for out_of_use in store.newer_encoders():
            warnings.warn(f"{out_of_use}; until then it is left out", XprobeWarning, stacklevel=2)
    if not chosen:
        raise XprobeError(
            f"{store.folder} has no features of these images; run 'xprobe embed' first"
        )
    return chosen
