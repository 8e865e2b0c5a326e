"""Names of classes that mean one class, and classes without images."""

from __future__ import annotations

import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError
from xprobe.images.classes import check_classes, check_spellings, composed, missing_classes


@pytest.mark.parametrize(
    "other", ["Flood", "FLOOD", " flood", "flood ", "\uff46lood", "\ufb02ood", "no flood"]
)
def test_classes_that_differ_only_in_how_they_are_written_are_refused(other: str) -> None:
    if other == "no flood":
        check_spellings([other, "flood"], "data")
        return
    with pytest.raises(XprobeError, match=r"data: the classes .* differ only in how"):
        check_spellings([other, "flood", "fire"], "data")


def test_classes_that_look_the_same_are_shown_as_they_differ() -> None:
    with pytest.raises(XprobeError, match=r"the classes 'e\\u0301' and '\\xe9' differ only"):
        check_spellings(["\u00e9", "e\u0301"], "data")
    assert composed("e\u0301") == "\u00e9"


@pytest.mark.parametrize("split", ["train", "test"])
def test_of_a_table_the_classes_of_all_images_are_compared(
    make_manifest: MakeManifest, split: str
) -> None:
    manifest = make_manifest(["a", "b", "A"], split=["train", "train", split])
    with pytest.raises(XprobeError, match="m: the classes 'A' and 'a' differ only in how they"):
        check_classes(manifest, "m", whole=False)


def test_missing_classes_are_those_of_real_images_to_train_on(make_manifest: MakeManifest) -> None:
    manifest = make_manifest(
        ["a", "b", "c", "a", "a", "b"],
        source=["real"] * 3 + ["synthetic"] * 3,
        split=["train", "train", "extra", "train", "train", "train"],
        generator=["", "", "", "x", "y", "y"],
    )
    assert missing_classes(manifest) == {"x": ["b"]}
