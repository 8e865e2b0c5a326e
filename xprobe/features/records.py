"""The JSON of a feature store, as values (docs/reference/store.md)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Annotated, ClassVar

import msgspec

from xprobe import __version__
from xprobe.base.documents import Document, Number
from xprobe.encoders.spec import EncoderSpec

FORMAT = "xprobe-features"

VERSION = 1

# In Python `$` matches before a last line feed, too, which is part of neither.
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]

SHARD_NAME = r"^[0-9a-f]{16}-[0-9a-f]{16}\.h5$(?!\n)"

ShardName = Annotated[str, msgspec.Meta(pattern=SHARD_NAME)]

Amount = Annotated[int, msgspec.Meta(ge=0)]


@cache
def decoders() -> str:
    """Return the versions of xprobe and Pillow, which decide whether an image can be decoded."""
    return f"xprobe {__version__}, Pillow {version('Pillow')}"


class Marker(Document, frozen=True, kw_only=True):
    """The marker of a feature store, ``format.json``, which makes a folder a store."""

    format: str
    version: int


class EncoderRecord(Document, frozen=True, kw_only=True):
    """An encoder that a store has features of: ``encoder.json``.

    Attributes:
        name: the name it was embedded under.
        key: digest of its spec.
        spec: the fields that decide its features.
        alias: short name that somebody gave it; it decides no feature, and may be changed.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("alias",)

    name: str
    key: Digest
    spec: EncoderSpec
    alias: str = ""


class Failure(Document, frozen=True, kw_only=True):
    """A content that cannot be embedded.

    Attributes:
        sha256: digest of the content.
        reason: why it cannot be embedded.
    """

    sha256: Digest
    reason: str


class Receipt(Document, frozen=True, kw_only=True):
    """The receipt of a shard, without which its rows do not count.

    Attributes:
        version: version of the format of the store.
        shard: name of its file; None if all contents failed.
        rows, bytes, sha256: number of rows, size and digest of that file.
        failed: contents that cannot be embedded.
        decoders: versions of xprobe and of Pillow under which these failed; other ones may succeed.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("decoders",)

    version: Amount
    shard: ShardName | None
    rows: Amount
    bytes: Amount
    sha256: Digest
    failed: tuple[Failure, ...]
    decoders: str = ""

    def __post_init__(self) -> None:
        if (self.shard is None) != (self.rows == 0):
            raise ValueError(f"{self.rows} rows in the shard {self.shard}")


class Agreement(Document, frozen=True, kw_only=True):
    """How near features that were made by a short cut are to the exact ones.

    Attributes:
        images: number of images that were compared.
        least_cosine: least cosine of a feature with the exact one of the same image.
    """

    images: Amount
    least_cosine: Number


class TextRecord(Document, frozen=True, kw_only=True):
    """The record beside the text features of a set of classes.

    Attributes:
        classes: names of the classes, in order of the rows.
        prompts: name of the prompts.
        logit_scale: factor by which the encoder multiplies cosines.
    """

    classes: tuple[str, ...]
    prompts: str
    logit_scale: Number


class TextsRecord(Document, frozen=True, kw_only=True):
    """The record beside the features of single texts.

    Attributes:
        version: version of the format of the store.
        encoder: key of the encoder.
        logit_scale: factor by which the encoder multiplies cosines.
    """

    version: Amount
    encoder: Digest
    logit_scale: Number
