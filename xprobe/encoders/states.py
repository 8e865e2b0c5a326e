"""The one set of weights of a network, picked out of whatever a checkpoint holds; pure."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xprobe.base.errors import XprobeError, XprobeWarning, first_few

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
"""Weights by their names in the network."""

# torch puts these components into names when it compiles, shards or checkpoints a part.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")

# A counter of batch normalisation decides no feature, and is often left out.
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class _Set:
    """Weights that may be a network's: tensors side by side in a checkpoint."""

    place: str
    tensors: State
    odd_keys: tuple[Any, ...]
    prefix: str = ""

    @property
    def label(self) -> str:
        """Where the set is: the keys that lead to it, and the beginning of its names."""
        return f"{self.place}[{self.prefix}…]" if self.prefix else self.place or "(top level)"

    def without_prefix(self) -> State:
        """Return the weights under the prefix, named as the network names them."""
        n = len(self.prefix)
        return {k[n:]: v for k, v in self.tensors.items() if k.startswith(self.prefix)}


def pick_state(
    content: object, wanted: Collection[str], file: Path, order: Sequence[str] = ()
) -> State:
    """Return the weights of a network out of a checkpoint, by their names in the network.

    A checkpoint may hold several sets of weights (of an average, a teacher), and put a prefix
    before their names (``model.`` of Lightning, ``module.``, ``_orig_mod.``). The set in which all
    the wanted names stand is taken, without its prefix; what stands beside the prefix, such as the
    weights of a loss, is left out.

    Args:
        content: what `checkpoints.read_checkpoint` returned.
        wanted: names of the network's weights; if no set has them all, as in files of another
            library, the only one is returned as it is.
        file: the file, for messages.
        order: keys of which the first one there is holds the weights, as the network's library
            chooses; a warning says so if there are others.

    Raises:
        XprobeError: there are no weights, or several sets of which none is to be preferred.
    """
    sets = list(_sets(content))
    if any(".lora_A." in key for one in sets for key in one.tensors):
        raise XprobeError(
            f"{file}: holds an adapter (LoRA), not a network; load it into its base with peft and "
            f"save that: model.merge_and_unload().save_pretrained(FOLDER)"
        )
    # What is much smaller than the largest set, such as the centre of a loss, is no network.
    most = max((len(one.tensors) for one in sets), default=0)
    rivals = [one for one in sets if 2 * len(one.tensors) >= most]
    if not rivals:
        raise XprobeError(f"{file}: holds no weights; save the network's state dict into it")
    needed = [key for key in wanted if not key.endswith(COUNTER)]
    preferred = next((one for key in order for one in sets if one.place == key), None)
    if preferred is not None:
        if others := [one.label for one in rivals if one is not preferred]:
            warnings.warn(
                f"{file} holds several sets of weights; {preferred.place} is used, as its library "
                f"does, and not {first_few(others)}; to use another, save it alone",
                XprobeWarning,
                stacklevel=2,
            )
        rivals = [preferred]
    fitting = [fit for one in rivals for fit in _fits(one, needed)]
    chosen = _only_one(fitting or rivals, file)
    if chosen.odd_keys:
        raise XprobeError(
            f"{file}: a weight is named {chosen.odd_keys[0]!r}, which is no text; save the "
            f"network's state dict into it"
        )
    if fitting:
        return chosen.without_prefix()
    return _nearest(chosen, needed).without_prefix()


def _sets(content: object, place: str = "", depth: int = 0) -> Iterator[_Set]:
    """Yield each mapping in a checkpoint that holds tensors by name."""
    import torch

    if not isinstance(content, Mapping) or depth > 3:
        return
    tensors = {k: v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if any(isinstance(key, str) for key in tensors):
        named = {k: v for k, v in tensors.items() if isinstance(k, str)}
        odd_keys = tuple(k for k in tensors if not isinstance(k, str))
        yield _Set(place, _unwrapped(named), odd_keys)
    for key, value in content.items():
        if isinstance(key, str):
            yield from _sets(value, f"{place}.{key}" if place else key, depth + 1)


def _unwrapped(tensors: State) -> State:
    """Return tensors without the components that torch puts into their names."""
    names = [".".join(p for p in k.split(".") if p not in _WRAPPERS) for k in tensors]
    if len(set(names)) < len(names):  # A network stands beside its compiled self.
        return tensors
    return dict(zip(names, tensors.values(), strict=True))


def _prefixes(one: _Set, needed: Sequence[str]) -> Counter[str]:
    """Return how many of the needed names stand in a set after each prefix."""
    names, prefixes = set(needed), Counter[str]()
    for key in one.tensors:
        start = 0
        while True:
            if key[start:] in names:
                prefixes[key[:start]] += 1
            dot = key.find(".", start)
            if dot < 0:
                break
            start = dot + 1
    return prefixes


def _fits(one: _Set, needed: Sequence[str]) -> list[_Set]:
    """Return the set by each prefix after which all needed names stand."""
    prefixes = _prefixes(one, needed)
    return [
        _Set(one.place, one.tensors, one.odd_keys, prefix)
        for prefix in sorted(prefixes)
        if needed and prefixes[prefix] == len(needed)
    ]


def _nearest(one: _Set, needed: Sequence[str]) -> _Set:
    """Return a set by the prefix after which at least half of the needed names stand, if any."""
    prefixes = _prefixes(one, needed)
    near = [p for p in sorted(prefixes) if 2 * prefixes[p] >= len(needed)]
    prefix = near[0] if near else ""
    if not near and all(key.startswith("module.") for key in one.tensors):
        prefix = "module."  # DataParallel alone puts this before the names of another library.
    return _Set(one.place, one.tensors, one.odd_keys, prefix)


def _only_one(sets: Sequence[_Set], file: Path) -> _Set:
    first, *others = sets
    if all(_are_equal(first, other) for other in others):
        return first
    raise XprobeError(
        f"{file}: holds several sets of weights: {first_few([one.label for one in sets])}; save "
        f"the one that you mean alone, as a state dict, and name that file"
    )


def _are_equal(one: _Set, other: _Set) -> bool:
    """Return whether two sets are one network that a checkpoint holds twice."""
    import torch

    a, b = one.without_prefix(), other.without_prefix()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def check_tensors(state: State, wanted: Mapping[str, torch.Tensor], file: Path) -> None:
    """Refuse weights that are no plain floating-point numbers.

    Raises:
        XprobeError: a weight is quantised, complex, sparse, without values, an integer where the
            network has a floating-point number, or NaN.
    """
    import torch

    floating = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise XprobeError(
                f"{file}: {name} is sparse, quantised or without values; save the weights as "
                f"plain float32"
            )
        expected = wanted.get(name)
        is_float = name.endswith(("weight", "bias")) if expected is None else (
            expected.is_floating_point()
        )  # fmt: skip
        if (is_float or tensor.is_floating_point()) and tensor.dtype not in floating:
            raise XprobeError(
                f"{file}: {name} is of dtype {str(tensor.dtype).removeprefix('torch.')}, and not "
                f"float16, bfloat16, float32 or float64; save the weights in one of these"
            )
        if tensor.is_floating_point() and torch.isnan(tensor).any():
            raise XprobeError(
                f"{file}: {name} holds NaN, as after a diverged training; save a checkpoint from "
                f"before that"
            )
