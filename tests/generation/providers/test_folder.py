"""By hand: what is to be made lies in one folder, and comes back in another."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted import png

from xprobe.base.errors import OptionError
from xprobe.generation.base import Answer, Request, WaitingError
from xprobe.generation.providers.folder import Folder
from xprobe.generation.registry import PROVIDERS, Access


def request(image: bytes | None) -> Request:
    return Request("abc", "web", "flood it", {}, 1, image)


@pytest.fixture
def provider(tmp_path: Path) -> Folder:
    made = PROVIDERS["folder"].open(Access("web", tmp_path))
    assert isinstance(made, Folder)
    return made


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_source_and_prompt_lie_there_until_the_image_comes_back(
    provider: Folder, tmp_path: Path, kind: str
) -> None:
    source = png(1, kind=kind)
    with pytest.raises(WaitingError, match="by hand"):
        provider.make([request(source)])
    suffix = {"JPEG": "jpg"}.get(kind, kind.lower())
    assert (tmp_path / "to-do" / f"abc.{suffix}").read_bytes() == source
    assert (tmp_path / "to-do" / "abc.txt").read_text() == "flood it\n"
    back = png(2, kind=kind)
    (tmp_path / "done" / f"abc.{suffix.upper()}").write_bytes(back)
    (answer,) = provider.make([request(source)])
    assert isinstance(answer, Answer)
    assert answer.content == back
    assert list((tmp_path / "to-do").iterdir()) == []


@pytest.mark.parametrize("content", [b"", png(2)[:60], b"<html>"])
def test_what_did_not_come_back_whole_is_still_to_be_done(
    provider: Folder, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(WaitingError):
        provider.make([request(png(1))])
    (tmp_path / "done" / "abc.png").write_bytes(content)
    with pytest.raises(WaitingError, match=r"done/abc.png, but what came back is .*; replace it"):
        provider.make([request(png(1))])
    assert len(list((tmp_path / "to-do").iterdir())) == 2


def test_text_alone_has_no_picture_to_take_along(provider: Folder, tmp_path: Path) -> None:
    with pytest.raises(WaitingError):
        provider.make([request(None)])
    assert [file.name for file in (tmp_path / "to-do").iterdir()] == ["abc.txt"]


def test_a_person_takes_no_parameters(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--param quality"):
        PROVIDERS["folder"].open(Access("web", tmp_path, {"quality": "low"}))
