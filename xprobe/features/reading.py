"""Which samples of the images of a run are decoded, and warnings where they seem to be wrong."""

from __future__ import annotations

import warnings
from itertools import islice

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.features.config import Stretch
from xprobe.features.items import Streamed, items_in, names_of
from xprobe.images import ranges
from xprobe.images.manifest import Manifest
from xprobe.images.samples import Reading


def reading_of(
    images: Manifest | Streamed, bands: tuple[int, ...], stretch: Stretch | None
) -> Reading:
    """Return how samples are decoded; percentiles are measured, and odd samples warned about.

    Args:
        images: a manifest, or files for `items_in`.
        bands, stretch: as in `EmbedConfig`.

    Raises:
        XprobeError: percentiles are asked for, and there are no images to measure them over.
    """
    reading = Reading(bands, _limits(images, bands, stretch))
    if isinstance(images, Manifest):
        problems = ranges.problems(images, reading)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", XprobeWarning)  # The run will warn of these itself.
            spans = {item.path: item.span for item in islice(items_in(images, []), ranges.SAMPLED)}
        problems = ranges.problems_of(list(spans), reading, spans=spans)
    for problem in problems:
        _warn(problem)
    return reading


def _limits(
    images: Manifest | Streamed, bands: tuple[int, ...], stretch: Stretch | None
) -> tuple[float, ...]:
    if stretch is None:
        return ()
    if not stretch.is_percentile:
        return stretch.low, stretch.high
    if not isinstance(images, Manifest):
        raise XprobeError(
            f"{names_of(images)}: --stretch percentile is measured over real training images, and "
            f"these are images without classes; name the range as --stretch LOW:HIGH"
        )
    low, high = ranges.percentiles(images, stretch.low, stretch.high, bands)
    _warn(f"the range is --stretch {low:g}:{high:g}; name it so when you embed further images")
    return low, high


def _warn(message: str) -> None:
    warnings.warn(message, XprobeWarning, stacklevel=2)
