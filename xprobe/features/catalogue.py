"""The encoders of a store: one folder for each, with the record of what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xprobe.base.errors import XprobeError, cannot_read
from xprobe.encoders.names import short_names
from xprobe.features.inside import leads_outside, read_record
from xprobe.features.records import EncoderRecord
from xprobe.features.shards import StoredEncoder

RECORD_REMEDY = "delete it and run 'xprobe embed' again, which writes it anew"


@dataclass(frozen=True)
class UnusableEncoder:
    """An encoder of the store that cannot be used; the others can.

    Attributes:
        name: the name it was embedded under, or what its folder's begins with if that is damaged.
        key: digest of its spec, or the digits of it that its folder's name ends with.
        folder: where its shards lie.
        reason: one line that says why, with the remedy.
        is_newer: whether a newer xprobe wrote it, so that nothing is wrong with it.
    """

    name: str
    key: str
    folder: Path
    reason: str
    is_newer: bool

    def __str__(self) -> str:
        return self.reason


AnyEncoder = TypeVar("AnyEncoder", StoredEncoder, UnusableEncoder)


@dataclass(frozen=True)
class Catalogue:
    """The encoders of a store, sorted by name and key.

    Attributes:
        known: those that can be used.
        unusable: those that cannot.
    """

    known: list[StoredEncoder]
    unusable: list[UnusableEncoder]


def read_catalogue(store: Path) -> Catalogue:
    """Read what encoders a store has.

    Raises:
        XprobeError: the folder of the store cannot be listed.
    """
    try:
        folders = list(store.iterdir())
    except OSError as error:
        raise cannot_read(store, error) from error
    catalogue = Catalogue([], [])
    for folder in folders:
        encoder = _encoder_of(folder, store)
        if isinstance(encoder, StoredEncoder):
            catalogue.known.append(encoder)
        elif encoder is not None:
            catalogue.unusable.append(encoder)
    catalogue.known.sort(key=lambda encoder: (encoder.name, encoder.key))
    catalogue.unusable.sort(key=lambda encoder: (encoder.name, encoder.key))
    return catalogue


def _encoder_of(folder: Path, store: Path) -> StoredEncoder | UnusableEncoder | None:
    """Return the encoder of a folder, if it is one."""
    file = folder / "encoder.json"
    name, _, digits = folder.name.rpartition("-")
    if not folder.is_dir():
        return None
    try:
        record = read_record(EncoderRecord, file, RECORD_REMEDY)
        name, digits = record.name, record.key
        for part in (folder, *(folder / part for part in ("shards", "receipts", "text"))):
            if leads_outside(part, store):
                raise XprobeError(
                    f"{part}: a link that leads out of the store; put the folder itself there "
                    f"(such as by 'cp -rL')"
                )
        if not record.spec.unknown and record.key != record.spec.key:
            raise XprobeError(
                f"{file}: damaged ($.key is not the digest of $.spec); {RECORD_REMEDY}"
            )
        if not record.spec.is_known:
            reason = f"{folder}: {name} was written by a newer xprobe; upgrade this one"
            return UnusableEncoder(name, record.key, folder, reason, is_newer=True)
        return StoredEncoder(record.name, record.key, record.spec, folder, record.alias)
    except FileNotFoundError:
        return None
    except XprobeError as error:
        reason = str(error)
    return UnusableEncoder(name, digits, folder, reason, is_newer=False)


def encoders_called(name: str, encoders: Sequence[AnyEncoder]) -> list[AnyEncoder]:
    """Return the encoders of a name, or of ``name@`` and the beginning of a key.

    A whole name goes before an alias, and an alias before a short name that was made.
    """
    start, _, key = name.rpartition("@")
    for names_of in (_whole_name, _alias, _made_names):
        if encoders_named := [encoder for encoder in encoders if name in names_of(encoder)] or [
            encoder
            for encoder in encoders
            if start in names_of(encoder) and encoder.key.startswith(key)
        ]:
            return encoders_named
    return []


def _whole_name(encoder: StoredEncoder | UnusableEncoder) -> tuple[str, ...]:
    return (encoder.name,)


def _alias(encoder: StoredEncoder | UnusableEncoder) -> tuple[str, ...]:
    return (encoder.alias,) if isinstance(encoder, StoredEncoder) and encoder.alias else ()


def _made_names(encoder: StoredEncoder | UnusableEncoder) -> tuple[str, ...]:
    return short_names(encoder.name)
