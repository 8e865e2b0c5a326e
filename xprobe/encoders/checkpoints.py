"""Files of weights as they lie on disk, read without running anything that is in them."""

from __future__ import annotations

import json
import zipfile
from argparse import Namespace
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

from xprobe.base.errors import XprobeError, first_few

INDEX = ".index.json"
"""The end of the name of a file that says which weights are in which shard."""


def read_checkpoint(file: Path) -> Any:
    """Return what a .safetensors file, a file of ``torch.save`` or an index of shards holds.

    Beside tensors, files of training runs hold settings and numbers, which are read if their types
    are harmless. `states.pick_state` takes the weights out.

    Raises:
        XprobeError: the file is damaged or of another format, or would run code when it is read.
    """
    if file.name.endswith(INDEX):
        return _read_shards(file)
    return _read_safetensors(file) if _is_safetensors(file) else _read_pickle(file)


def locate_weights(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of these files, or indexes of its shards, in a folder, or None."""
    for name in names:
        for file in (folder / name, folder / f"{name}{INDEX}"):
            if file.is_file():
                return file
    return None


def shards_of(index: Path) -> list[str]:
    """Return the names of the files in which the weights of an index lie, in order.

    Raises:
        XprobeError: the index is damaged, or names a file outside its folder.
    """
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise XprobeError(
            f"{index}: not readable as an index of shards; save the weights again"
        ) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise XprobeError(f"{index}: {name!r} is no name of a file beside the index")
    return sorted(names)


def _read_shards(index: Path) -> dict[Any, Any]:
    state: dict[Any, Any] = {}
    for name in shards_of(index):
        file = index.with_name(name)
        if not file.is_file():
            raise XprobeError(f"{index}: the shard {name} is missing; copy it into the folder")
        state.update(read_checkpoint(file))
    return state


def _is_safetensors(file: Path) -> bool:
    """Return whether a file is one of safetensors, whatever its name: a length, then JSON."""
    if file.suffix == ".safetensors":
        return True
    with file.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def _read_safetensors(file: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except Exception as error:  # safetensors raises errors of its own, and KeyError for new dtypes.
        raise XprobeError(
            f"{file}: not readable as weights: it is cut off, damaged, or no safetensors file; "
            f"copy it again"
        ) from error


def _read_pickle(file: Path) -> Any:
    """Return what ``torch.save`` wrote; only tensors and the types of `_harmless` are made."""
    import torch

    if _is_torchscript(file):
        raise XprobeError(
            f"{file}: not readable as weights: it is a TorchScript program; save its weights "
            f"alone: torch.save(torch.jit.load(FILE).state_dict(), NEW)"
        )
    with torch.serialization.safe_globals(_harmless()):
        try:
            # Memory holds only what is used, but the format of before 2020 cannot be mapped.
            mapped = zipfile.is_zipfile(file)
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # torch raises a dozen types, with advice to trust the file.
            names = _foreign_types(file)
            if names:
                raise XprobeError(
                    f"{file}: not readable as weights: beside them it holds {first_few(names, 3)}, "
                    f"and making such objects would run code; if you trust the file, save the "
                    f"state dict alone: torch.save(model.state_dict(), NEW)"
                ) from error
            raise XprobeError(
                f"{file}: not readable as weights: it is cut off, damaged, or of another format; "
                f"save a state dict as .safetensors or by torch.save"
            ) from error


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
    return False


def _foreign_types(file: Path) -> list[str]:
    """Return the names of the types and functions in a file that are not made when it is read."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    with suppress(Exception):  # A damaged file has no such names.
        return sorted(get_unsafe_globals_in_checkpoint(file))
    return []


def _harmless() -> list[Any]:
    """Return the types beside tensors that training runs save, and whose making runs no code."""
    import _codecs

    import numpy as np

    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    numbers = "bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64"
    paths = [
        (kind, f"{module}.{name}")
        for kind, name in ((PurePosixPath, "PosixPath"), (PureWindowsPath, "WindowsPath"))
        for module in ("pathlib", "pathlib._local")
    ]
    return [
        Namespace, SimpleNamespace, *paths, _codecs.encode,
        np.dtype, np.ndarray, *(type(np.dtype(name)) for name in numbers), scalar, array,
        # These are the names of the two in NumPy before 2.0.
        (scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct"),
    ]  # fmt: skip
