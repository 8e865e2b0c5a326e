"""The licence that counts for an image: its own, or that of what it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from makers import MakeManifest

from xprobe.base.arrays import frozen_strings
from xprobe.design.lineage import licences
from xprobe.images.manifest import Manifest


@pytest.fixture
def table(make_manifest: MakeManifest) -> Manifest:
    """Two real images that may not be passed on, one that may, and edits of each."""
    rows = [  # id, source, group, parent, licence
        ("r0", "real", "s0", "", "xBD"),
        ("r1", "real", "s0", "", "mine"),
        ("r2", "real", "s2", "", "mine"),
        ("r3", "real", "s2", "r0", ""),
        ("e0", "synthetic", "", "r0", ""),
        ("e1", "synthetic", "", "r0", "free"),
        ("e2", "synthetic", "", "s0", "free"),
        ("e3", "synthetic", "", "r1", "free"),
        ("e4", "synthetic", "", "r2", "xBD"),
        ("e5", "synthetic", "s0", "", ""),
        ("e6", "synthetic", "", "elsewhere", "free"),
        ("e7", "synthetic", "", "", ""),
        ("e8", "synthetic", "", "r3", ""),
    ]
    names = "id", "source", "group", "parent", "licence"
    columns: dict[str, Sequence[str]] = dict(zip(names, zip(*rows, strict=True), strict=True))
    licence = frozen_strings(columns.pop("licence"))
    made = make_manifest(["a"] * len(rows), **{k: list(v) for k, v in columns.items()})
    object.__setattr__(made, "further", {"licence": licence})
    return made


def test_an_edit_has_the_licence_of_its_source_where_that_is_stricter(table: Manifest) -> None:
    """A parent is one image, and only the name of a scene stands for all images of it."""
    assert dict(zip(table.id, licences(table), strict=True)) == {
        "r0": "xBD", "r1": "mine", "r2": "mine", "r3": "xBD",
        "e0": "xBD", "e1": "xBD", "e2": "xBD", "e3": "free", "e4": "xBD", "e5": "xBD",
        "e6": "free", "e7": "", "e8": "xBD",
    }  # fmt: skip


def test_copies_of_an_image_that_may_not_be_passed_on_may_not_either(table: Manifest) -> None:
    before = dict(zip(table.id, licences(table), strict=True))
    copy_of = {"r2": "r0", "e7": "r0", "e6": "r1"}
    digests = [copy_of.get(name, name) for name in table.id]
    object.__setattr__(table, "sha256", np.array(digests, dtype=object))
    after = dict(zip(table.id, licences(table), strict=True))
    assert after == before | {"r2": "xBD", "e7": "xBD"}


def test_images_that_were_not_read_are_no_copies(table: Manifest) -> None:
    before = licences(table).tolist()
    object.__setattr__(table, "sha256", np.array([""] * len(table), dtype=object))
    assert licences(table).tolist() == before


def test_without_licences_nothing_is_looked_for(
    make_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_manifest(["a", "b"], source=["real", "synthetic"], parent=["", "i0"])
    monkeypatch.setattr(Manifest, "select", None)
    assert licences(plain).tolist() == ["", ""]
    free = make_manifest(["a", "b"], source=["real", "synthetic"], parent=["", "i0"])
    object.__setattr__(free, "further", {"licence": np.array(["mine", ""], dtype=object)})
    assert licences(free).tolist() == ["mine", ""]
