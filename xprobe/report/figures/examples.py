"""Synthetic images beside their nearest real ones: which there are to draw, and why not others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xprobe.images.samples import AS_IT_IS
from xprobe.report.figures.drawing import Names
from xprobe.report.figures.plot import Plot
from xprobe.report.figures.thumbnail import Thumbnail, lacking_words, reading_of, thumbnail
from xprobe.report.licences import Pictures, licence_of
from xprobe.results.distance import Distances, Example, is_wanted
from xprobe.results.study import Study

_THUMBNAIL_PX = 96


@dataclass(frozen=True)
class Pair:
    """A synthetic image and the nearest real one, with their pictures."""

    row: Example
    image: Thumbnail
    neighbour: Thumbnail


def pairs_of(
    document: Distances | None, studies: Sequence[Study], encoders: Sequence[str],
    pictures: Pictures,
) -> list[Pair]:  # fmt: skip
    """Return the examples whose pictures may be shown.

    Args:
        document: what `xprobe distance` found; None: nothing.
        studies: they say how encoders read samples; of an encoder without a study, pictures show
            the samples as they are.
        encoders: names of the encoders; none: all.
        pictures: says which images may be shown.
    """
    by_encoder = {study.encoder.label: reading_of(study.encoder) for study in studies}
    pairs = []
    for row in () if document is None else document.examples:
        if is_wanted(row, encoders) and pictures.shows(licence_of(row)):
            reading = by_encoder.get(row.encoder, AS_IT_IS)
            both = (thumbnail(p, _THUMBNAIL_PX, reading) for p in (row.path, row.neighbour_path))
            pairs.append(Pair(row, *both))
    return pairs


def lacking(pairs: Sequence[Pair]) -> list[str]:
    """Say why some pairs have no picture, a sentence a reason."""
    reasons = {
        path: small.reason
        for pair in pairs
        for path, small in (
            (pair.row.path, pair.image), (pair.row.neighbour_path, pair.neighbour)
        )
    }  # fmt: skip
    return lacking_words(reasons.values())


def example_plots(pairs: Sequence[Pair]) -> Iterator[Plot]:
    """Yield a figure an encoder and generator; pairs without both pictures are left out."""
    names = Names()
    whole = [p for p in pairs if p.image.image is not None and p.neighbour.image is not None]
    for who in dict.fromkeys((pair.row.title, pair.row.generator) for pair in whole):
        rows = [
            (pair.row, pair.image.image, pair.neighbour.image)
            for pair in whole
            if (pair.row.title, pair.row.generator) == who
        ]
        title = f"Synthetic images and the nearest real ones, {' · '.join(who)}"
        stem = names.new(f"examples-{'-'.join(who)}")
        make = "xprobe.report.figures.distance:examples"
        yield Plot(stem, "examples", None, title, make, (rows, title))
