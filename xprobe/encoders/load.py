"""Encoders by name.

A name is a short one of `ENCODERS`, a long form ``<scheme>:<rest>``, one that another package
registered under the entry point ``xprobe.encoders``, or ``module:function`` of your own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import msgspec

from xprobe.base.errors import XprobeError, nearest
from xprobe.encoders.base import Encoder
from xprobe.encoders.families import open_clip as tower_open_clip
from xprobe.encoders.families import timm as tower_timm
from xprobe.encoders.families import torchvision
from xprobe.encoders.families import transformers as tower_hf
from xprobe.encoders.families.builtin import FLOORS
from xprobe.encoders.network import Network
from xprobe.encoders.presets import DEFAULT_ENCODER, ENCODERS, IMPORT_ONLY, canonical
from xprobe.encoders.spec import PRECISIONS
from xprobe.encoders.tower import Tower, Wish
from xprobe.encoders.weights import OPEN_CLIP_FILES, TIMM_FILES, cached_file, hub_file, torch_cache
from xprobe.engine.device import pick_device
from xprobe.images.resize import check_codec

__all__ = ["DEFAULT_ENCODER", "ENCODERS", "canonical", "check_name", "is_local", "load"]

ENTRY_POINT = "xprobe.encoders"

# Scheme of a long name → what loads the tower of the rest.
TOWERS: dict[str, Callable[[str, Wish], Tower]] = {
    "open_clip": tower_open_clip.load,
    "timm": tower_timm.load,
    "torchvision": torchvision.load_torchvision,
    "hf": tower_hf.load,
}


def load(
    name: str,
    device: str = "auto",
    precision: str = "fp32",
    layer: str | None = None,
    random_weights: bool = False,
    codec: str = "",
    resampling: str = "",
    *,
    trainable: bool = False,
) -> Encoder:
    """Return the encoder of a name, its weights loaded and checked.

    Args:
        name: short, long, registered, or your own.
        device: a torch device, or ``auto``: a GPU if there is one.
        precision: of the forward pass.
        layer: ``projected`` or ``pooled``; by default the former where there is one.
        random_weights: leave the weights as initialised; the spec says so.
        codec: every image is encoded anew in this way first (`images.reencode`); ``""``: not.
        resampling: ``fast``, or ``""`` for Pillow's, which every publisher's features are of.
        trainable: leave the network as it can be trained, which makes it slower on a CPU.

    Raises:
        XprobeError: an unknown name or codec, weights that are not on this machine and cannot be
            fetched, or weights that do not fit the architecture.
    """
    if precision not in PRECISIONS:
        raise XprobeError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if codec:
        check_codec(codec)
    scheme, rest = check_name(name)
    if name in ENCODERS and not random_weights:
        _bring(name)
    if scheme in TOWERS:
        tower, device = TOWERS[scheme](rest, Wish(layer, random_weights)), pick_device(device)
        exact = None
        if precision != PRECISIONS[0] or resampling:
            exact = Network(replace(tower, module=deepcopy(tower.module)), device, PRECISIONS[0])
        network = Network(tower, device, precision, trainable=trainable)
        return _as_seen(network, exact, codec, resampling)
    if precision != "fp32":
        raise XprobeError(f"{name} computes in fp32 only")
    if layer is not None or random_weights:
        raise XprobeError(f"{name} has neither layers nor weights to choose; leave the option out")

    def make() -> Encoder:
        return FLOORS[rest]() if scheme == "builtin" else _own(name, scheme, rest)

    return _as_seen(make(), make() if resampling else None, codec, resampling)


def _as_seen(encoder: Encoder, exact: Encoder | None, codec: str, resampling: str) -> Encoder:
    """Return an encoder that sees images through a codec and a resizer."""
    encoder.spec = msgspec.structs.replace(encoder.spec, codec=codec, resampling=resampling)
    if exact is not None:
        exact.spec = msgspec.structs.replace(exact.spec, codec=codec)
        encoder.reference = exact
    return encoder


def check_name(name: str) -> tuple[str, str]:
    """Return (scheme, rest) of the long form of an encoder's name, without loading anything.

    Raises:
        XprobeError: no encoder is named like that; offers the nearest names.
    """
    source = ENCODERS[name].source if name in ENCODERS else name
    if source == IMPORT_ONLY:
        raise XprobeError(
            f"{name} cannot live beside a current torch: embed with it elsewhere and run 'xprobe "
            f"import-features FILE --encoder-name {name}'"
        )
    scheme, _, rest = source.partition(":")
    if (scheme == "builtin" and rest in FLOORS) or (scheme in TOWERS and rest):
        return scheme, rest
    registered = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT)}
    if name in registered:
        module, _, function = registered[name].value.partition(":")
        return module, function
    if scheme != "builtin" and rest.isidentifier() and _is_module(scheme):
        return scheme, rest
    raise XprobeError(
        f"unknown encoder {name!r}{nearest(name, [*ENCODERS, *registered])}; 'xprobe encoders' "
        f"lists the names; others are open_clip:, timm:, torchvision: or hf:<model>, or your own "
        f"module:function"
    )


def has_network(name: str) -> bool:
    """Return whether a name stands for a network, which can be trained."""
    try:
        return check_name(name)[0] in TOWERS
    except XprobeError:  # imported features
        return False


def is_local(name: str) -> bool:
    """Return whether the weights of a named encoder are on this machine."""
    preset = ENCODERS[name]
    scheme = preset.source.partition(":")[0]
    if scheme == "torchvision":
        return (torch_cache() / preset.file).is_file()
    if not preset.hub:
        return scheme == "builtin"
    return cached_file(preset.hub, _files(name)) is not None


def _files(name: str) -> Sequence[str]:
    preset = ENCODERS[name]
    if preset.file:
        return [preset.file]
    return OPEN_CLIP_FILES if preset.source.startswith("open_clip:") else TIMM_FILES


def _bring(name: str) -> None:
    """Have the weights of a preset here before torch is imported: a lack is told at once."""
    preset = ENCODERS[name]
    if preset.hub:
        scheme, _, rest = preset.source.partition(":")
        form = "hf:" if scheme == "hf" else f"{scheme}:{rest.partition('/')[0]}/"
        hub_file(preset.hub, _files(name), name, form)


def _is_module(name: str) -> bool:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # a module of your own lies beside your data
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _own(name: str, module: str, function: str) -> Encoder:
    try:
        made = getattr(importlib.import_module(module), function)()
    except ImportError as error:
        raise XprobeError(f"{name}: {error}; install what it needs") from error
    except AttributeError as error:
        raise XprobeError(f"{name}: {error}") from error
    if not isinstance(made, Encoder):
        raise XprobeError(
            f"{name} returned a {type(made).__name__}, not an xprobe.encoders.base.Encoder with "
            f"its spec and forward"
        )
    return made
