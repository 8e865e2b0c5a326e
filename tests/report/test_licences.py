"""Which pictures a report holds, and its words of licences."""

from __future__ import annotations

import pytest
from makers import make_study
from msgspec import structs

from xprobe.report.licences import (
    Pictures,
    datasets_words,
    encoder_licence,
    licences_words,
    makers_words,
)
from xprobe.results.study import DatasetCount, LicenceCount, MakerCount


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (None, {"xBD": False, "mine": True, "": True}),
        (True, {"xBD": True, "mine": True, "": True}),
        (False, {"xBD": False, "mine": False, "": False}),
    ],
)
def test_what_may_not_be_passed_on_is_shown_only_if_asked_for(
    asked: bool | None, shown: dict[str, bool]
) -> None:
    assert {name: Pictures(asked).shows(name) for name in shown} == shown


@pytest.mark.parametrize(
    ("asked", "licences", "said"),
    [
        (None, ["mine", ""], ""),
        (
            None, ["xBD", "xBD", "mine"],
            "2 pictures are left out, of images that may not be passed on, nor what was made from "
            "them (xBD): 'xprobe report --images' shows them in a report to keep to yourself.",
        ),
        (
            True, ["xBD", "mine"],
            "1 picture shows an image that may not be passed on (xBD): keep this report to "
            "yourself, or write it without --images.",
        ),
        (True, ["mine"], ""),
        (False, ["xBD", "mine", ""], "3 pictures are left out (--no-images)."),
        (False, [], ""),
    ],
)  # fmt: skip
def test_the_note_says_which_licence_how_many_pictures_and_the_remedy(
    asked: bool | None, licences: list[str], said: str
) -> None:
    assert Pictures(asked).note(licences) == said


def test_the_licences_of_images_in_words() -> None:
    images = make_study().manifest
    assert licences_words(images) == ""
    rows = [
        ("", "synthetic", 7),
        ("mine", "real", 3),
        ("xBD", "real", 1200),
        ("xBD", "synthetic", 9),
    ]
    counts = tuple(LicenceCount(licence=name, source=s, n=n) for name, s, n in rows)
    assert licences_words(structs.replace(images, licences=counts)) == (
        "none given: 7 synthetic images; mine (not known to xprobe: see whether its images may be "
        "passed on): 3 real images; xBD (may not be passed on): 1,200 real and 9 synthetic images"
    )


def test_the_data_sets_of_images_in_words() -> None:
    images = make_study().manifest
    assert datasets_words(images) == ""
    rows = (("EuroSAT", "real", 1), ("hf:a/b@0", "real", 1200), ("hf:a/b@0", "synthetic", 9))
    counts = tuple(DatasetCount(dataset=name, source=s, n=n) for name, s, n in rows)
    said = "EuroSAT: 1 real image; hf:a/b@0: 1,200 real and 9 synthetic images"
    assert datasets_words(structs.replace(images, datasets=counts)) == said


def test_who_made_images_in_words() -> None:
    images = make_study().manifest
    assert makers_words(images) == ""
    row = MakerCount(
        generator="flare", provider="openai", model="gpt", terms="https://terms", watermark="",
        first="2026-11-01", last="2026-11-02", n=40,
    )  # fmt: skip
    assert makers_words(structs.replace(images, makers=(row,))) == (
        "flare by gpt of openai (40 images, 2026-11-01 to 2026-11-02; terms: https://terms; "
        "watermark: not known)"
    )


def test_the_licence_of_an_encoder_is_that_of_its_preset() -> None:
    assert encoder_licence("open_clip:ViT-B-16-SigLIP2/webli") == "Apache-2.0"
    assert encoder_licence("builtin:hog") == encoder_licence("timm:of_mine") == ""
