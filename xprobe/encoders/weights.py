"""Files of weights: located or fetched, loaded strictly, digested."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, XprobeWarning, first_few, first_line
from xprobe.base.network import check_network
from xprobe.encoders.states import State

OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

# Repositories of timm and of transformers name their files alike.
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")

SCALARS = ("logit_scale", "logit_bias")
"""Weights of networks with a text side that belong to neither side."""


def load_strictly(model: Any, state: State, checkpoint: Path) -> None:
    """Load a state dict whose every key and shape must be the model's.

    Raises:
        XprobeError: keys are missing, unexpected or of another shape; the message names them.
    """
    wanted = model.state_dict()
    for scalar in SCALARS:
        if scalar in state and scalar in wanted and state[scalar].numel() == wanted[scalar].numel():
            state[scalar] = state[scalar].reshape(wanted[scalar].shape)
    faults = {
        "missing": [k for k in wanted if k not in state],
        "unexpected": [k for k in state if k not in wanted],
        "of another shape": [k for k in wanted if k in state and wanted[k].shape != state[k].shape],
    }
    refuse_misfit(faults, checkpoint)
    model.load_state_dict(state, strict=True)


def refuse_misfit(faults: Mapping[str, Sequence[str]], checkpoint: Path) -> None:
    """Raise if there are weights with any kind of fault (missing, unexpected, …).

    Raises:
        XprobeError: some weights have a fault; the message names them.
    """
    messages = [
        f"{len(keys)} {kind}: {first_few(keys, 3)}" for kind, keys in faults.items() if keys
    ]
    if messages:
        raise XprobeError(
            f"{checkpoint}: the weights do not fit the architecture: {'; '.join(messages)}"
        )


def digest_weights(module: Any) -> str:
    """Return a SHA-256 of names, shapes and bytes, the same for equal weights in any file."""
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
        file = try_to_load_from_cache(repository, name)
        if isinstance(file, str):
            return Path(file)
    return None


def hub_file(
    repository: str, names: Sequence[str], encoder: str, file_form: str | None = None
) -> Path:
    """Return the first of these files of a hub repository: from the local cache, else fetched.

    Args:
        repository: ``org/name``.
        names: files, the preferred first; one is enough.
        encoder: name by which the user asked for the encoder, for the error.
        file_form: prefix with which the user may name a local file or folder instead.

    Raises:
        XprobeError: no file is on this machine or can be fetched; the message says what is missing
            and how to provide it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    if (cached := cached_file(repository, names)) is not None:
        return cached
    instead = f"name a local one, --encoder {file_form}PATH; " if file_form else ""
    missing = (
        f"{encoder}: {names[0]} of {repository} is not on this machine; run 'xprobe encoders fetch "
        f"{encoder}' on one with a network and copy {HF_HUB_CACHE} here; or set HF_ENDPOINT to a "
        f"mirror; or {instead}('--encoder hog' needs no weights)"
    )
    check_network(ENDPOINT, missing)
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except EntryNotFoundError:
            continue
        except Exception as error:  # The hub raises a dozen types of errors.
            raise XprobeError(f"{missing} [the download failed: {first_line(error)}]") from error
    raise XprobeError(f"{encoder}: {repository} has no {' or '.join(names)}; it holds no weights")


def hub_folder(
    repository: str,
    revision: str,
    file: str,
    needed: Sequence[str] = (),
    is_whole: Callable[[Path], bool] = Path.is_dir,
    command: str = "hf download",
) -> Path:
    """Return the folder of a file of a hub repository: from the local cache, else fetched.

    Args:
        repository: ``org/name``.
        revision: a branch, tag or commit.
        file: the file, within the repository.
        needed: what else is needed, ``*`` standing for any part of a name.
        is_whole: whether a folder of the cache holds all that is needed.
        command: what fetches it by hand, for the error.

    Raises:
        XprobeError: it is not whole on this machine and cannot be fetched; the message says how to
            provide it.
    """
    from huggingface_hub import snapshot_download, try_to_load_from_cache
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    cached = try_to_load_from_cache(repository, file, revision=revision)
    if isinstance(cached, str) and is_whole(Path(cached).parent):
        return Path(cached).parent
    missing = (
        f"{repository} is not on this machine, or not all of it; run '{command}' on one with a "
        f"network and copy {HF_HUB_CACHE} here; or set HF_ENDPOINT to a mirror; or name a local "
        f"folder instead"
    )
    check_network(ENDPOINT, missing)
    if needed:  # They may be gigabytes.
        warnings.warn(XprobeWarning(f"{repository} is fetched to {HF_HUB_CACHE}"), stacklevel=2)
    try:
        root = snapshot_download(repository, revision=revision, allow_patterns=[file, *needed])
    except Exception as error:  # The hub raises a dozen types of errors.
        raise XprobeError(f"{missing} [the download failed: {first_line(error)}]") from error
    return Path(root, file).parent


def address_file(url: str, file: Path, encoder: str) -> Path:
    """Return `file`, downloaded from an address if there is no such file.

    Raises:
        XprobeError: the file is not on this machine and cannot be downloaded.
    """
    import torch

    if file.is_file():
        return file
    missing = f"{encoder}: {file} is not on this machine; download {url} to there"
    check_network(url, f"{missing} ('--encoder hog' needs no weights)")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), progress=False)
    except Exception as error:
        raise XprobeError(f"{missing} [the download failed: {error}]") from error
    return file


def torch_cache() -> Path:
    """Return where torch keeps downloaded weights, as ``torch.hub`` finds it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
