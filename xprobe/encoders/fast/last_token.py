"""Forward passes that compute only what a feature needs.

The feature of many vision transformers is their class token alone. In the last block no other token
has to go through the perceptron then, nor through the queries of attention where these have weights
of their own. That saves up to a fourteenth of the work of ViT-B/32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Undo = Callable[[], None]
"""A function that takes a change of a network back."""

Step = Callable[[Any, list[Undo]], None]
"""A function that changes a network, and adds to the list what takes each change back."""

# Features may differ by this share of the largest value; rounding alone gives a tenth of that.
_TOLERANCE = 1e-5


def simplify(
    network: Any, steps: Sequence[Step], sample: torch.Tensor, features: torch.Tensor
) -> bool:
    """Let a frozen network compute the same with less work, in place, or leave it as it was.

    Args:
        network: a network on a CPU, in fp32, in evaluation mode.
        steps: changes to try together, such as `shorten` and `onednn.pack`.
        sample: normalised images (n, 3, h, w) to try the network on.
        features: (n, d) features of the sample before the change.

    Returns:
        Whether the features stayed, up to rounding; otherwise every step was taken back.
    """
    import torch

    undo: list[Undo] = []
    with torch.inference_mode():
        try:
            for step in steps:
                step(network, undo)
            error = float((network(sample) - features).abs().max() / features.abs().max())
        except Exception:  # A network of another kind may raise any error.
            error = float("inf")
        is_same = error <= _TOLERANCE
        if not is_same:
            for take_back in reversed(undo):
                take_back()
    return is_same


def shorten(network: Any, undo: list[Undo]) -> None:
    """Let the last block of each transformer that ends in its class token compute that alone.

    Networks of unknown kinds stay as they are. What takes each change back is added to `undo`.
    """
    for tower in list(network.modules()):
        blocks_of = _BLOCKS.get((type(tower).__module__, type(tower).__name__))
        blocks: Any = blocks_of(tower) if blocks_of else ()
        forward = _FORWARDS.get(type(blocks[-1]).__name__) if len(blocks) else None
        if forward is not None:
            blocks[-1].forward = partial(forward, blocks[-1])
            undo.append(partial(delattr, blocks[-1], "forward"))


def _blocks_of_open_clip(tower: Any) -> Any:
    takes_token = tower.pool_type == "tok" and tower.attn_pool is None
    return tower.transformer.resblocks if takes_token and tower.transformer.batch_first else ()


def _blocks_of_timm(tower: Any) -> Any:
    return tower.blocks if tower.global_pool == "token" and tower.attn_pool is None else ()


def _blocks_of_transformers(tower: Any) -> Any:
    return tower.encoder.layers if hasattr(tower, "encoder") else ()


_BLOCKS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("open_clip.transformer", "VisionTransformer"): _blocks_of_open_clip,
    ("timm.models.vision_transformer", "VisionTransformer"): _blocks_of_timm,
    ("transformers.models.clip.modeling_clip", "CLIPVisionModel"): _blocks_of_transformers,
    ("transformers.models.clip.modeling_clip", "CLIPVisionTransformer"): _blocks_of_transformers,
}


def _last_of_open_clip(block: Any, x: torch.Tensor, **_: Any) -> torch.Tensor:
    normed = block.ln_1(x)
    token = x[:, :1] + block.ls_1(block.attention(q_x=normed[:, :1], k_x=normed, v_x=normed))
    output: torch.Tensor = token + block.ls_2(block.mlp(block.ln_2(token)))
    return output


def _last_of_timm(block: Any, x: torch.Tensor, **_: Any) -> torch.Tensor:
    token = x[:, :1] + block.ls1(block.attn(block.norm1(x))[:, :1])
    output: torch.Tensor = token + block.ls2(block.mlp(block.norm2(token)))
    return output


def _last_of_transformers(
    layer: Any, x: torch.Tensor, attention_mask: None = None, **options: Any
) -> torch.Tensor:
    attended, _ = layer.self_attn(
        hidden_states=layer.layer_norm1(x), attention_mask=attention_mask, **options
    )
    token = x[:, :1] + attended[:, :1]
    output: torch.Tensor = token + layer.mlp(layer.layer_norm2(token))
    return output


_FORWARDS: dict[str, Callable[..., Any]] = {
    "ResidualAttentionBlock": _last_of_open_clip,
    "Block": _last_of_timm,
    "CLIPEncoderLayer": _last_of_transformers,
}
