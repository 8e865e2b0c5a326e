"""The process that decodes: what lies in the working folder is data, and no module of Python's."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from makers import put_traps

from xprobe.encoders.families.builtin import Hog
from xprobe.features.decode_process import DecodeProcess


def test_files_of_the_working_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_traps(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "content").write_bytes(b"content")
    with DecodeProcess([Hog()]) as process:
        assert process.digests([("content", None)]) == [sha256(b"content").hexdigest()]
    assert not (tmp_path / "ran").exists()
