"""The process that decodes: what it runs and sees, and in which silence."""

from __future__ import annotations

import io
import tarfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from makers import put_traps, tiff_of

from xprobe.encoders.base import Pixels
from xprobe.encoders.families.builtin import Hog, RawPixels
from xprobe.features.decode_process import DecodeProcess, Eyes, Failure, Place, Request
from xprobe.images.samples import Reading


def test_files_of_the_working_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_traps(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "content").write_bytes(b"content")
    with DecodeProcess([Hog()]) as process:
        assert process.digests([("content", None)]) == [sha256(b"content").hexdigest()]
    assert not (tmp_path / "ran").exists()


def test_members_of_archives_are_read_by_gdal_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process sees of a TIFF of 13 bands what the calling thread sees."""
    scene = np.random.default_rng(0).integers(0, 2750, (13, 20, 24)).astype(np.uint16)
    whole = tiff_of(scene, compress="deflate")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, content in (("whole.tif", whole), ("cut.tif", whole[:-500])):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    encoder = RawPixels()
    encoder.see_through("", "", None, Reading((4, 3, 2), (0, 2750)))
    places: list[Place] = [(f"{tmp_path}/x.tar::{name}.tif", None) for name in ("whole", "cut")]

    def look(eyes: Eyes | DecodeProcess) -> tuple[Pixels, list[list[Failure | None]]]:
        memory = np.zeros((16, 16, 3), np.uint8)
        digests = [str(digest) for digest in eyes.digests(places)]
        requests = [
            Request(place, digest, [(0, [(digest, "")])])
            for place, digest in zip(places, digests, strict=True)
        ]
        return memory, list(eyes.see(requests, lambda number, name, fill: fill(memory)))

    with DecodeProcess([encoder]) as process:
        elsewhere, outcomes = look(process)
    beside, same = look(Eyes([encoder]))
    np.testing.assert_array_equal(elsewhere, beside)
    assert elsewhere.any() and outcomes == same
    (failure,) = outcomes[1]
    assert outcomes[0] == [None] and failure is not None and not failure.lasts
    assert failure.reason.startswith("GDAL cannot read it: ")
    assert capfd.readouterr() == ("", "")
