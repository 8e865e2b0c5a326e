"""How images are embedded: what a user may choose, checked once; no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xprobe.base.declared import (
    ALTERNATIVES,
    ENCODING,
    EXECUTION,
    check_least,
    option,
    parse_names,
)
from xprobe.base.errors import OptionError, did_you_mean
from xprobe.encoders.presets import CAPTIONS, PRECISIONS, PROMPTS
from xprobe.images.augment import AUGMENTATIONS, VIEWS, check_views, has_views, meant


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


def _parse_bands(text: str) -> tuple[int, ...]:
    """Return the numbers of one or three bands."""
    numbers = parse_names(text)
    if len(numbers) not in (1, 3) or not all(n.isdecimal() and int(n) for n in numbers):
        raise ValueError("is the number of one band, or of three, such as 1,2,3")
    return tuple(int(number) for number in numbers)


@dataclass(frozen=True)
class Stretch:
    """The range of samples that becomes black to white.

    Attributes:
        low, high: the samples at its ends; low < high.
        is_percentile: whether these are percentiles of the samples of real training images.
    """

    low: float
    high: float
    is_percentile: bool = False


_PERCENTILE = "percentile:"


def _parse_stretch(text: str) -> Stretch:
    """Return the range of ``LOW:HIGH`` or ``percentile:LOW,HIGH``."""
    is_percentile = text.startswith(_PERCENTILE)
    parts = text.removeprefix(_PERCENTILE).split("," if is_percentile else ":")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        low = high = math.nan
    is_possible = low < high and math.isfinite(high - low)
    if not is_possible or (is_percentile and not 0 <= low < high <= 100):
        raise ValueError("is LOW:HIGH, such as 0:2047, or percentile:LOW,HIGH, as percentile:2,98")
    return Stretch(low, high, is_percentile)


@dataclass(frozen=True)
class EmbedConfig:
    """How images are embedded; the defaults are those of `xprobe embed`.

    Attributes:
        precision, layer, random_weights, codec, resampling: as in `encoders.load`.
        bands: numbers of the bands that are the picture; ``()``: all, the fourth as transparency.
        stretch: the range that samples of more than 8 bits are scaled by; None: that of their type.
        prompts: name of prompts (`prompts.read`), or ``captions``, by which the classes are
            embedded as text, too, for zero-shot recognition, and with them the prompts of synthetic
            images (`words.words_of`); None: they are not.
        augment: augmentations; each real training image also has views under every one of them,
            for alternatives to synthetic images.
        views: number of these views of an image under an augmentation.
        overhead: whether the images are from above, so that ``classic`` is ``classic-overhead``.
        shard: (i, n): only the i-th of n parts of the images is embedded, counted from 1.
        batch_size: images a forward pass; None: what suits the device. Halved where that does not
            fit into its memory.
    """

    precision: str = option(
        PRECISIONS[0], f"{', '.join(PRECISIONS)}; another precision is another encoder.",
        panel=ENCODING, values=PRECISIONS,
    )  # fmt: skip
    layer: str | None = option(
        None, "projected (into the space shared with text; the default where there is one), or "
        "pooled, before that; another layer is another encoder.",
        panel=ENCODING, values=("projected", "pooled"),
    )  # fmt: skip
    random_weights: bool = option(
        False, "Leave the weights as initialised, for speed tests or as the floor of an "
        "architecture; every report says so.",
        panel=ENCODING,
    )  # fmt: skip
    prompts: str | None = option(
        None, f"Embed the classes as text, too: {', '.join(PROMPTS)}, a JSON file of templates, or "
        f"{CAPTIONS} of their real training images; and the prompts of synthetic images.",
        panel=ENCODING, values=(*PROMPTS, CAPTIONS),
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
        values=("exact", "fast"),
    )  # fmt: skip
    bands: tuple[int, ...] = option(
        (), "Bands of an image that are its red, green and blue, or its grey, such as 1,2,3: no "
        "band is transparency then; another encoder.",
        panel=ENCODING, parse=_parse_bands, shown="", metavar="LIST",
    )  # fmt: skip
    stretch: Stretch | None = option(
        None, "Range of samples that becomes black to white in images of more than 8 bits: "
        "LOW:HIGH, or percentile:2,98 as measured over real training images; another encoder.",
        panel=ENCODING, parse=_parse_stretch, shown="", metavar="LOW:HIGH",
    )  # fmt: skip
    augment: tuple[str, ...] = option(
        (), "Augmentations to embed views of the real training images with, for the alternatives "
        "of sweep.",
        panel=ALTERNATIVES, parse=parse_names, values=filter(has_views, AUGMENTATIONS),
    )  # fmt: skip
    views: int = option(VIEWS, "Views of each image.", panel=ALTERNATIVES, least=1)
    overhead: bool = option(
        False, "The images are from above and have no up: classic is classic-overhead, which also "
        "flips them vertically and turns them by 90 degrees.",
        panel=ALTERNATIVES,
    )  # fmt: skip
    shard: tuple[int, int] = option(
        (1, 1), "Embed the i-th of n equal parts of the images alone, such as 2/8.",
        panel=EXECUTION, parse=_parse_shard, shown="1/1", metavar="I/N",
    )  # fmt: skip
    batch_size: int | None = option(
        None, "Images a forward pass; auto: 8 on a CPU, 256 on a GPU, halved where that does not "
        "fit into memory.",
        panel=EXECUTION, parse=_parse_batch_size, shown="auto", metavar="N",
        values=("auto",),
    )  # fmt: skip

    @property
    def needs_set(self) -> bool:
        """Whether images need classes or a source: for prompts, views, or to measure samples."""
        is_measured = self.stretch is not None and self.stretch.is_percentile
        return bool(self.prompts or self.augment) or is_measured

    def __post_init__(self) -> None:
        check_least(self, OptionError)
        check_views(self.augment)
        augment = tuple(meant(name, self.overhead) for name in self.augment)
        object.__setattr__(self, "augment", augment)
        if self.codec:
            from xprobe.images.resize import check_codec  # It imports NumPy, which no help needs.

            check_codec(self.codec)
        if self.precision not in PRECISIONS:
            raise OptionError(
                f"--precision: unknown precision {self.precision!r}"
                f"{did_you_mean(self.precision, PRECISIONS)}; known: {', '.join(PRECISIONS)}"
            )
