"""Which parameters of an encoder's network are trained, and how fast."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xprobe.base.errors import XprobeError
from xprobe.encoders.registry import FAMILIES

# These parameters are no weights of a sum, so that nothing is gained by drawing them to zero.
_NOT_DECAYED = re.compile(
    r"(bias\w*|_tokens?|(class|cls|pos|position|positional)_embed\w*(\.weight)?|logit_scale)$"
)

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


def set_trainable(module: nn.Module) -> None:
    """Make every floating-point parameter of a network trainable, since xprobe loads them frozen.

    Raises:
        XprobeError: the network has no such parameter.
    """
    floating = [p for p in module.parameters() if p.is_floating_point()]
    if not floating:
        *first, last = (f"{row.name}:" for row in FAMILIES.values() if row.has_networks)
        raise XprobeError(
            f"an encoder without gradients: it has no parameters to train; take a network "
            f"({', '.join(first)} or {last})"
        )
    for parameter in floating:
        parameter.requires_grad_(True)


# --- depth ---------------------------------------------------------------------------------


def depth_of(module: nn.Module) -> dict[str, int]:
    """Return how deep each parameter lies, by its name in `named_parameters`.

    The i-th of L blocks is at depth i = 1, …, L. What comes before the first block (patch
    embedding, stem, class token) is at 0, what comes after the last block (final norm, pooling,
    projection) at L + 1, and what stands between two blocks (downsampling) at the depth of the
    first of them. In a plain chain such as AlexNet the weight layers are the blocks.

    Raises:
        XprobeError: the network consists of no blocks in a row.
    """
    return _depths(module, _find_blocks(module))


def parameter_groups(
    module: nn.Module, head: nn.Module, *, lr: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return the parameters that require gradients, in groups for `torch.optim.AdamW`.

    The head is at depth L + 2 and learns at `lr`; the encoder's depth i learns at
    lr·layer_decay^(L + 2 - i) (Clark et al. 2020; Bao et al. 2022). Parameters of fewer than two
    dimensions (biases, norms), class tokens, position embeddings and logit scales have no weight
    decay. Each group states its ``depth``. With a `layer_decay` of 1 the network's structure does
    not matter, and the whole encoder is one depth below the head.

    Raises:
        XprobeError: `layer_decay` is not 1 and the network consists of no blocks in a row.
    """
    blocks = _find_blocks(module) if layer_decay != 1 else []
    depths = _depths(module, blocks)
    top = len(blocks) + 2
    placed = [(depths[name], name, p) for name, p in module.named_parameters()]
    placed += [(top, name, p) for name, p in head.named_parameters()]
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for depth, name, parameter in placed:
        if not parameter.requires_grad:
            continue
        decayed = parameter.ndim > 1 and not _NOT_DECAYED.search(name)
        empty = {
            "params": [],
            "lr": lr * layer_decay ** (top - depth),
            "weight_decay": weight_decay if decayed else 0.0,
            "depth": depth,
        }
        groups.setdefault((depth, decayed), empty)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _depths(module: nn.Module, blocks: list[str]) -> dict[str, int]:
    """Return the depth of each parameter; modules list their parts in the order of use."""
    depths: dict[str, int] = {}
    last, reached = len(blocks), 0
    for name, _ in module.named_parameters():
        block = next((i for i, b in enumerate(blocks, 1) if name.startswith(f"{b}.")), None)
        if block is not None:
            depths[name] = reached = block
        # A module lists its own parameters before those of its parts. The matrix `proj` of
        # open_clip's ViT is therefore listed first, although it is used last.
        elif reached == last or name == "proj":
            depths[name] = last + 1
        else:
            depths[name] = reached
    return depths


def _find_blocks(module: nn.Module) -> list[str]:
    """Return the names of a network's blocks, or of the weight layers of a plain chain."""
    for names in (_blocks_within(module), _layers_of_chain(module)):
        if len(names) > 1:
            return names
    raise XprobeError(
        f"no blocks in a row are known in a {type(module).__name__}, so that the layers cannot "
        f"learn at different rates; use --layer-decay 1"
    )


def _blocks_within(module: nn.Module, name: str = "") -> list[str]:
    """Return the names of the blocks inside a module, or its own name if it is a block.

    Most weights of a network or a stage lie in units that stand in a row. Most weights of a block
    do not: what stands in a row there is single layers, or a small part (squeeze and excite).
    """
    units = list(_units(module, name))
    if 2 * sum(_matrices(unit) for _, unit in units) <= _matrices(module):
        return [name]
    return [block for unit_name, unit in units for block in _blocks_within(unit, unit_name)]


