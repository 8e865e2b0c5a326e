"""Encoders by name.

A name is a short one of `ENCODERS`, a long form ``<family>:<rest>``, one that another package
registered under the entry point ``xprobe.encoders``, or ``module:function`` of your own.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import cast

from xprobe.base.declared import parse_names, split_names
from xprobe.base.errors import OptionError, XprobeError, did_you_mean
from xprobe.encoders.base import Encoder
from xprobe.encoders.families.own import is_module
from xprobe.encoders.names import split_alias
from xprobe.encoders.network import Network
from xprobe.encoders.presets import DEFAULT_ENCODER, ENCODERS, IMPORT_ONLY, canonical
from xprobe.encoders.registry import FAMILIES, OWN, Family, family_of, outside_encoders
from xprobe.encoders.spec import PRECISIONS
from xprobe.encoders.tower import Tower, Wish
from xprobe.encoders.weights import cached_file, hub_file, torch_cache
from xprobe.engine.device import pick_device
from xprobe.images.resize import check_codec
from xprobe.images.samples import AS_IT_IS, Reading

__all__ = [
    "DEFAULT_ENCODER", "ENCODERS", "canonical", "check_name", "is_local", "load", "split_encoders",
]  # fmt: skip


def load(
    name: str,
    device: str = "auto",
    precision: str = "fp32",
    layer: str | None = None,
    random_weights: bool = False,
    codec: str = "",
    resampling: str = "",
    *,
    reading: Reading = AS_IT_IS,
    trainable: bool = False,
) -> Encoder:
    """Return the encoder of a name, its weights loaded and checked.

    Args:
        name: name of the encoder in one of the four forms above.
        device: a torch device, or ``auto``: a GPU if there is one.
        precision: precision of the forward pass, one of `PRECISIONS`.
        layer: ``projected`` or ``pooled``; by default the former where there is one.
        random_weights: leave the weights as initialised; the spec says so.
        codec: codec by which every image is encoded anew first (`images.resize.reencode`); ``""``:
            none.
        resampling: ``fast``, or ``""`` for Pillow's, which publishers of encoders use.
        reading: which samples of a file are decoded.
        trainable: leave the network as it can be trained, which makes it slower on a CPU.

    Raises:
        XprobeError: an unknown name or codec, weights that are not on this machine and cannot be
            fetched, or weights that do not fit the architecture.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if codec:
        check_codec(codec)
    family, rest = check_name(name)
    if not family.has_networks and precision != PRECISIONS[0]:
        raise XprobeError(f"{name} computes in {PRECISIONS[0]} only")
    if not family.has_networks and (layer is not None or random_weights):
        option = "--layer" if layer is not None else "--random-weights"
        raise XprobeError(f"{name} has neither layers nor weights to choose; leave {option} out")
    if name in ENCODERS and not random_weights:
        _provide_weights(name, family)
    wish = Wish(layer, random_weights)
    loaded, exact = family.load(rest, wish), None
    if isinstance(loaded, Tower):
        device = pick_device(device)
        if precision != PRECISIONS[0] or resampling:
            exact = Network(replace(loaded, module=deepcopy(loaded.module)), device, PRECISIONS[0])
        encoder: Encoder = Network(loaded, device, precision, trainable=trainable)
        encoder.see_through(codec, resampling, exact, reading)
        return encoder
    exact_own = cast(Encoder, family.load(rest, wish)) if resampling else None
    loaded.see_through(codec, resampling, exact_own, reading)
    return loaded


def check_name(name: str) -> tuple[Family, str]:
    """Return the family of an encoder, and its name in the family, without loading the encoder.

    Raises:
        XprobeError: no encoder has the name; the message offers the nearest names.
    """
    source = ENCODERS[name].source if name in ENCODERS else name
    if source == IMPORT_ONLY:
        raise XprobeError(
            f"{name} cannot live beside a current torch: embed with it elsewhere and run 'xprobe "
            f"import-features FILE --encoder-name {name}'"
        )
    named = _named(source)
    if named is None:
        raise XprobeError(_unknown(name))
    return named


def split_encoders(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in texts that are a name or a list of names with commas, each once.

    A path of weights may hold commas: a text with a slash stays whole unless all parts are names.
    """

    def is_name(text: str) -> bool:
        parts = [canonical(split_alias(part)[1]) for part in parse_names(text)]
        return "/" in text and not all(part in ENCODERS or _named(part) for part in parts)

    return split_names(texts, is_name)


def _named(source: str) -> tuple[Family, str] | None:
    """Return the family of a long name and the rest of the name, or None if nobody has it."""
    prefix, _, rest = source.partition(":")
    family = family_of(prefix) if rest else None
    if family is not None and (canonical(source) in ENCODERS or not family.is_closed):
        return family, rest
    if source in outside_encoders() or (is_own_code(source) and is_module(prefix)):
        return OWN, source
    return None


def _unknown(name: str) -> str:
    """Return the message of a name that no encoder has; it may import a library to find a model."""
    long_names = [f"{row.name}:{name}" for row in FAMILIES.values() if row.knows(name)]
    meant = did_you_mean(name, [*ENCODERS, *outside_encoders()])
    if long_names:
        meant = f" (did you mean {' or '.join(long_names)}?)"
    *first, last = (f"{row.name}:" for row in FAMILIES.values() if not row.is_closed)
    return (
        f"unknown encoder {name!r}{meant}; 'xprobe encoders' lists the names; others are "
        f"{', '.join(first)} or {last}<model>, or your own module:function"
    )


def is_own_code(name: str) -> bool:
    """Return whether a name has the form ``module:function``, whose code runs when it is loaded."""
    prefix, _, rest = name.partition(":")
    return prefix not in FAMILIES and rest.isidentifier()


def has_network(name: str) -> bool:
    """Return whether a name stands for a network, which can be trained."""
    source = ENCODERS[name].source if name in ENCODERS else name
    named = _named(source)
    return named is not None and named[0].has_networks  # Imported features have no encoder.


def is_local(name: str) -> bool:
    """Return whether the weights of an encoder with a short name are on this machine."""
    preset = ENCODERS[name]
    if preset.hub:
        return cached_file(preset.hub, _weight_files(name, check_name(name)[0])) is not None
    if preset.file:
        return (torch_cache() / preset.file).is_file()
    return preset.source != IMPORT_ONLY


def _weight_files(name: str, family: Family) -> tuple[str, ...]:
    """Return the files that may hold the weights of a preset, the preferred one first."""
    file = ENCODERS[name].file
    return (file,) if file else family.weights


def _provide_weights(name: str, family: Family) -> None:
    """Fetch missing weights of a preset before torch is imported, which takes seconds."""
    preset = ENCODERS[name]
    if preset.hub:
        model = preset.source.partition(":")[2].partition("/")[0]
        form = family.own_weights.format(model=model)
        hub_file(preset.hub, _weight_files(name, family), name, form)
