"""Images that a mix recognises and real-only does not, and the reverse."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from makers import digest, make_study
from msgspec import structs
from PIL import Image

from xprobe.base.arrays import frozen_strings
from xprobe.images.manifest import Manifest
from xprobe.report.figures.thumbnail import GONE
from xprobe.report.gallery import Gallery, gallery_of
from xprobe.report.licences import Pictures
from xprobe.results.hits import Hits, save_hits
from xprobe.results.images import load_places, save_places
from xprobe.results.rows import SettingRow
from xprobe.results.study import Study

BEFORE = [[1, 0, 0, 1], [1, 0, 1, 1]]
AFTER = [[1, 1, 1, 0], [1, 1, 1, 1]]


def made(tmp_path: Path, licences: Sequence[str] = ("",) * 4) -> Study:
    """A study of four tested images: the second is won in both repeats, the last is lost once."""
    ids = [f"{i}.png" for i in range(4)]
    for i, name in enumerate(ids):
        Image.new("RGB", (300, 200), (40 * i, 0, 0)).save(tmp_path / name)
    table = Manifest(
        id=ids, path=[str(tmp_path / name) for name in ids], sha256=[digest(i) for i in ids],
        label=["cat", "cat", "dog", "dog"], source=["real"] * 4, group=ids, parent=[""] * 4,
        generator=[""] * 4, split=["train"] * 4, prompt=[""] * 4,
    )  # fmt: skip
    save_places(tmp_path, table, frozen_strings(licences))
    study = make_study(ratios=(1,), generators=("g",))
    images = structs.replace(study.manifest, fingerprint=table.fingerprint)
    hits = Hits(
        settings=(
            SettingRow(setting="real-only"), SettingRow(setting="mix", ratio=1, generator="g"),
        ),
        hit=np.array([BEFORE, AFTER], dtype=bool), fold=np.zeros((2, 4), dtype=int),
        seed=np.array([0, 1]), image=np.array(table.sha256), group=np.array(ids),
        label=np.array([0, 0, 1, 1]),
    )  # fmt: skip
    study = structs.replace(study, manifest=images)
    return structs.replace(study, hits=save_hits(tmp_path, study.key, hits))


def shown(tmp_path: Path, study: Study, asked: bool | None = None) -> Gallery:
    gallery = gallery_of(tmp_path, study, Pictures(asked))
    assert gallery is not None
    return gallery


def test_the_clearest_come_first_with_their_counts(tmp_path: Path) -> None:
    gallery = shown(tmp_path, made(tmp_path))
    assert gallery.title == "clip · g · 1:1"
    assert [(p.label, p.before, p.after, p.repeats) for p in gallery.won] == [
        ("cat", 0, 2, 2), ("dog", 1, 2, 2),
    ]  # fmt: skip
    assert [(p.label, p.before, p.after) for p in gallery.lost] == [("dog", 2, 1)]
    assert (gallery.n_won, gallery.n_lost, gallery.lacking) == (2, 1, [])
    assert all(p.uri.startswith("data:image/jpeg;base64,") for p in (*gallery.won, *gallery.lost))


def test_images_that_are_gone_are_counted(tmp_path: Path) -> None:
    study = made(tmp_path)
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").write_bytes(b"no image")
    gallery = shown(tmp_path, study)
    assert gallery.lacking == [
        "1 image is not where it was when the study was made.",
        "1 image cannot be shown: not an image, or in a format that Pillow cannot read.",
    ]
    assert [p.instead for p in (gallery.won[0], *gallery.lost)] == [GONE, "cannot be shown"]
    assert [picture.uri == "" for picture in (*gallery.won, *gallery.lost)] == [True, False, True]


@pytest.mark.parametrize(
    ("asked", "pictures", "note"),
    [
        (None, [False, True, True], "1 picture is left out, of images that may not be passed on"),
        (True, [True, True, True], "1 picture shows an image that may not be passed on (xBD)"),
        (False, [False, False, False], "3 pictures are left out (--no-images)."),
    ],
)
def test_images_that_may_not_be_passed_on_are_told_without_their_picture(
    tmp_path: Path, asked: bool | None, pictures: list[bool], note: str
) -> None:
    """The second image, which is the first that is shown, may not be."""
    gallery = shown(tmp_path, made(tmp_path, ("xBD", "xBD", "", "mine")), asked)
    every = [*gallery.won, *gallery.lost]
    assert [bool(picture.uri) for picture in every] == pictures
    assert [picture.is_shown for picture in every] == pictures
    assert [picture.label for picture in every] == ["cat", "dog", "dog"]
    assert gallery.note.startswith(note)
    assert gallery.lacking == []
    assert {p.instead for p in every if not p.is_shown} <= {"left out"}


def test_pictures_show_what_the_encoder_was_given(tmp_path: Path) -> None:
    """Samples of 11 bits in 16 are nearly black, unless they are stretched as the encoder's."""
    study = made(tmp_path)
    Image.fromarray(np.full((200, 300), 2047, dtype=np.uint16)).save(tmp_path / "1.png")
    dark = shown(tmp_path, study).won[0].uri
    encoder = structs.replace(study.encoder, stretch=(0, 2047))
    bright = shown(tmp_path, structs.replace(study, encoder=encoder)).won[0].uri
    assert [brightness(uri) for uri in (dark, bright)] == [pytest.approx(8, abs=1), 255]
    lost = shown(tmp_path, structs.replace(study, encoder=structs.replace(encoder, bands=(4,))))
    assert [p.instead for p in lost.lost] == ["cannot be shown"]
    assert "3 bands that Pillow gives, of which --bands asks for number 4" in lost.lacking[0]


def brightness(uri: str) -> float:
    """The mean sample of a picture in a page."""
    content = base64.b64decode(uri.partition(",")[2])
    return float(np.asarray(Image.open(io.BytesIO(content))).mean())


def test_without_places_or_hits_there_is_none(tmp_path: Path) -> None:
    study = made(tmp_path)
    assert gallery_of(tmp_path, structs.replace(study, hits="")) is None
    (file,) = (tmp_path / "images").iterdir()
    file.write_bytes(b"damaged")
    assert load_places(tmp_path, study) == {}
    assert gallery_of(tmp_path, study) is None
