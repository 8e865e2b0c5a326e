"""The torch device that work runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xprobe.base.errors import XprobeError

if TYPE_CHECKING:
    pass


def pick_device(device: str) -> str:
    """Return the torch device that `auto` stands for, or `device` after a check."""
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise XprobeError(f"device {device!r} is not usable here ({line}); try cpu") from error
    return device
