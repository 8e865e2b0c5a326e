"""Which torch device work runs on."""

from __future__ import annotations

import pytest
import torch

from xprobe.base.errors import XprobeError
from xprobe.engine.device import pick_device


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)


@pytest.mark.usefixtures("apple")
def test_auto_takes_an_apple_gpu_unless_float64_is_needed() -> None:
    assert pick_device("auto") == "mps"
    assert pick_device("auto", float64=True) == "cpu"


@pytest.mark.usefixtures("apple")
def test_a_device_without_float64_is_refused_to_what_needs_it() -> None:
    assert pick_device("mps") == "mps"
    with pytest.raises(XprobeError, match="heads need float64, which mps has not"):
        pick_device("mps", float64=True)


def test_auto_takes_a_cuda_gpu_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("auto", float64=True) == "cuda"


def test_a_device_that_is_not_there_is_answered_with_one_that_works() -> None:
    with pytest.raises(XprobeError, match=r"device 'abacus' is not usable here .*; try cpu"):
        pick_device("abacus")
