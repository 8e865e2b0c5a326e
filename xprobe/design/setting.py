"""What is trained on: real images, synthetic images, or a mix."""

from __future__ import annotations

from dataclasses import dataclass

from xprobe.images.augment import AUGMENTATIONS
from xprobe.learners.kinds import kind_read

WITHOUT_GENERATOR = (
    "real-only", "zero-shot", "real-duplicated", "real-more", "mix-pooled", *AUGMENTATIONS,
)  # fmt: skip
"""Settings without synthetic images, or with those of all generators together."""

WITH_GENERATOR = ("synthetic-only", "mix", "null-edit")
"""Settings with synthetic images of one generator."""

WITH_RATIO = ("mix", "mix-pooled", "null-edit", "real-duplicated", "real-more")
"""Settings that need a ratio."""


@dataclass(frozen=True)
class Setting:
    """What is trained on: ``real-only``, ``synthetic-only`` or ``mix`` 1:ratio of one generator.

    ``zero-shot`` trains on no image: the encoder's text features classify. ``real-more`` has as
    many further real images as the mix 1:ratio has synthetic ones, ``null-edit`` as many copies of
    the real images themselves that the generator was asked to return unchanged. ``mix-pooled`` has
    as many synthetic images as the mix 1:ratio, in equal shares of all generators. Fine-tunes have
    the control ``real-duplicated``: the real images alone for as many steps as the mix 1:ratio. The
    name of an augmentation is an alternative to synthetic images: the real images alone, augmented,
    for as many steps as the mix of the largest ratio. A mix with `augment` is an alternative, too.
    """

    name: str
    ratio: float | None = None
    generator: str | None = None
    augment: str = ""

    def __post_init__(self) -> None:
        if self.name not in (*WITHOUT_GENERATOR, *WITH_GENERATOR):
            raise ValueError(f"unknown setting {self.name!r}")
        if (self.ratio is None) == (self.name in WITH_RATIO):
            raise ValueError("a ratio belongs to a mix or its control, and to nothing else")
        if (self.generator is None) != (self.name in WITHOUT_GENERATOR):
            raise ValueError("every setting with synthetic images names their generator")
        if self.augment and self.name != "mix":
            raise ValueError("an augmentation belongs to a mix, or is the setting itself")

    @property
    def title(self) -> str:
        """The setting as people read it; see `setting_title`."""
        return setting_title(self.name, self.ratio, self.augment)

    @property
    def is_alternative(self) -> bool:
        """Whether the setting is judged among the alternatives, and not among the mixes."""
        return bool(self.augment) or self.name in AUGMENTATIONS


def head_title(head: str, real_fraction: float, train_per_class: int | None = None) -> str:
    """Return how people read a head and the part of the real images that it was trained on."""
    words, part = kind_read(head).title, part_title(real_fraction, train_per_class)
    return f"{words}, {part}" if part else words


def part_title(real_fraction: float, train_per_class: int | None = None) -> str:
    """Return how people read a part of the real images; nothing if it is all of them."""
    if train_per_class is not None:
        return f"{train_per_class} real of each class"
    return "" if real_fraction == 1 else f"{100 * real_fraction:g} % of real"


def setting_title(name: str, ratio: float | None, augment: str | None = "") -> str:
    """Return how people read a setting: its name, ``1:2`` of a mix, ``real × 3`` of a control."""
    if ratio is None:
        return name
    titles = {
        "mix": f"1:{ratio:g}", "mix-pooled": f"1:{ratio:g} pooled",
        "real-more": f"1:{ratio:g} real", "null-edit": f"1:{ratio:g} null edit",
    }  # fmt: skip
    title = titles.get(name, f"real × {1 + ratio:g}")
    return f"{title} + {augment}" if augment else title
