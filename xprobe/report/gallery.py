"""Galleries: images that real-only gets wrong and a mix gets right, and the reverse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xprobe.base.arrays import Ints
from xprobe.base.errors import XprobeError
from xprobe.report.confusions import shown_mix
from xprobe.report.figures.thumbnail import (
    GONE,
    Thumbnail,
    lacking_words,
    reading_of,
    thumbnail,
)
from xprobe.report.licences import ALLOWED, Pictures
from xprobe.report.words import setting_title, study_title
from xprobe.results.hits import Hits, load_hits
from xprobe.results.images import Place, load_places
from xprobe.results.rows import Result, SettingRow
from xprobe.results.study import Results, Study

MOST_PICTURES = 12
"""A gallery shows so many images, the clearest cases first."""

THUMBNAIL_PX = 112


@dataclass(frozen=True)
class Picture:
    """An image that was tested.

    Attributes:
        label: its class.
        uri: the picture itself; empty if there is none, or it is not to be shown.
        reason: why there is none that could be shown.
        licence: the licence that counts for it; empty: none is known.
        is_shown: whether it is to be shown.
        before, after: in how many of `repeats` real-only and the mix recognised it.
    """

    label: str
    uri: str
    reason: str
    licence: str
    is_shown: bool
    before: int
    after: int
    repeats: int

    @property
    def instead(self) -> str:
        """The words that are shown instead of a picture that is missing or withheld."""
        if not self.is_shown:
            return "left out"
        return GONE if self.reason == GONE else "cannot be shown"


@dataclass(frozen=True)
class Gallery:
    """Images of one comparison.

    Attributes:
        title: what is compared.
        won, lost: images that the mix recognises more often than real-only, and less often.
        n_won, n_lost: how many images these are of.
        lacking: why there is no picture of some that are to be shown, a sentence a reason.
        note: what became of the others, and why; empty if there are none.
    """

    title: str
    won: list[Picture]
    lost: list[Picture]
    n_won: int
    n_lost: int
    lacking: list[str]
    note: str


def gallery_of(results: Results, study: Study, pictures: Pictures = ALLOWED) -> Gallery | None:
    """Return what one mix of a study recognises that real-only does not, and the reverse.

    It is None where no mix was judged, or an older xprobe kept neither hits nor places of images.
    """
    mix = shown_mix(study)
    places = load_places(results, study) if mix is not None and study.hits else {}
    if mix is None or not places:
        return None
    try:
        hits = load_hits(results, study)
    except XprobeError:
        return None
    before, after = (_times_right(hits, row) for row in (study.real_only, mix))
    if before is None or after is None:
        return None
    shows = pictures.shows
    won, n_won = _pictures(study, hits, places, before, after, 1, shows)
    lost, n_lost = _pictures(study, hits, places, before, after, -1, shows)
    every = [*won, *lost]
    return Gallery(
        title=" · ".join(filter(None, [study_title(study), mix.generator, setting_title(mix)])),
        won=won,
        lost=lost,
        n_won=n_won,
        n_lost=n_lost,
        lacking=lacking_words(picture.reason for picture in every),
        note=pictures.note(picture.licence for picture in every),
    )


def _times_right(hits: Hits, row: Result) -> Ints | None:
    """Return in how many repeats (N,) each image was recognised under a setting."""
    setting = SettingRow(
        setting=row.setting, ratio=row.ratio, generator=row.generator, augment=row.augment
    )
    if setting not in hits.settings:
        return None
    return np.asarray(hits.hit[hits.settings.index(setting)].sum(axis=0))


def _pictures(
    study: Study, hits: Hits, places: Mapping[str, Place], before: Ints, after: Ints, sign: int,
    shows: Callable[[str], bool],
) -> tuple[list[Picture], int]:  # fmt: skip
    """Return the clearest images of one side, and how many there are on it."""
    gain = sign * (after - before)
    order = np.argsort(-gain, kind="stable")[: int((gain > 0).sum())]
    pictures, reading = [], reading_of(study.encoder)
    for i in order[:MOST_PICTURES]:
        place = places.get(str(hits.image[i]), Place("", ""))
        is_shown = shows(place.licence)
        small = thumbnail(place.path, THUMBNAIL_PX, reading) if is_shown else Thumbnail(None)
        picture = Picture(
            label=study.manifest.classes[int(hits.label[i])],
            uri=small.uri,
            reason=small.reason,
            licence=place.licence,
            is_shown=is_shown,
            before=int(before[i]),
            after=int(after[i]),
            repeats=len(hits.seed),
        )
        pictures.append(picture)
    return pictures, len(order)
