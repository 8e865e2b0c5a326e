"""Folders of the hub: taken from the cache, fetched, or missing with the remedy in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.encoders import weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = tmp_path / "models--owner--name"
    (root / "refs").mkdir(parents=True)
    (root / "refs/main").write_text(COMMIT)
    folder = root / "snapshots" / COMMIT / "part"
    folder.mkdir(parents=True)
    (folder / "index.json").touch()
    return folder


def fetched(revision: str = "main", **options: Any) -> Path:
    return weights.hub_folder(
        "owner/name", revision, "part/index.json", ["part/*.bin"], command="fetch it", **options
    )


def test_what_is_whole_in_the_cache_needs_no_network(cache: Path) -> None:
    assert fetched() == fetched(COMMIT) == cache


def test_what_is_not_whole_is_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options))
        return str(cache.parent)

    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr("xprobe.base.network.is_reachable", lambda _: True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.warns(XprobeWarning, match="owner/name is fetched to"):
        assert fetched(COMMIT, is_whole=lambda folder: (folder / "a.bin").exists()) == cache
    patterns = ["part/index.json", "part/*.bin"]
    assert asked == [("owner/name", {"revision": COMMIT, "allow_patterns": patterns})]

    def refuse(*_: object, **__: object) -> str:
        raise OSError("403: you are not on the list\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with (
        pytest.warns(XprobeWarning),
        pytest.raises(XprobeError, match=r"the download failed: 403: you are not on the list]$"),
    ):
        fetched("v2")


def test_what_cannot_be_fetched_gives_the_remedy(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = r"not all of it; run 'fetch it' on one with a network .* \[offline, as asked\]"
    with pytest.raises(XprobeError, match=f"owner/name is not on this machine, or {words}"):
        fetched("v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr("xprobe.base.network.is_reachable", lambda _: False)
    with pytest.raises(XprobeError, match=r"huggingface\.co cannot be reached"):
        fetched(is_whole=lambda _: False)
