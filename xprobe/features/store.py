"""The feature store (docs/reference/store.md): immutable HDF5 shards with receipts.

A shard and its receipt are each put whole or not at all, so a process may be killed at any
instant, and several may write into one store at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Floats, Strings, digest_of, frozen_strings
from xprobe.base.atomic import create_if_absent, discard_stale, put
from xprobe.base.errors import XprobeError, nearest, some
from xprobe.encoders.load import canonical
from xprobe.encoders.prompts import TextFeatures
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.shards import (
    FORMAT,
    VERSION,
    Index,
    Places,
    StoredEncoder,
    StoredRows,
    damaged,
    open_shard,
    shard_bytes,
)
from xprobe.images.manifest import Manifest


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
            raise XprobeError(f"features that are not finite: {some(bad)}")


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
        with open_shard(shard, shard) as h5:
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
        for part in ("shards", "receipts"):
            discard_stale(encoder.folder / part)
        name = None
        content = b""
        if len(digests):
            content = shard_bytes(encoder, digests, x)
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
        self, encoder: StoredEncoder, manifest: Manifest, index: Index | None = None
    ) -> tuple[Strings, StoredRows, dict[str, str]]:
        """Return ids, features and failures as `read` does, but without reading the features.

        `index` is that of the encoder, if it was read before: it takes a look at every shard.
        """
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


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def choose_encoders(
    store: Store, manifest: Manifest, names: Sequence[str]
) -> list[tuple[StoredEncoder, Index]]:
    """Return the stored encoders of some names, or all that have features of a manifest.

    Each comes with its index, which takes a look at every shard, so that it is read once.

    Raises:
        XprobeError: there are none.
    """
    if names:
        named = [encoder for name in names for encoder in store.find(canonical(name))]
        distinct = {encoder.key: encoder for encoder in named}.values()
        chosen = [(encoder, store.index(encoder)) for encoder in distinct]
    else:
        every = ((encoder, store.index(encoder)) for encoder in store.encoders())
        chosen = [(e, i) for e, i in every if any(d in i.rows for d in manifest.sha256)]
    if not chosen:
        raise XprobeError(
            f"{store.folder} has no features of these images; run 'xprobe embed' first"
        )
    return chosen
