"""The torch device that work runs on."""

from __future__ import annotations

import os

from xprobe.base.errors import XprobeError


def pick_device(device: str, *, float64: bool = False) -> str:
    """Return the torch device that ``auto`` stands for, or `device` after a check.

    ``auto`` is a CUDA device if there is one, else an Apple GPU (mps), else the CPU. A GPU of Apple
    computes no float64: work that needs it, as logistic heads do to end what float32 cannot, goes
    to the CPU instead.

    Args:
        device: a torch device, or ``auto``.
        float64: whether the work needs float64.

    Raises:
        XprobeError: the device cannot be used, or has no float64 though that is needed.
    """
    import torch

    # cuBLAS is deterministic with workspaces of this size alone. It is set for all work, since
    # torch reads it once, at the first product, and a later fine-tune may need it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and not float64 else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise XprobeError(f"device {device!r} is not usable here ({line}); try cpu") from error
    if float64 and device.startswith("mps"):
        raise XprobeError("heads need float64, which mps has not; try --device cpu")
    return device
