"""Products with frozen weights on a CPU, by oneDNN from weights laid out for it once.

PyTorch's layers hand fp32 products to MKL, which rearranges the weights for every batch anew. On
AMD's processors MKL also has slower kernels than oneDNN, a part of PyTorch: products by oneDNN are
1.1 to 1.2 times as fast there, and twice as fast with few rows. The operators used here are those
that torch.compile puts in place of frozen layers; they need no compiler.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from xprobe.encoders.fast.last_token import Undo

if TYPE_CHECKING:
    import torch

# The layout is chosen for products with this many rows, and serves any other number as well.
_ROWS = 1024

_MASKS = ("attn_mask", "key_padding_mask")


def pack(network: Any, undo: list[Undo]) -> None:
    """Lay out anew the fp32 weights of a frozen network on a CPU, in place.

    Linear layers, multi-head attention, and convolutions of patches that do not overlap are packed.
    The network then computes the same up to rounding, but cannot be trained. A network that reads
    these weights in a way of its own cannot compute at all, which `last_token.simplify` detects.

    Args:
        network: a frozen network in evaluation mode.
        undo: list to which the functions are added that take each change back.
    """
    if _operators_are_exact():
        for layer in list(network.modules()):
            undo += _pack_layer(layer)


def _pack_layer(layer: Any) -> list[Undo]:
    """Pack a layer if its kind is known, and return the functions that take this back."""
    from torch import nn

    if type(layer) is nn.Linear:
        return [_pack_linear(layer)]
    if type(layer) is nn.MultiheadAttention and layer.batch_first and _is_plain(layer):
        return [_pack_attention(layer)]
    if type(layer) is nn.Conv2d and _is_of_patches(layer):
        return [_pack_patches(layer)]
    return []


def _packed(weight: torch.Tensor) -> torch.nn.Parameter:
    """Return a weight (out, in) in oneDNN's layout; `to_dense` gives it back bit by bit."""
    import torch

    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)
    return torch.nn.Parameter(laid_out, requires_grad=False)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return x Wᵀ + b for a packed weight."""
    import torch

    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


@cache
def _operators_are_exact() -> bool:
    """Return whether oneDNN's operators are available and give the right product."""
    import torch

    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    x, weight = (torch.arange(rows * 70.0).view(rows, 70).sin() for rows in (9, 33))
    try:
        packed = _packed(weight)
        product = _product(x, packed, None)
        is_kept = torch.equal(packed.to_dense(), weight)
    except Exception:  # This PyTorch has other operators than those that are used here.
        return False
    return is_kept and torch.allclose(product, x @ weight.T, rtol=1e-5, atol=1e-5)


# --- layers --------------------------------------------------------------------------------


def _pack_linear(layer: Any) -> Undo:
    import torch

    layer.weight = _packed(layer.weight)
    layer.forward = lambda x: _product(x, layer.weight, layer.bias)

    def undo() -> None:
        layer.weight = torch.nn.Parameter(layer.weight.to_dense(), requires_grad=False)
        del layer.forward

    return undo


def _is_plain(attention: Any) -> bool:
    """Return whether attention has biases, one matrix of input weights, and no added keys."""
    return bool(
        attention._qkv_same_embed_dim
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
    )


def _pack_attention(layer: Any) -> Undo:
    """Pack attention's weights, those of queries apart, as there may be fewer queries than keys."""
    import torch

    d = layer.embed_dim
    weight_q, weight_kv = _packed(layer.in_proj_weight[:d]), _packed(layer.in_proj_weight[d:])
    bias_q, bias_kv = layer.in_proj_bias[:d].clone(), layer.in_proj_bias[d:].clone()
    undo_out = _pack_linear(layer.out_proj)
    layer.in_proj_weight = torch.nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any
    ) -> tuple[torch.Tensor, None]:
        if k is not v or any(options.get(name) is not None for name in _MASKS):
            raise NotImplementedError("attention that image towers have no need of")
        n, heads = len(q), layer.num_heads
        queries = _product(q, weight_q, bias_q).view(n, -1, heads, d // heads).transpose(1, 2)
        keys, values = (
            _product(k, weight_kv, bias_kv).view(n, -1, 2, heads, d // heads).permute(2, 0, 3, 1, 4)
        )
        attended = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
        return layer.out_proj(attended.transpose(1, 2).reshape(n, -1, d)), None

    layer.forward = forward

    def undo() -> None:
        undo_out()
        weight = torch.cat([weight_q.to_dense(), weight_kv.to_dense()])
        layer.in_proj_weight = torch.nn.Parameter(weight, requires_grad=False)
        del layer.forward

    return undo


def _is_of_patches(layer: Any) -> bool:
    """Return whether a convolution takes patches that lie side by side, without padding."""
    return bool(
        layer.kernel_size == layer.stride
        and layer.padding in ((0, 0), "valid")
        and layer.dilation == (1, 1)
        and layer.groups == 1
    )


def _pack_patches(layer: Any) -> Undo:
    """Pack a convolution of patches that lie side by side, which is one product."""
    import torch

    out, channels, height, width = layer.weight.shape
    # Colours come last in memory here, as they do in the patches of `forward`.
    flat = layer.weight.permute(0, 2, 3, 1).reshape(out, -1)
    layer.weight = _packed(flat)

    def forward(x: torch.Tensor) -> torch.Tensor:
        n, rows, columns = len(x), x.shape[2] // height, x.shape[3] // width
        x = x[:, :, : rows * height, : columns * width].permute(0, 2, 3, 1)
        x = x.reshape(n, rows, height, columns, width * channels).transpose(2, 3)
        x = _product(x.reshape(n, rows * columns, -1), layer.weight, layer.bias)
        return x.view(n, rows, columns, out).permute(0, 3, 1, 2)

    layer.forward = forward

    def undo() -> None:
        weight = layer.weight.to_dense().view(out, height, width, channels).permute(0, 3, 1, 2)
        layer.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
        del layer.forward

    return undo
