"""What commands print with ``--json`` (docs/schema), where no other module has it as its answer."""

from __future__ import annotations

import msgspec

from xprobe.base.documents import Document, Number
from xprobe.features.items import EmbeddedEncoder, EncoderOutcome
from xprobe.features.upkeep import Collected, Held, Verified
from xprobe.images.survey import Count, Shape


class Scan(Document, frozen=True, kw_only=True):
    """Output of ``xprobe scan --json``.

    Attributes:
        images: how many there are.
        taken_as: what published data sets were taken as, a line each.
        warnings: what looks wrong.
    """

    images: int
    taken_as: tuple[str, ...] = ()
    counts: tuple[Count, ...]
    formats: tuple[Shape, ...]
    warnings: tuple[str, ...]


class Embed(Document, frozen=True, kw_only=True):
    """Output of ``xprobe embed --json``.

    Attributes:
        store: folder of the features.
    """

    store: str
    encoders: tuple[EmbeddedEncoder, ...]


class ImportFeatures(Document, frozen=True, kw_only=True):
    """Output of ``xprobe import-features --json``.

    Attributes:
        store: folder of the features.
        unmatched_rows: rows of the file whose image the manifest lacks, or cannot be read.
        missing_images: readable images of the manifest that the file has no row of.
        nearly_equal_rows: rows of files that an earlier row is of, too, and whose last bits differ.
        rounded_rows: rows with numbers that float32 rounds, or holds as zero.
        zero_rows: rows that hold nothing but zeros.
    """

    store: str
    encoders: tuple[EncoderOutcome, ...]
    unmatched_rows: int
    missing_images: int
    nearly_equal_rows: int
    rounded_rows: int
    zero_rows: int


class TileCount(Document, frozen=True, kw_only=True):
    """How many tiles of a class and event a step of the selection leaves.

    Attributes:
        class_: class of the tiles.
        event: event that they show.
        step: what was asked for, such as ``damage any``, or the part that they are in.
        n: number of tiles.
    """

    class_: str = msgspec.field(name="class")
    event: str
    step: str
    n: int


class ImportXbd(Document, frozen=True, kw_only=True):
    """Output of ``xprobe import xbd --json``.

    Attributes:
        table: the file that was written.
        images: rows of the table, twins from before an event among them.
        splits: what the test part is.
        seed: what every random choice follows from.
        notes: what was drawn, and how to go on.
        warnings: what was left out, and what looks wrong.
    """

    table: str
    images: int
    splits: str
    seed: int
    counts: tuple[TileCount, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class ListedStudy(Document, frozen=True, kw_only=True):
    """What a study is of.

    Attributes:
        id: its id, for which its files are named.
        name: short name that somebody gave it; empty: none.
        encoder, head: what was trained.
        alias: short name of the encoder, by which people read it.
        seeds: seeds whose repeats it holds.
        per_class: real images of each class that were studied; None: all.
        real_fraction, train_per_class: part of the real images that was trained on.
        protocol: how it was tested, in words.
        n_train_real, n_test: numbers of real images, on average over folds.
        ratios, generators: what was mixed in.
        images: fingerprint of the image table.
        created, command: when and by which command it was made.
        version: the rules by which it was judged.
        shown: whether a report of these results shows it; `why` says why not.
        files: its files, those of predictions left out.
    """

    id: str
    name: str
    encoder: str
    alias: str
    head: str
    seeds: tuple[int, ...]
    per_class: int | None
    real_fraction: Number
    train_per_class: int | None
    protocol: str
    n_train_real: Number
    n_test: int
    ratios: tuple[Number, ...]
    generators: tuple[str, ...]
    images: str
    created: str
    command: str
    version: int
    shown: bool
    why: str
    files: tuple[str, ...]


class Studies(Document, frozen=True, kw_only=True):
    """Output of ``xprobe studies --json``."""

    studies: tuple[ListedStudy, ...]


class OutOfUse(Document, frozen=True, kw_only=True):
    """An encoder that only a newer xprobe can use.

    Attributes:
        name: the name it was embedded under.
        key: digest of all that decides its features.
    """

    name: str
    key: str


class StoreInfo(Document, frozen=True, kw_only=True):
    """Output of ``xprobe store info --json``.

    Attributes:
        store: folder of the features.
        newer: encoders that only a newer xprobe can use.
        damaged: a line for each encoder whose record is damaged or cannot be read.
    """

    store: str
    encoders: tuple[Held, ...]
    newer: tuple[OutOfUse, ...] = ()
    damaged: tuple[str, ...] = ()


class StoreVerify(Document, frozen=True, kw_only=True):
    """Output of ``xprobe store verify --json``.

    Attributes:
        store: folder of the features.
    """

    store: str
    encoders: tuple[Verified, ...]


class MergedEncoder(Document, frozen=True, kw_only=True):
    """What of an encoder was new to the store that it was merged into.

    Attributes:
        from_: folder of the store that it was copied from.
        name: name of the encoder.
        alias: short name by which people read it.
        key: digest of all that decides its features.
        shards: number of shards that were copied.
        rows: number of rows in them.
        texts: number of captions and prompts whose features were copied.
    """

    from_: str = msgspec.field(name="from")
    name: str
    alias: str
    key: str
    shards: int
    rows: int
    texts: int


class StoreMerge(Document, frozen=True, kw_only=True):
    """Output of ``xprobe store merge --json``.

    Attributes:
        store: folder that was copied into.
    """

    store: str
    merged: tuple[MergedEncoder, ...]


class StoreExport(Document, frozen=True, kw_only=True):
    """Output of ``xprobe store export --json``.

    Attributes:
        file: path of the file, or of the folder of a data set, that was written.
        name: name of the encoder.
        key: digest of all that decides its features.
        rows: number of rows in the file.
        images: number of images whose content a data set has; None: it is a file.
        warnings: what a data set lacks, and why.
    """

    file: str
    name: str
    key: str
    rows: int
    images: int | None = None
    warnings: tuple[str, ...] = ()


class StoreGc(Document, frozen=True, kw_only=True):
    """Output of ``xprobe store gc --json``.

    Attributes:
        store: folder of the features.
    """

    store: str
    encoders: tuple[Collected, ...]


class ListedEncoder(Document, frozen=True, kw_only=True):
    """What is known of an encoder before it is loaded.

    Attributes:
        name: short name.
        source: long name, or ``import-only``.
        dim: features of an image.
        dim_pooled: features of an image before the projection; None: it has none.
        input_px: side of the square image that it sees, pixels.
        activation: activation function, for architectures that exist with several; else None.
        licence: licence of the weights.
        local: whether the weights are on this machine.
        note: what else to know.
    """

    name: str
    source: str
    dim: int
    dim_pooled: int | None
    input_px: int
    activation: str | None
    licence: str
    local: bool
    note: str


class Encoders(Document, frozen=True, kw_only=True):
    """Output of ``xprobe encoders --json``."""

    encoders: tuple[ListedEncoder, ...]


class FetchedEncoder(Document, frozen=True, kw_only=True):
    """An encoder whose weights are on this machine.

    Attributes:
        name: the name that was asked for.
        source: long name.
        dim: features of an image.
        key: digest of all that decides its features.
    """

    name: str
    source: str
    dim: int
    key: str


class Fetched(Document, frozen=True, kw_only=True):
    """Output of ``xprobe encoders fetch --json``."""

    encoders: tuple[FetchedEncoder, ...]
