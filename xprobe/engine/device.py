"""The torch device that work runs on."""

from __future__ import annotations

import os

from xprobe.base.errors import XprobeError


def pick_device(device: str) -> str:
    """Return the torch device that `auto` stands for, or `device` after a check."""
    import torch

    # cuBLAS is deterministic in workspaces of this size alone, and torch asks for it once, at the
    # first product: before any is a fine-tune that must be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

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
