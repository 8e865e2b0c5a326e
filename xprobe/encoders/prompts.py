"""Class names → text features of a language-aligned encoder, through prompt templates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xprobe.base.arrays import Floats, frozen_array
from xprobe.base.errors import XprobeError, did_you_mean
from xprobe.base.packed import packed
from xprobe.encoders.presets import CAPTIONS, PROMPTS

_BUILT_IN = Path(__file__).with_name("prompts.json")


@dataclass(frozen=True)
class Prompts:
    """How classes are put into words.

    Attributes:
        name: name of a built-in set, or path of a file.
        templates: sentences with ``{}`` where the class goes.
        words: class → words for it; by default its name with spaces for ``_`` and ``-``.
    """

    name: str
    templates: tuple[str, ...]
    words: Mapping[str, str]

    def of_class(self, label: str) -> list[str]:
        """Return every template, filled with the words for a class."""
        word = self.words.get(label, label.replace("_", " ").replace("-", " "))
        return [template.replace("{}", word) for template in self.templates]


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Text features of classes, one row a class.

    Attributes:
        classes: names of the classes, in order of the rows.
        x: (k, d) rows of unit length: the mean of the unit features of a class's prompts, rescaled.
        logit_scale: factor by which the encoder multiplies cosines.
        prompts: name of the prompts, for the record.
    """

    classes: tuple[str, ...]
    x: Floats
    logit_scale: float
    prompts: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", frozen_array(self.x, np.float32))
        if self.x.shape[:1] != (len(self.classes),) or not np.isfinite(self.x).all():
            raise ValueError("text features must be finite, one row a class")


def read(name: str) -> Prompts:
    """Return a built-in set of prompts, or that of a JSON file.

    A file holds ``{"templates": ["an aerial photo of {}."], "classes": {"flooding": "a flood"}}``;
    the classes are optional. The built-in sets are ``clip`` (seven templates by its
    authors, Radford et al. 2021), ``satellite`` (their three templates for EuroSAT),
    ``satellite-he`` (the template of He et al. 2023), ``plain``, and ``disasters-en`` and
    ``disasters-zh``, which put kinds of disasters into English and Chinese words.

    Raises:
        XprobeError: there is no such set or file, or the file has another form.
    """
    built_in: dict[str, list[str]] = json.loads(_BUILT_IN.read_text(encoding="utf-8"))
    if name in built_in:
        return Prompts(name, tuple(built_in[name]), {})
    file = packed(f"prompts/classes/{name}.json") if name in PROMPTS else Path(name)
    if not file.is_file():
        known = (*PROMPTS, CAPTIONS)
        raise XprobeError(
            f"unknown prompts {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}, "
            f"or name a JSON file"
        )
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        templates, words = tuple(content["templates"]), dict(content.get("classes", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise XprobeError(
            f'{file}: not of the form {{"templates": ["a {{}}."], "classes": {{}}}}: {error!r}'
        ) from error
    if not templates or not all(isinstance(t, str) and "{}" in t for t in templates):
        raise XprobeError(f"{file}: every template needs {{}} where the class goes")
    return Prompts(name, templates, words)


def embed_classes(
    embed_text: Callable[[Sequence[str]], tuple[Floats, float]],
    texts: Mapping[str, Sequence[str]],
    name: str,
) -> TextFeatures:
    """Return the text features of classes, averaged over their texts as in the CLIP paper.

    Args:
        embed_text: gives the features (n, d) of texts, and the logit scale.
        texts: class → its texts, such as prompts that are filled with its name.
        name: name of the prompts, for the record.
    """
    rows = []
    scale = 1.0
    for of_class in texts.values():
        x, scale = embed_text(of_class)
        rows.append(mean_of(x))
    return TextFeatures(tuple(texts), np.stack(rows), scale, name)


def mean_of(x: Floats) -> Floats:
    """Return the mean (d,) of the unit features of texts (n, d), rescaled to unit length."""
    mean = (x / np.linalg.norm(x, axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def zero_shot_logits(x: Floats, text: TextFeatures) -> Floats:
    """Return the scaled cosines (n, k) of image features (n, d) with those of the classes."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    cosine = (x / np.where(length > 0, length, 1)) @ text.x.T
    return np.asarray(text.logit_scale * cosine.astype(np.float64))
