"""Classes in words, by prompts or by captions, and the texts of a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from makers import SPEC, MakeManifest

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError, XprobeNote
from xprobe.base.progress import no_progress
from xprobe.encoders.base import Encoder
from xprobe.features.store import Store
from xprobe.features.texts import read_texts
from xprobe.features.words import Words, words_of
from xprobe.images.manifest import Manifest

FEATURES = {
    "red": [2.0, 0.0, 0.0], "green": [0.0, 3.0, 0.0], "blue": [0.0, 0.0, 1.0],
    "both": [1.0, 1.0, 0.0],
}  # fmt: skip


class Spoken:
    """An encoder that knows four texts alone."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def embed_text(self, texts: Sequence[str]) -> tuple[Floats, float]:
        self.said += texts
        return np.array([FEATURES[text] for text in texts]), 7.0


@pytest.fixture
def images(make_manifest: MakeManifest) -> Manifest:
    """Captions of training, test and extra images, and prompts of synthetic ones."""
    return make_manifest(
        ["a", "a", "b", "b", "a", "b", "a"],
        source=["real"] * 5 + ["synthetic"] * 2,
        split=["train", "train", "train", "test", "extra", "train", "train"],
        generator=[""] * 5 + ["x"] * 2,
        prompt=['["red", "green"]', "", "both", "blue", "blue", '["blue", "red"]', "red"],
    )


def embed(words: Words, folder: Path) -> tuple[Any, Any, Spoken]:
    store = Store(folder, create=True)
    stored, side = store.add_encoder("golden", SPEC), Spoken()
    words.embed(cast(Encoder, side), stored, store, no_progress, "")
    return store.read_text(stored, ("a", "b")), read_texts(stored), side


def test_a_class_is_the_mean_of_the_captions_of_its_training_images(
    images: Manifest, tmp_path: Path
) -> None:
    text, texts, side = embed(words_of(images, "captions"), tmp_path / "features")
    assert sorted(side.said) == ["blue", "both", "green", "red"]  # each once
    s = 0.5**0.5
    np.testing.assert_allclose(text.x, [[s, s, 0], [s, s, 0]], atol=1e-6)
    assert (text.prompts, text.logit_scale) == ("captions", 7.0)
    assert len(texts.row_of) == 4
    again, _, side = embed(words_of(images, "captions"), tmp_path / "features")
    assert side.said == []
    assert again.x.tobytes() == text.x.tobytes()
    assert again.logit_scale == 7.0


def test_captions_of_a_scene_that_is_tested_are_no_words_of_its_class(
    make_manifest: MakeManifest,
) -> None:
    table = make_manifest(
        "aaab", split=["train", "train", "test", "train"], group=["1", "2", "2", "3"],
        prompt=["red", "green", "green", "blue"],
    )  # fmt: skip
    words = words_of(table, "captions")
    assert words.of_class == {"a": ["red"], "b": ["blue"]}
    assert sorted(words.texts) == ["blue", "green", "red"]


def test_prompts_of_synthetic_images_are_embedded_with_any_prompts(
    images: Manifest, tmp_path: Path
) -> None:
    file = tmp_path / "colours.json"
    file.write_text(json.dumps({"templates": ["{}"], "classes": {"a": "red", "b": "green"}}))
    text, texts, side = embed(words_of(images, str(file)), tmp_path / "features")
    assert side.said == ["blue", "red", "red", "green"]
    np.testing.assert_allclose(text.x, np.eye(3)[:2], atol=1e-6)
    assert len(texts.row_of) == 2


def test_a_table_without_prompts_stores_no_texts(
    make_manifest: MakeManifest, tmp_path: Path
) -> None:
    file = tmp_path / "colours.json"
    file.write_text(json.dumps({"templates": ["{}"], "classes": {"a": "red", "b": "green"}}))
    embed(words_of(make_manifest("ab"), str(file)), tmp_path / "features")
    assert not list((tmp_path / "features").rglob("texts"))


def test_a_class_without_captions_is_an_error_that_names_it(make_manifest: MakeManifest) -> None:
    table = make_manifest(
        "aabc", split=["train", "test", "train", "train"], prompt=["", "red", "red", " "]
    )
    with pytest.raises(XprobeError, match=r"no real training image of 'a', 'c' has a caption"):
        words_of(table, "captions")


def test_without_a_hold_out_it_is_told_that_captions_of_tested_images_count(
    make_manifest: MakeManifest,
) -> None:
    with pytest.warns(XprobeNote, match="without a fixed hold-out every training image is tested"):
        words_of(make_manifest("ab", prompt=["red", "green"]), "captions")
