"""The feature store (docs/reference/store.md): immutable HDF5 shards with receipts.

A shard and its receipt are each put whole or not at all, so a process may be killed at any
instant, and several may write into one store at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xprobe.base import documents
from xprobe.base.arrays import UNREADABLE, Floats, Strings, digest_of, frozen_strings
from xprobe.base.atomic import create_if_absent, discard_stale, put
from xprobe.base.errors import XprobeError, did_you_mean, first_few, first_line
from xprobe.encoders.names import Named, titles_of
from xprobe.encoders.prompts import TextFeatures
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.catalogue import UnusableEncoder, encoders_called, read_catalogue
from xprobe.features.inside import listed, read_bytes, read_record
from xprobe.features.records import (
    FORMAT,
    VERSION,
    Agreement,
    EncoderRecord,
    Failure,
    Marker,
    Receipt,
    TextRecord,
    decoders,
)
from xprobe.features.shards import (
    Index,
    Places,
    Shard,
    ShardError,
    StoredEncoder,
    StoredRows,
    shard_bytes,
)
from xprobe.images.manifest import Manifest

_EMBED_AGAIN = "delete it and run 'xprobe embed' again"

_NO_MARKER = (
    f"not the marker of a feature store; name another folder, or write it anew: "
    f'{{"format": "{FORMAT}", "version": {VERSION}}}'
)


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


class Store:
    """A folder of features, one sub-folder per encoder key."""

    def __init__(self, folder: str | Path, *, create: bool = False) -> None:
        """Open a store, or make it.

        Raises:
            XprobeError: the folder is no store and `create` is false, or it has a newer format.
        """
        self.folder = Path(folder)
        marker = self.folder / "format.json"
        if create and not marker.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            content = documents.encode(Marker(format=FORMAT, version=VERSION))
            create_if_absent(marker, content)
        try:
            kind = read_record(Marker, marker, _NO_MARKER)
        except FileNotFoundError as error:
            raise XprobeError(
                f"{self.folder}: no feature store; make one with 'xprobe embed', or name another "
                f"with --features"
            ) from error
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
        """Return every encoder of the store that can be used, sorted by name and key."""
        return read_catalogue(self.folder).known

    def unusable_encoders(self) -> list[UnusableEncoder]:
        """Return the encoders of a newer xprobe, and those whose record is damaged."""
        return read_catalogue(self.folder).unusable

    def labels(self) -> dict[str, str]:
        """Return key → the name to show: ``name``, or ``name@key`` where two share a name."""
        encoders = self.encoders()
        names = [e.name for e in encoders]
        return {
            e.key: e.name if names.count(e.name) == 1 else f"{e.name}@{e.key[:8]}" for e in encoders
        }

    def titles(self) -> dict[str, str]:
        """Return key → what the encoder is called where people read: its alias, or a short name."""
        return titles_of([Named(e.key, e.name, e.alias) for e in self.encoders()])

    def find(self, name: str) -> list[StoredEncoder]:
        """Return the encoders of a name or alias, or of it with ``@`` and the beginning of a key.

        Raises:
            XprobeError: no encoder has the name, or it cannot be used.
        """
        catalogue = read_catalogue(self.folder)
        if encoders := encoders_called(name, catalogue.known):
            return encoders
        for called in (name, _slug(name)):
            if unusable := encoders_called(called, catalogue.unusable):
                raise XprobeError(str(unusable[0]))
        short, names = name.rpartition("@")[0], [encoder.name for encoder in catalogue.known]
        embedded = short if short in names else name
        known = sorted({*names, *filter(None, (encoder.alias for encoder in catalogue.known))})
        raise XprobeError(
            f"{self.folder} has no features of {name!r}{did_you_mean(name, known)}; make them with "
            f"'xprobe embed --encoder {embedded}' (there are: {first_few(known, 9)})"
        )

    def has(self, name: str) -> bool:
        """Return whether an encoder has a name, as `find` takes it, be it of use or not."""
        catalogue = read_catalogue(self.folder)
        return bool(
            encoders_called(name, catalogue.known) or encoders_called(name, catalogue.unusable)
        )

    def add_encoder(self, name: str, spec: EncoderSpec) -> StoredEncoder:
        """Return the stored encoder of a spec, made if it is new.

        Raises:
            XprobeError: a newer xprobe added to this spec, or the record of it is damaged.
        """
        if not spec.is_known:
            raise ValueError(f"unknown resize mode, precision or field: {spec}")
        catalogue = read_catalogue(self.folder)
        for stored in catalogue.known:
            if stored.key == spec.key:
                return stored
        for unusable in catalogue.unusable:
            if spec.key == unusable.key or unusable.folder.name.endswith(f"-{spec.key[:16]}"):
                raise XprobeError(str(unusable))
        folder = self.folder / f"{_slug(name)}-{spec.key[:16]}"
        for part in ("shards", "receipts"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        record = EncoderRecord(name=name, key=spec.key, spec=spec)
        create_if_absent(folder / "encoder.json", documents.encode(record))
        return StoredEncoder(name, spec.key, spec, folder)

    def index(self, encoder: StoredEncoder) -> Index:
        """Return what the store holds of an encoder.

        Of rows with equal content, the one of the first receipt in order of name counts. Where `gc`
        puts rows into other shards meanwhile, reading begins anew.

        Raises:
            ShardError, XprobeError: a receipt or a shard is damaged, or cannot be read now.
        """
        while True:
            files = self.receipt_files(encoder)
            try:
                return self._index_of(encoder, files)
            except FileNotFoundError:
                continue
            except ShardError as error:
                if not error.is_gone or set(files) <= set(self.receipt_files(encoder)):
                    raise

    def _index_of(self, encoder: StoredEncoder, files: Sequence[Path]) -> Index:
        """Return what some receipts say of an encoder.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        shards: list[tuple[Shard, NDArray[np.uint8]]] = []
        failed: dict[str, str] = {}
        settled: set[str] = set()
        for file in files:
            receipt = self.receipt(file)
            for failure in receipt.failed:
                failed[failure.sha256] = failure.reason
                if receipt.decoders == decoders():
                    settled.add(failure.sha256)
            if shard := self.shard(encoder, file, receipt):
                shards.append((shard, shard.digests()))
        rows = Places(shards, partial(self._places, encoder))
        failed = {digest: reason for digest, reason in failed.items() if digest not in rows}
        return Index(rows, failed, frozenset(failed) - settled, tuple(files))

    def _places(self, encoder: StoredEncoder) -> Places:
        """Return where the rows of an encoder lie."""
        return self.index(encoder).rows

    def receipt_files(self, encoder: StoredEncoder) -> list[Path]:
        """Return the receipts of an encoder in order of name."""
        return listed(encoder.folder / "receipts", ".json")

    def receipt(self, file: Path) -> Receipt:
        """Read a receipt.

        Raises:
            FileNotFoundError: it is gone.
            XprobeError: the receipt is damaged, cannot be read now, or has a newer version.
        """
        return read_record(Receipt, file, _EMBED_AGAIN, VERSION)

    @staticmethod
    def shard(encoder: StoredEncoder, file: Path, receipt: Receipt) -> Shard | None:
        """Return the shard that a receipt names, if it names one."""
        if receipt.shard is None:
            return None
        return Shard(encoder, receipt.shard, file, receipt.rows, receipt.bytes, receipt.sha256)

    def write_shard(
        self,
        encoder: StoredEncoder,
        digests: Sequence[str],
        x: Floats,
        failed: Mapping[str, str],
        *,
        failed_under: str | None = None,
    ) -> Path:
        """Write one shard and its receipt, unless the same contents have a receipt.

        Args:
            encoder: the encoder that the features are of.
            digests: (n,) digests of the contents.
            x: (n, d) features of the contents.
            failed: digest → reason of contents that cannot be embedded.
            failed_under: decoders under which these failed; default those of today; ``""``: not
                known.

        Returns:
            The file of the receipt.
        """
        failed_under = decoders() if failed_under is None else failed_under
        # A content that fails again under other decoders needs another receipt.
        failures = [f"{digest} {failed_under}".strip() for digest in failed]
        shard_key = digest_of([encoder.key, sorted([*digests, *failures])])
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
        record = Receipt(
            version=VERSION,
            shard=name,
            rows=len(digests),
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            failed=tuple(Failure(sha256=d, reason=why) for d, why in sorted(failed.items())),
            decoders=failed_under if failed else "",
        )
        self.put_receipt(receipt, record, content)
        return receipt

    @staticmethod
    def put_receipt(file: Path, receipt: Receipt, content: bytes) -> None:
        """Put the content of a shard, if there is one, and then its receipt."""
        if receipt.shard is None:
            create_if_absent(file, documents.encode(receipt))
            return
        shard = file.parent.with_name("shards") / receipt.shard
        put(shard, content)
        create_if_absent(file, documents.encode(receipt))
        if not shard.exists():  # `gc` has deleted an older one of this name at the same moment.
            put(shard, content)

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
            remedy = (
                "import-features FILE --encoder-name" if encoder.is_imported else "embed --encoder"
            )
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
            return read_record(Agreement, file, "delete it: no feature depends on it")
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
            XprobeError: the file of text features is damaged, or cannot be read now.
        """
        file = self._text_file(encoder, classes)
        try:
            content = read_bytes(file)
        except FileNotFoundError:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                record = documents.parse(TextRecord, str(arrays["about"]))
                text = TextFeatures(record.classes, arrays["x"], record.logit_scale, record.prompts)
            if text.classes != tuple(classes) or text.x.ndim != 2:
                raise ValueError("features of other classes")
        except (*UNREADABLE, MemoryError) as error:
            raise XprobeError(
                f"{file}: damaged ({first_line(error)}); delete it and run 'xprobe embed "
                f"--prompts' again"
            ) from error
        return text

    @staticmethod
    def _text_file(encoder: StoredEncoder, classes: Sequence[str]) -> Path:
        return encoder.folder / "text" / f"{digest_of(list(classes))[:32]}.npz"


def _slug(name: str) -> str:
    """Return what the folder of an encoder's name begins with."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[-40:]
