"""Which parameters of an encoder's network are trained, and how fast."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from xprobe.base.errors import XprobeError

# Parameters that are no weights of a sum, so nothing is gained by drawing them to zero.
_NOT_DECAYED = re.compile(
    r"(bias\w*|_tokens?|(class|cls|pos|position|positional)_embed\w*(\.weight)?|logit_scale)$"
)

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


def set_trainable(module: nn.Module) -> None:
    """Have every floating parameter of a network trained: xprobe loads them frozen.

    Raises:
        XprobeError: there is none.
    """
    floating = [p for p in module.parameters() if p.is_floating_point()]
    if not floating:
        raise XprobeError(
            "an encoder without gradients: it has no parameters to train; take a network "
            "(open_clip:, timm:, torchvision: or hf:)"
        )
    for parameter in floating:
        parameter.requires_grad_(True)


# --- depth ---------------------------------------------------------------------------------


def depth_of(module: nn.Module) -> dict[str, int]:
    """Return how deep each parameter lies, by its name in `named_parameters`.

    Of L blocks, the i-th is at depth i = 1, …, L. What comes before the first (patch embedding,
    stem, class token) is at 0, what comes after the last (final norm, pooling, projection) at
    L + 1, and what stands between two blocks (downsampling) belongs to the one before. A plain
    chain such as AlexNet has its weight layers as blocks.

    Raises:
        XprobeError: the network consists of no blocks in a row.
    """
    return _depths(module, _find_blocks(module))


def parameter_groups(
    module: nn.Module, head: nn.Module, *, lr: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Return the groups of parameters for `torch.optim.AdamW`, those that require gradients.

    The head is at depth L + 2 and learns at `lr`, what lies at depth i of the encoder at
    lr·layer_decay^(L + 2 - i) (Clark et al. 2020; Bao et al. 2022). Biases, norms and all else of
    fewer than two dimensions, class tokens, position embeddings and logit scales have no weight
    decay. Each group says its ``depth``; with a `layer_decay` of 1, when the network's structure
    does not matter, the whole encoder is one depth below the head.

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
    """Number the parameters: modules register their parts in the order of the forward pass."""
    depths: dict[str, int] = {}
    last, reached = len(blocks), 0
    for name, _ in module.named_parameters():
        own = next((i for i, b in enumerate(blocks, 1) if name.startswith(f"{b}.")), None)
        if own is not None:
            depths[name] = reached = own
        # A module lists its own parameters before its parts', so open_clip's final matrix of a
        # ViT, of all its own parameters the only one that is used at the end, comes first.
        elif reached == last or name == "proj":
            depths[name] = last + 1
        else:
            depths[name] = reached
    return depths


def _find_blocks(module: nn.Module) -> list[str]:
    """Return the names of a network's blocks, or of the weight layers of a plain chain."""
    for found in (_blocks(module), _chain(module)):
        if len(found) > 1:
            return found
    raise XprobeError(
        f"no blocks in a row are known in a {type(module).__name__}, so that the layers cannot "
        f"learn at different rates; use --layer-decay 1"
    )


def _blocks(module: nn.Module, name: str = "") -> list[str]:
    """Return the names of the blocks inside a module, or its own if it is one.

    Most of the weights of a network, and of a stage, lie in units that stand in a row; most of
    those of a block do not: its rows are of single layers, or a small part (squeeze and excite).
    """
    units = list(_units(module, name))
    if 2 * sum(_matrices(unit) for _, unit in units) <= _matrices(module):
        return [name]
    return [block for within, unit in units for block in _blocks(unit, within)]


def _units(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost members of lists that hold two weights or more, with their names."""
    for key, child in module.named_children():
        name = f"{prefix}.{key}" if prefix else key
        if _is_list(module) and _matrices(child) > 1:
            yield name, child
        else:
            yield from _units(child, name)


def _chain(module: nn.Module) -> list[str]:
    """Return the names of the weight layers if all of them stand in lists, else nothing."""
    layers = [
        f"{prefix}.{key}" if prefix else key
        for prefix, part in module.named_modules()
        for key, child in part.named_children()
        if _is_list(part) and not list(child.children()) and _matrices(child)
    ]
    return layers if len(layers) == _matrices(module) else []


def _is_list(module: nn.Module) -> bool:
    """Whether a module is a row of others; that of torch's parametrizations is none."""
    row = isinstance(module, (nn.ModuleList, nn.Sequential))
    return row and not isinstance(module, parametrize.ParametrizationList)


def _matrices(module: nn.Module) -> int:
    """Count the weights, as opposed to vectors: biases, norms, tokens and gains, of any shape."""
    return sum(p.squeeze().ndim > 1 for p in module.parameters())


# --- low rank ------------------------------------------------------------------------------


class LowRank(nn.Module):
    """W + (alpha / rank)·B A of a weight W (rows, columns), with A random and B zero at first."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.A = nn.Parameter(weight.new_empty(rank, columns))
        self.B = nn.Parameter(weight.new_zeros(rows, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.A, a=5**0.5)  # as Hu et al.'s own code does

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.B @ self.A)


def add_low_rank(module: nn.Module, rank: int = 8, alpha: float = 16) -> int:
    """Freeze a network and add trainable low-rank matrices to its attention (Hu et al. 2022).

    Every weight matrix of the projections to queries, keys and values, and of that behind them,
    becomes W + (alpha / rank)·B A; one that holds several of these (``qkv``) counts as one matrix.
    As B = 0 the features are at first the same, to the last bit: those without gradients as
    before, those with gradients as of the network trained whole (for which torch takes other
    kernels). A is drawn from torch's global generator.

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
        # A parametrization, since torch's and CLIP's attention read the weights of their parts
        # without calling these, so that wrapping the parts would do nothing.
        added = LowRank(part.get_parameter(name), rank, alpha)
        parametrize.register_parametrization(part, name, added)
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def merge_low_rank(module: nn.Module) -> None:
    """Bake what `add_low_rank` added into plain weights, under their old names and frozen."""
    for part in list(module.modules()):
        for name, added in list(getattr(part, "parametrizations", {}).items()):
            if any(isinstance(each, LowRank) for each in added):
                parametrize.remove_parametrizations(part, name, leave_parametrized=True)


def _attention_weights(module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Yield (module, name) of every weight matrix inside attention, linear layers' or its own."""
    for path, part in module.named_modules():
        # An attention pool, or what is called so, may hold an MLP or a table of positions too.
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

    What is not floating point, such as a counter, is that of `after`. Shares of 0 and 1 give the
    ends exactly, if all is finite.

    Args:
        before, after: tensors by name, of one architecture; names that only `before` has are left
            out.
        share: of the latter, 0 to 1.
    """
    return {
        name: (1 - share) * before[name] + share * new if new.is_floating_point() else new
        for name, new in after.items()
    }
