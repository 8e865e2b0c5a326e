"""Weights: found on this machine or fetched, read safely, loaded strictly, digested."""

from __future__ import annotations

import hashlib
import os
import socket
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xprobe.errors import XprobeError, some

OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return the state dict of a .safetensors file or of one saved by ``torch.save``.

    Nothing in the file is executed.

    Raises:
        XprobeError: the file holds anything else.
    """
    from open_clip.factory import load_state_dict

    try:
        state: dict[str, Any] = load_state_dict(str(checkpoint), weights_only=True)
    except Exception as error:  # every reader has faults of its own
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise XprobeError(
            f"{checkpoint}: not readable as weights ({line}); use a .safetensors file or a state "
            f"dict saved by torch.save"
        ) from error
    return state


def load_strictly(model: Any, state: dict[str, Any], checkpoint: Path) -> None:
    """Load a state dict whose every key and shape must be the model's.

    Raises:
        XprobeError: names what is missing, unexpected or of another shape.
    """
    own = model.state_dict()
    for scalar in ("logit_scale", "logit_bias"):
        if scalar in state and scalar in own and state[scalar].numel() == own[scalar].numel():
            state[scalar] = state[scalar].reshape(own[scalar].shape)
    faults = {
        "missing": [k for k in own if k not in state],
        "unexpected": [k for k in state if k not in own],
        "of another shape": [k for k in own if k in state and own[k].shape != state[k].shape],
    }
    if any(faults.values()):
        said = "; ".join(f"{len(k)} {what}: {some(k, 3)}" for what, k in faults.items() if k)
        raise XprobeError(f"{checkpoint}: the weights do not fit the architecture: {said}")
    model.load_state_dict(state, strict=True)


def digest_weights(module: Any) -> str:
    """Return the SHA-256 over names, shapes and bytes: the same for equal weights in any file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def cached_file(repository: str, names: Sequence[str] = OPEN_CLIP_FILES) -> Path | None:
    """Return the first of these files of a hub repository that is on this machine, or None."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def fetch(model: str, tag: str, name: str) -> Path:
    """Return the file of tagged open_clip weights, from the local cache or else from the hub.

    Raises:
        XprobeError: neither has it; says how to provide it for the encoder `name`.
    """
    import open_clip
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE

    config = open_clip.get_pretrained_cfg(model, tag)
    repository, file = os.path.split(config.get("hf_hub") or "")
    names = [file] if file else OPEN_CLIP_FILES
    if repository and (cached := cached_file(repository, names)) is not None:
        return cached
    wanted = f"{names[0]} of {repository}" if repository else str(config.get("url"))
    remedy = (
        f"{name}: the weights ({wanted}) are not on this machine; on one with a network run "
        f"'xprobe embed --encoder {name}' and copy {HF_HUB_CACHE} here, or name a file: "
        f"--encoder open_clip:{model}/path/to/weights.safetensors; '--encoder hog' needs none"
    )
    if HF_HUB_OFFLINE or not _reachable(ENDPOINT):
        raise XprobeError(f"{remedy} ({ENDPOINT} cannot be reached)")
    try:
        path = open_clip.download_pretrained(config)
    except Exception as error:
        raise XprobeError(f"{remedy} (the download failed: {error})") from error
    return Path(path)


def _reachable(url: str, timeout_s: float = 3.0) -> bool:
    """The hub's own retries take over 20 s where there is no network; one connection tells."""
    proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    if any(os.environ.get(name) for name in proxies):
        return True  # only the proxy can tell
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=timeout_s).close()
    except OSError:
        return False
    return True
