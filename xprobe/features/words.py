"""The texts of an image table that are embedded: classes in words, prompts, and captions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xprobe.base.errors import XprobeError, XprobeNote, first_few
from xprobe.base.progress import Progress
from xprobe.encoders.base import Encoder
from xprobe.encoders.presets import CAPTIONS
from xprobe.encoders.prompts import TextFeatures, embed_classes, mean_of, read
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store
from xprobe.features.texts import Texts, embed_texts
from xprobe.images.captions import captions_of
from xprobe.images.manifest import Manifest


@dataclass(frozen=True)
class Words:
    """The texts of a table.

    Attributes:
        name: name of the prompts that put classes into words.
        of_class: class → its texts: prompts filled with its name, or captions of its images.
        texts: texts that are embedded as they are: prompts of synthetic images, and, where
            captions put classes into words, all captions.
    """

    name: str
    of_class: Mapping[str, Sequence[str]]
    texts: tuple[str, ...]

    def embed(
        self, encoder: Encoder, stored: StoredEncoder, store: Store, progress: Progress, title: str
    ) -> None:
        """Embed the classes, and the texts that the store lacks, and put the features into it.

        Args:
            encoder: the encoder, which embeds texts.
            stored: the same encoder in the store.
            store: the store.
            progress: shows how far the work has come.
            title: what the work is called there.

        Raises:
            XprobeError: the encoder has no text side.
        """
        embedded = embed_texts(encoder.embed_text, stored, self.texts, progress, title)
        if self.name == CAPTIONS:
            text = self._of_captions(embedded)
        else:
            text = embed_classes(encoder.embed_text, self.of_class, self.name)
        store.put_text(stored, text)

    def _of_captions(self, embedded: Texts) -> TextFeatures:
        """Return the text features of classes, each the mean over the captions of its images."""
        x = np.stack([mean_of(embedded.of_texts(texts)) for texts in self.of_class.values()])
        return TextFeatures(tuple(self.of_class), x, embedded.logit_scale, self.name)


def words_of(images: Manifest, prompts: str) -> Words:
    """Return the texts of a table.

    Args:
        images: the images.
        prompts: name of prompts, as `encoders.prompts.read` takes it, or ``captions``.

    Raises:
        XprobeError: there are no such prompts, or a class has no captions.
    """
    synthetic = images.prompt[images.source == "synthetic"]
    texts = tuple(dict.fromkeys(text for cell in synthetic for text in captions_of(cell)))
    if prompts != CAPTIONS:
        filled = read(prompts)
        return Words(prompts, {name: filled.of_class(name) for name in images.classes}, texts)
    every = dict.fromkeys(text for cell in images.prompt for text in captions_of(cell))
    return Words(CAPTIONS, _captions_by_class(images), tuple(every))


def _captions_by_class(images: Manifest) -> dict[str, list[str]]:
    """Return the captions of each class: those of its real training images.

    Raises:
        XprobeError: a class has none.
    """
    tested = images.group[images.split == "test"]
    is_tested = np.isin(images.group.astype(str), tested.astype(str))
    chosen = images.select((images.source == "real") & (images.split == "train") & ~is_tested)
    captions: dict[str, list[str]] = {name: [] for name in images.classes}
    for label, cell in zip(chosen.label, chosen.prompt, strict=True):
        captions[label] += captions_of(cell)
    if without := [name for name, texts in captions.items() if not texts]:
        raise XprobeError(
            f"--prompts captions: no real training image of {first_few(map(repr, without))} has a "
            f"caption (column prompt); caption some, or choose prompts such as clip"
        )
    if not len(tested):
        warnings.warn(
            "--prompts captions: without a fixed hold-out every training image is tested in some "
            "fold, so that text features of the classes have seen captions of what is tested",
            XprobeNote,
            stacklevel=3,
        )
    return captions
