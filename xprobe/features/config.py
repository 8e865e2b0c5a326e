"""How images are embedded: what a user may choose, checked once; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from xprobe.base.declared import (
    ALTERNATIVES,
    ENCODING,
    EXECUTION,
    check_least,
    option,
    parse_names,
)
from xprobe.base.errors import OptionError
from xprobe.encoders.presets import PRECISIONS
from xprobe.images.augment import VIEWS


def _parse_batch_size(text: str) -> int | None:
    """Return the number, or None for auto."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("is auto or a number of images")
    return int(text)


def _parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of i/n."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise ValueError("is i/n with i from 1 to n, such as 2/8")
    return int(first), int(second)


def _parse_resampling(text: str) -> str:
    """Return the name that specs of encoders have for this way to resize."""
    if text not in ("exact", "fast"):
        raise ValueError("is exact or fast")
    return "" if text == "exact" else text


@dataclass(frozen=True)
class EmbedConfig:
    """How images are embedded; the defaults are those of `xprobe embed`.

    Attributes:
        precision, layer, random_weights, codec, resampling: as in `encoders.load`.
        prompts: name of prompts (`prompts.read`) by which the classes are embedded as text, too,
            for zero-shot recognition; None: they are not.
        augment: augmentations; each real training image also has views under every one of them,
            for alternatives to synthetic images.
        views: number of these views of an image under an augmentation.
        shard: (i, n): only the i-th of n parts of the images is embedded, counted from 1.
        batch_size: images a forward pass; None: what suits the device. Halved where that does not
            fit into its memory.
    """

    precision: str = option(
        PRECISIONS[0], f"{', '.join(PRECISIONS)}; another precision is another encoder.",
        panel=ENCODING,
    )  # fmt: skip
    layer: str | None = option(
        None, "projected (into the space shared with text; the default where there is one), or "
        "pooled, before that; another layer is another encoder.",
        panel=ENCODING,
    )  # fmt: skip
    random_weights: bool = option(
        False, "Leave the weights as initialised, for speed tests or as the floor of an "
        "architecture; every report says so.",
        panel=ENCODING,
    )  # fmt: skip
    prompts: str | None = option(
        None, "Embed the classes as text, too: clip, satellite, satellite-he, plain, or a JSON "
        "file of templates.",
        panel=ENCODING,
    )  # fmt: skip
    codec: str = option(
        "", "Encode every image anew in this way before it is resized, such as jpeg-90; another "
        "encoder.",
        panel=ENCODING, flag="--match-codec",
    )  # fmt: skip
    resampling: str = option(
        "", "exact, to the pixel as the publishers' code resizes, or fast, off by a level or two "
        "in places; another encoder.",
        panel=ENCODING, flag="--resize", parse=_parse_resampling, shown="exact", metavar="NAME",
    )  # fmt: skip
    augment: tuple[str, ...] = option(
        (), "Augmentations to embed views of the real training images with, for the alternatives "
        "of sweep.",
        panel=ALTERNATIVES, parse=parse_names,
    )  # fmt: skip
    views: int = option(VIEWS, "Views of each image.", panel=ALTERNATIVES, least=1)
    shard: tuple[int, int] = option(
        (1, 1), "Embed the i-th of n equal parts of the images alone, such as 2/8.",
        panel=EXECUTION, parse=_parse_shard, shown="1/1", metavar="I/N",
    )  # fmt: skip
    batch_size: int | None = option(
        None, "Images a forward pass; auto: 8 on a CPU, 256 on a GPU, halved where that does not "
        "fit into memory.",
        panel=EXECUTION, parse=_parse_batch_size, shown="auto", metavar="N",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_least(self, OptionError)