def _units(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and modules: the outermost members of lists with two or more weights each."""
    for key, child in module.named_children():
        name = f"{prefix}.{key}" if prefix else key
        if _is_list(module) and _matrices(child) > 1:
            yield name, child
        else:
            yield from _units(child, name)


def _layers_of_chain(module: nn.Module) -> list[str]:
    """Return the names of the weight layers if all of them stand in lists, else no name."""
    layers = [
        f"{prefix}.{key}" if prefix else key
        for prefix, part in module.named_modules()
        for key, child in part.named_children()
        if _is_list(part) and not list(child.children()) and _matrices(child)
    ]
    return layers if len(layers) == _matrices(module) else []


def _is_list(module: nn.Module) -> bool:
    """Return whether a module is a row of modules; torch's parametrizations do not count."""
    row = isinstance(module, (nn.ModuleList, nn.Sequential))
    return row and not isinstance(module, parametrize.ParametrizationList)


def _matrices(module: nn.Module) -> int:
    """Return the number of weights, as opposed to vectors (biases, norms, tokens, gains)."""
    return sum(p.squeeze().ndim > 1 for p in module.parameters())


# --- low rank ------------------------------------------------------------------------------


class LowRank(nn.Module):
    """W + (alpha / rank)·B A for a weight W (rows, columns); A starts random and B at zero."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape
        # A is drawn on the CPU, since a GPU's generator gives other numbers for the same seed. The
        # code of Hu et al. draws it in this way.
        start = nn.init.kaiming_uniform_(torch.empty(rank, columns), a=5**0.5)
        self.A = nn.Parameter(start.to(weight))
        self.B = nn.Parameter(weight.new_zeros(rows, rank))
        self.scale = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.B @ self.A)


def add_low_rank(module: nn.Module, rank: int = 8, alpha: float = 16) -> int:
    """Freeze a network and add trainable low-rank matrices to its attention (Hu et al. 2022).

    Every weight matrix W of the projections to queries, keys and values, and of the projection of
    their result, becomes W + (alpha / rank)·B A; a matrix that holds several of them (``qkv``)
    counts as one. As B = 0 at first, the features stay the same to the last bit: without gradients
    those of the frozen network, with gradients those of the whole network in training, for which
    torch takes other kernels. A is drawn from torch's global generator of the CPU.

    Returns:
        The number of trainable parameters.

    Raises:
        XprobeError: the network has no attention.
    """
    targets = list(_attention_weights(module))
    if not targets:
        raise XprobeError(
            f"LoRA needs attention, of which a {type(module).__name__} has none; use --method full"
        )
    module.requires_grad_(False)
    for part, name in targets:
        # Wrapping the part would do nothing, since the attention of torch and CLIP reads the
        # weights of its parts without calling them. A parametrization changes what it reads.
        added = LowRank(part.get_parameter(name), rank, alpha)
        parametrize.register_parametrization(part, name, added)
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def merge_low_rank(module: nn.Module) -> None:
    """Merge what `add_low_rank` added into plain weights, which are frozen and named as before."""
    for part in list(module.modules()):
        for name, parametrizations in list(getattr(part, "parametrizations", {}).items()):
            if any(isinstance(parametrization, LowRank) for parametrization in parametrizations):
                parametrize.remove_parametrizations(part, name, leave_parametrized=True)


def _attention_weights(module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Yield (module, name) of every weight matrix of attention, also those of its linear layers."""
    for path, part in module.named_modules():
        # An attention pool may also hold an MLP or a table of positions.
        if not _ATTENTION.search(path) or "mlp" in path or isinstance(part, nn.Embedding):
            continue
        for name, parameter in part.named_parameters(recurse=False):
            if name.endswith("weight") and parameter.ndim == 2:
                yield part, name


# --- between two networks ------------------------------------------------------------------


def interpolate(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return (1 - share)·before + share·after of two states (WiSE-FT; Wortsman et al. 2022).

    Tensors that are not floating point, such as counters, are taken from `after`. Shares of 0 and 1
    give the ends exactly, if all values are finite.

    Args:
        before, after: tensors of one architecture by name; names that only `before` has are left
            out.
        share: share of `after`, 0 to 1.
    """
    return {
        name: (1 - share) * before[name] + share * new if new.is_floating_point() else new
        for name, new in after.items()
    }


def relative_change(before: nn.Module, after: nn.Module) -> float:
    """Return ‖after − before‖ / ‖before‖ over the floating-point parameters of an architecture."""
    start = dict(before.named_parameters())
    changes, sizes = [], []
    for name, new in after.named_parameters():
        if new.is_floating_point():
            old = start[name].detach().to(new.device).float()
            changes.append(torch.linalg.vector_norm(new.detach().float() - old))
            sizes.append(torch.linalg.vector_norm(old))
    change, size = (float(torch.stack(norms).norm()) for norms in (changes, sizes))
    return change / size if size else 0.0
