"""Which pictures a report may hold, by the licences of the images, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xprobe.base.errors import counted, first_few
from xprobe.encoders.presets import ENCODERS, NO_LICENCE
from xprobe.images.licence import is_redistributable, is_withheld
from xprobe.results.distance import Example
from xprobe.results.study import ImagesStudied

_WORDS = {
    True: "may be passed on",
    False: "may not be passed on",
    None: "not known to xprobe: see whether its images may be passed on",
}


@dataclass(frozen=True)
class Pictures:
    """Which pictures of images a report holds.

    Attributes:
        asked: True: all of them; False: none; None: all but those of images that, by their
            licence, may not be passed on.
    """

    asked: bool | None = None

    def shows(self, licence: str) -> bool:
        """Return whether a picture is shown for which a licence counts."""
        return not is_withheld(licence) if self.asked is None else self.asked

    def note(self, licences: Iterable[str]) -> str:
        """Say what became of pictures, and why; nothing if all are shown as ever.

        Args:
            licences: those that count for the pictures that there are; an entry a picture.
        """
        every = list(licences)
        strict = [name for name in every if is_withheld(name)]
        if not every or (self.asked is not False and not strict):
            return ""
        if self.asked is False:
            return f"{counted(len(every), 'picture is', 'pictures are')} left out (--no-images)."
        names, n = first_few(sorted(set(strict))), len(strict)
        if self.asked:
            return (
                f"{counted(n, 'picture shows an image', 'pictures show images')} that may not be "
                f"passed on ({names}): keep this report to yourself, or write it without --images."
            )
        return (
            f"{counted(n, 'picture is', 'pictures are')} left out, of images that may not be "
            f"passed on, nor what was made from them ({names}): 'xprobe report --images' shows "
            f"them in a report to keep to yourself."
        )


ALLOWED = Pictures()
"""The pictures that a report holds unless something else is asked."""


def licence_of(pair: Example) -> str:
    """Return the licence that counts for a picture of both images of a pair."""
    return pair.licence if is_withheld(pair.licence) else pair.neighbour_licence


def licences_words(images: ImagesStudied) -> str:
    """Return the licences of the images of a study, in words; nothing if no image has one."""
    by_name: dict[str, list[str]] = {}
    for row in images.licences:
        by_name.setdefault(row.licence, []).append(f"{row.n:,} {row.source}")
    return "; ".join(_licence_words(name, numbers) for name, numbers in by_name.items())


def datasets_words(images: ImagesStudied) -> str:
    """Return the data sets that images are of, in words; nothing if no table says."""
    by_name: dict[str, list[str]] = {}
    for row in images.datasets:
        by_name.setdefault(row.dataset, []).append(f"{row.n:,} {row.source}")
    return "; ".join(f"{name}: {_of_images(numbers)}" for name, numbers in by_name.items())


def makers_words(images: ImagesStudied) -> str:
    """Return who made synthetic images, and under which terms; nothing if no table says."""
    return "; ".join(
        f"{row.generator} by {row.model or 'a model that is not named'} of "
        f"{row.provider or 'an unnamed provider'} ({counted(row.n, 'image', 'images')}, "
        f"{' to '.join(dict.fromkeys((row.first, row.last))) or 'no day given'}; terms: "
        f"{row.terms or 'not known'}; watermark: {row.watermark or 'not known'})"
        for row in images.makers
    )


def encoder_licence(source: str) -> str:
    """Return the licence of an encoder's weights; nothing if xprobe does not know it."""
    known = (preset.licence for preset in ENCODERS.values() if preset.source == source)
    return next((name for name in known if name != NO_LICENCE), "")


def _licence_words(name: str, numbers: Sequence[str]) -> str:
    words = f"{name} ({_WORDS[is_redistributable(name)]})" if name else "none given"
    return f"{words}: {_of_images(numbers)}"


def _of_images(numbers: Sequence[str]) -> str:
    is_one = len(numbers) == 1 and numbers[0].startswith("1 ")
    return f"{' and '.join(numbers)} image{'' if is_one else 's'}"
