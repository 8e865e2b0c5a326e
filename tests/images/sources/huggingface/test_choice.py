"""Names of classes that the files of a Hugging Face data set state."""

from __future__ import annotations

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.sources.huggingface.card import ClassNames
from xprobe.images.sources.huggingface.choice import agreed_names

CATS: ClassNames = {"label": ("cat", "dog")}
DOGS: ClassNames = {"label": ("dog", "cat")}


def test_names_are_those_of_the_files_that_state_some() -> None:
    stated = [("README.md", {}), ("a.parquet", CATS), ("b.parquet", {}), ("c.parquet", CATS)]
    assert agreed_names(stated, ["label", "split"]) == CATS


@pytest.mark.parametrize("before", [[], [("README.md", {})], [("a.parquet", {})]])
def test_files_that_name_classes_otherwise_are_an_error_wherever_they_stand(
    before: list[tuple[str, ClassNames]],
) -> None:
    stated = [*before, ("b.parquet", CATS), ("c.parquet", DOGS)]
    words = r"label are cat, dog in b\.parquet and dog, cat in c\.parquet; .* --classes FILE"
    with pytest.raises(XprobeError, match=words):
        agreed_names(stated, ["label"])
    assert agreed_names(stated, ["split"]) == {}
