"""The image table as a value: synthetic images that are made for a control alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import MakeManifest

from xprobe.base.errors import XprobeError
from xprobe.images.manifest import id_of

SOURCE = ["real", "synthetic", "synthetic"]


def test_a_control_that_nobody_knows_is_refused(make_manifest: MakeManifest) -> None:
    with pytest.raises(XprobeError, match="unknown control 'null'; known: null-edit"):
        make_manifest("aab", source=SOURCE, further={"control": ["", "null", ""]})
    with pytest.raises(XprobeError, match="real images with a control: i0; the column control is"):
        make_manifest("aab", source=SOURCE, further={"control": ["null-edit", "", ""]})


def test_controls_stand_apart_and_decide_the_study(make_manifest: MakeManifest) -> None:
    plain = make_manifest("aab", source=SOURCE)
    assert plain.without_controls() is plain
    without_any = make_manifest("aab", source=SOURCE, further={"control": [""] * 3})
    assert without_any.fingerprint == plain.fingerprint
    table = make_manifest("aab", source=SOURCE, further={"control": ["", "null-edit", ""]})
    assert table.is_control.tolist() == [False, True, False]
    assert table.without_controls().id.tolist() == ["i0", "i2"]
    assert table.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    "path", ["a/b.png", "a//b.png", "./b.png", "a/./b.png", "/a/b", "a/.b", "x.tar::./b", "a/", "."]
)
def test_a_path_is_an_id_as_it_is_written_plainly(path: str) -> None:
    assert id_of({"path": path}) == Path(path).as_posix()
    assert id_of({"path": path, "id": "7"}) == "7"
