"""A packed network computes the same as before, and one that cannot be packed stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from xprobe.encoders.fast.last_token import shorten, simplify
from xprobe.encoders.fast.onednn import _operators_are_exact, pack
from xprobe.encoders.network import Network
from xprobe.encoders.tower import Tower, View

pytestmark = pytest.mark.skipif(not _operators_are_exact(), reason="PyTorch without oneDNN")


class Attending(nn.Module):
    """A network with a convolution of patches, attention among them, and a perceptron."""

    def __init__(self, kernel: int = 4, **options: Any) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, kernel, stride=4)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True, **options)
        self.out = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x[:, :2] + self.attention(x[:, :2], x, x, need_weights=False)[0]
        return self.out(x.mean(1))


class TakesWeights(nn.Module):
    """A network that multiplies by a layer's weight itself, as BEiT and EVA do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.first(x.mean((2, 3))), self.second.weight)


def prepared(network: nn.Module) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = network.eval().requires_grad_(False)
    x = torch.randn(3, 3, 18, 22)
    return network, x, network(x)


@pytest.mark.parametrize("options", [{}, {"kernel": 3}, {"bias": False}, {"add_zero_attn": True}])
def test_features_stay_the_same(options: dict[str, Any]) -> None:
    network, x, before = prepared(Attending(**options))
    assert simplify(network, [pack], x, before)
    assert torch.allclose(network(x), before, atol=1e-6)
    assert network.out.weight.is_mkldnn  # type: ignore[union-attr]
    assert network.patches.weight.is_mkldnn is (options.get("kernel", 4) == 4)  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [lambda n: n, lambda n: n.clone(), lambda n: n[:2]])
def test_a_row_depends_on_its_image_alone(change: Any) -> None:
    network, x, before = prepared(Attending())
    simplify(network, [pack], x, before)
    assert torch.equal(network(change(x)), network(x)[: len(change(x))])


def test_a_network_that_takes_its_weights_itself_is_left_as_it_was() -> None:
    network, x, before = prepared(TakesWeights())
    weights = {k: v.clone() for k, v in network.state_dict().items()}
    assert not simplify(network, [pack], x, before)
    assert torch.equal(network(x), before)
    assert all(torch.equal(v, weights[k]) for k, v in network.state_dict().items())


def test_what_would_be_wrong_is_taken_back_bit_by_bit() -> None:
    network, x, before = prepared(Attending())
    weights = {k: v.clone() for k, v in network.state_dict().items()}
    assert not simplify(network, [shorten, pack], x, before + 1)
    assert torch.equal(network(x), before)
    assert all(torch.equal(v, weights[k]) for k, v in network.state_dict().items())


def test_masks_are_not_overlooked() -> None:
    network, x, before = prepared(Attending())
    simplify(network, [pack], x, before)
    tokens = torch.randn(2, 4, 12)
    with pytest.raises(NotImplementedError):
        network.attention(  # type: ignore[operator]
            tokens, tokens, tokens, key_padding_mask=torch.zeros(2, 4, dtype=torch.bool)
        )


@pytest.mark.parametrize("trainable", [False, True])
def test_only_a_trainable_network_gives_its_weights(trainable: bool) -> None:
    view = View((16, 16), "squash", "bicubic", (0.5,) * 3, (0.25,) * 3)
    tower = Tower(Attending(), "test:net", "pooled", view)
    network = Network(tower, "cpu", "fp32", trainable=trainable)
    if trainable:
        assert not any(p.is_mkldnn for p in network.module.parameters())
    else:
        with pytest.raises(ValueError, match="trainable"):
            _ = network.module


def test_pixels_as_pillow_gives_them_are_taken_without_a_warning() -> None:
    view = View((16, 16), "squash", "bicubic", (0.5,) * 3, (0.25,) * 3)
    network = Network(Tower(Attending(), "test:net", "pooled", view), "cpu", "fp32")
    seen = network.see(Image.new("RGB", (20, 20)))[None]
    assert not seen.flags.writeable
    torch.set_warn_always(True)
    try:
        assert network.forward(seen).shape == (1, 5)  # Pytest turns warnings into errors.
    finally:
        torch.set_warn_always(False)


def of_open_clip() -> nn.Module:
    from open_clip.transformer import VisionTransformer

    return VisionTransformer(16, 8, 12, 3, 2, 2.0, output_dim=5)


def of_timm() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        16, 8, embed_dim=12, depth=3, num_heads=2, num_classes=0, init_values=0.1, reg_tokens=2
    )


def of_transformers() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=12, intermediate_size=24, projection_dim=5, num_hidden_layers=3,
        num_attention_heads=2, image_size=16, patch_size=8,
    )  # fmt: skip

    class Embeds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = CLIPVisionModelWithProjection(config)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            embeds: torch.Tensor = self.model(pixel_values=x).image_embeds
            return embeds

    return Embeds()


@pytest.mark.parametrize("make", [of_open_clip, of_timm, of_transformers])
def test_the_last_block_computes_the_class_token_alone(make: Any) -> None:
    torch.manual_seed(0)
    network = make().eval().requires_grad_(False)
    widths = []
    mlps = [m for name, m in network.named_modules() if name.endswith("mlp")]
    mlps[-1].register_forward_pre_hook(lambda _, x: widths.append(x[0].shape[1]))
    x = torch.randn(2, 3, 16, 16)
    before = network(x)
    assert simplify(network, [shorten], x, before)
    assert torch.allclose(network(x), before, atol=1e-6)
    assert widths[0] > 1 == widths[1]
    del network
    other = make().eval().requires_grad_(False)
    assert not simplify(other, [shorten], x, other(x) + 1)  # The step is taken back.
    assert not any("forward" in vars(module) for module in other.modules())
