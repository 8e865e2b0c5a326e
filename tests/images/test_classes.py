"""Names of classes that mean one class, and classes without images."""

from __future__ import annotations

import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.classes import (
    check_classes,
    check_spellings,
    composed,
    generators,
    missing_classes,
)


@pytest.mark.parametrize("other", ["Flood", "FLOOD", " flood", "flood ", "\uff46lood", "\ufb02ood"])
def test_classes_that_differ_only_in_how_they_are_written_are_refused(other: str) -> None:
    for parts in ([{"flood"}, {other}], [{"flood", other}, {"flood"}], [{other}, {"flood"}]):
        with pytest.raises(XprobeError, match=r"data: the classes .* differ only in how"):
            check_spellings(parts, "data")
    check_spellings([{"flood", "no flood"}, {"flood"}], "data")


def test_where_every_part_has_both_they_may_be_two_classes() -> None:
    with pytest.warns(XprobeWarning, match=r"'A' and 'a' differ .* one name if they are one class"):
        check_spellings([{"A", "a"}, {"a", "A", "b"}], "data")


def test_classes_that_look_the_same_are_shown_as_they_differ() -> None:
    with pytest.raises(XprobeError, match=r"the classes 'e\\u0301' and '\\xe9' differ only"):
        check_spellings([{"\u00e9"}, {"e\u0301"}], "data")
    assert composed("e\u0301") == "\u00e9"


@pytest.mark.parametrize("part", [{"split": "test"}, {"source": "synthetic"}])
def test_of_a_table_the_classes_of_all_images_are_compared(
    make_manifest: MakeManifest, part: dict[str, str]
) -> None:
    plain = {"split": "train", "source": "real"}
    columns = {name: [plain[name], plain[name], value] for name, value in part.items()}
    manifest = make_manifest(["a", "b", "A"], **columns)
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


def test_null_edits_are_no_images_of_a_generator(make_manifest: MakeManifest) -> None:
    manifest = make_manifest(
        "abababa",
        source=["real"] * 2 + ["synthetic"] * 5,
        generator=["", "", *"xxxyy"],
        further={"control": ["", "", "", "null-edit", *["null-edit"] * 3]},
    )
    assert generators(manifest) == ["x"]
    assert missing_classes(manifest) == {"x": ["b"]}
    unknown = make_manifest(
        "ab", source=["real", "synthetic"], further={"control": ["", "null-edit"]}
    )
    with pytest.raises(XprobeError, match=r"class 'b' of synthetic \(generator default\) has no"):
        check_classes(unknown, "data", whole=False)
