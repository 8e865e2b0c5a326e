"""Which parameters of a network are trained, and how fast: depths, groups, low rank, between."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from torch import nn

from xprobe.base.errors import XprobeError
from xprobe.encoders import registry
from xprobe.encoders.families import open_clip as tower_open_clip
from xprobe.encoders.families import timm as tower_timm
from xprobe.encoders.families import torchvision
from xprobe.encoders.families import transformers as tower_hf
from xprobe.encoders.tower import Wish
from xprobe.learners.finetune import layers

RANDOM = Wish(random=True)
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8}
VISION: dict[str, tuple[int, dict[str, Any]]] = {
    "layers-vit": (16, VIT),
    "layers-coca": (16, {**VIT, "attentional_pool": True, "attn_pooler_queries": 4}),
    "layers-rn": (16, {"image_size": 32, "layers": [1, 2, 1, 1], "width": 8, "patch_size": None}),
    "layers-siglip": (
        64,
        {"image_size": 32, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
    ),
    "layers-trunk": (
        16,
        {"image_size": 32, "timm_model_name": "test_vit", "timm_pool": "avg",
         "timm_proj": "linear"},
    ),
}  # fmt: skip
SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8, "intermediate_size": 48,
}  # fmt: skip
# The height and width that images get, where the processor does not cut them to a square.
SIZE_OF = {"siglip": {"height": 32, "width": 32}}
WORDS = {**SMALL, "vocab_size": 64, "max_position_embeddings": 8}
HF: dict[str, Callable[[], Any]] = {
    "vit": lambda: transformers.ViTConfig(**SMALL),
    "dinov2": lambda: transformers.Dinov2Config(**SMALL),
    "clip": lambda: transformers.CLIPConfig(
        text_config=WORDS, vision_config=SMALL, projection_dim=24
    ),
    "siglip": lambda: transformers.SiglipConfig(text_config=WORDS, vision_config=SMALL),
    "resnet": lambda: transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2]
    ),
}


@pytest.fixture(scope="module", autouse=True)
def tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configs")
    for name, (dim, config) in VISION.items():
        model = {"embed_dim": dim, "vision_cfg": config, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(model))
    open_clip.add_model_config(folder)


Build = Callable[[str], nn.Module]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """``build("timm:test_vit")``: the network of a tiny tower, its weights random and frozen."""

    def make(name: str) -> nn.Module:
        scheme, _, rest = name.partition(":")
        torch.manual_seed(0)
        if scheme == "open_clip":
            module = tower_open_clip.load(f"layers-{rest}", RANDOM).module
        elif scheme == "hf":
            HF[rest]().save_pretrained(tmp_path)
            (tmp_path / "preprocessor_config.json").write_text(
                json.dumps(
                    {
                        "size": SIZE_OF.get(rest, 32),
                        "image_mean": [0.5] * 3,
                        "image_std": [0.5] * 3,
                    }
                )
            )
            module = tower_hf.load(str(tmp_path), RANDOM).module
        elif scheme == "torchvision":
            with torch.device("meta"):  # The structure alone is needed.
                module = torchvision.load(f"{rest}/IMAGENET1K_V1", RANDOM).module
        elif rest == "swin":
            module = timm.create_model(
                "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=8,
                depths=(1, 2), num_heads=(2, 2), num_classes=0, drop_path_rate=0,
            )  # fmt: skip
        else:
            module = tower_timm.load(f"{rest}.r160_in1k", RANDOM).module
        return module.eval().requires_grad_(False)

    return make


def picture(name: str) -> torch.Tensor:
    """Return two images of the size that a tower of `build` takes."""
    size = 160 if name.startswith("timm:test") or name.endswith(("siglip", "trunk")) else 32
    size = 32 if name.startswith("hf:") else size
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


# --- depth ---------------------------------------------------------------------------------


def row(pattern: str, n: int) -> list[str]:
    return [pattern.format(i) for i in range(n)]


TRUNK = ["trunk.cls_token", "trunk.pos_embed", "trunk.patch_embed"]
STAGES = [f"stages.{i}.blocks.{j}" for i, n in enumerate((1, 2, 4, 2)) for j in range(n)]

# For each tower: beginnings of names of what comes first, of the blocks, and of what comes last.
STRUCTURES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "open_clip:vit": (
        ["class_embedding", "positional_embedding", "conv1", "ln_pre"],
        row("transformer.resblocks.{}", 3), ["ln_post", "proj"],
    ),
    "open_clip:coca": (
        ["class_embedding", "positional_embedding", "conv1", "ln_pre"],
        row("transformer.resblocks.{}", 3), ["attn_pool", "ln_post", "proj"],
    ),
    "open_clip:rn": (
        ["conv1", "conv2", "conv3", "bn1", "bn2", "bn3"],
        ["layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer4.0"], ["attnpool"],
    ),
    "open_clip:siglip": (TRUNK, row("trunk.blocks.{}", 6), ["trunk.norm", "trunk.attn_pool"]),
    "open_clip:trunk": (TRUNK, row("trunk.blocks.{}", 6), ["trunk.norm", "head.proj"]),
    "timm:test_vit": (
        ["cls_token", "pos_embed", "patch_embed"], row("blocks.{}", 6), ["norm"],
    ),
    "timm:test_resnet": (["conv1", "bn1"], row("layer{}.0", 5)[1:], []),
    "timm:test_convnext": (["stem"], STAGES, ["head.norm"]),
    "timm:swin": (
        ["patch_embed"], ["layers.0.blocks.0", "layers.1.blocks.0", "layers.1.blocks.1"], ["norm"],
    ),
    "hf:vit": (
        ["vision.embeddings"], row("vision.layers.{}", 3), ["vision.layernorm", "vision.pooler"],
    ),
    "hf:dinov2": (["vision.embeddings"], row("vision.encoder.layer.{}", 3), ["vision.layernorm"]),
    "hf:clip": (
        ["vision.embeddings", "vision.pre_layrnorm"], row("vision.encoder.layers.{}", 3),
        ["vision.post_layernorm", "projection"],
    ),
    "hf:siglip": (
        ["vision.embeddings"], row("vision.encoder.layers.{}", 3),
        ["vision.post_layernorm", "vision.head"],
    ),
    "hf:resnet": (
        ["vision.embedder"],
        [f"vision.encoder.stages.{x}" for x in ("0.layers.0", "1.layers.0", "1.layers.1")], [],
    ),
    "torchvision:alexnet": (
        [], [*(f"features.{i}" for i in (0, 3, 6, 8, 10)), "classifier.1", "classifier.4"], [],
    ),
    "torchvision:vgg11": (
        [],
        [*(f"features.{i}" for i in (0, 3, 6, 8, 11, 13, 16, 18)), "classifier.0", "classifier.3"],
        [],
    ),
    "torchvision:resnet18": (
        ["conv1", "bn1"], [f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)], [],
    ),
    "torchvision:efficientnet_b0": (
        ["features.0"],
        [
            f"features.{i}.{j}"
            for i, n in enumerate((1, 2, 2, 3, 3, 4, 1), start=1)
            for j in range(n)
        ],
        ["features.8"],
    ),
}  # fmt: skip


def depths_at(depths: dict[str, int], start: str) -> set[int]:
    return {
        depth for name, depth in depths.items() if name == start or name.startswith(f"{start}.")
    }


@pytest.mark.parametrize("name", STRUCTURES)
def test_depth_grows_from_the_patches_over_the_blocks_to_the_projection(
    name: str, build: Build
) -> None:
    first, blocks, last = STRUCTURES[name]
    module = build(name)
    depths = layers.depth_of(module)
    assert list(depths) == [name for name, _ in module.named_parameters()]
    for i, block in enumerate(blocks, start=1):
        assert depths_at(depths, block) == {i}, block
    for start in first:
        assert depths_at(depths, start) == {0}, start
    for start in last:
        assert depths_at(depths, start) == {len(blocks) + 1}, start
    assert {d for d in depths.values() if 1 <= d <= len(blocks)} == set(range(1, len(blocks) + 1))
    assert (0 in depths.values(), len(blocks) + 1 in depths.values()) == (bool(first), bool(last))
    elsewhere = [
        n for n in depths if not any(n.startswith(start) for start in (*first, *blocks, *last))
    ]
    assert all("downsample" in n for n in elsewhere)


def test_what_stands_between_two_blocks_belongs_to_the_one_before(build: Build) -> None:
    assert depths_at(layers.depth_of(build("timm:swin")), "layers.1.downsample") == {1}
    assert depths_at(layers.depth_of(build("timm:test_convnext")), "stages.2.downsample") == {3}
    depths = layers.depth_of(build("torchvision:vgg11_bn"))
    assert (
        depths_at(depths, "features.4") == depths_at(depths, "features.5") == {2}
    )  # A norm belongs to its layer.


@pytest.mark.parametrize(
    "module", [nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 2)), timm.create_model("inception_v3")]
)
def test_a_network_without_blocks_in_a_row_has_no_depth(module: nn.Module) -> None:
    with pytest.raises(XprobeError, match="use --layer-decay 1"):
        layers.depth_of(module)


# --- groups --------------------------------------------------------------------------------

PROOF = ["open_clip:vit", "open_clip:siglip", "timm:test_vit", "hf:clip"]


def grouped(module: nn.Module, decay: float) -> tuple[nn.Linear, list[dict[str, Any]]]:
    head = nn.Linear(16, 5)
    groups = layers.parameter_groups(module, head, lr=0.1, weight_decay=0.01, layer_decay=decay)
    return head, groups


@pytest.mark.parametrize("name", PROOF)
def test_equal_gradients_move_each_depth_at_its_own_rate(name: str, build: Build) -> None:
    """timm's own helper silently gives every parameter of an open_clip tower one rate."""
    first, blocks, last = STRUCTURES[name]
    module = build(name).double()
    layers.set_trainable(module)
    head, groups = grouped(module, 0.5)
    head.double()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    weight = head.weight.detach().clone()
    for parameter in (*module.parameters(), *head.parameters()):
        parameter.grad = torch.ones_like(parameter)
    torch.optim.AdamW([{**group, "weight_decay": 0.0} for group in groups]).step()

    def moved(starts: list[str]) -> np.ndarray:
        steps = [
            (before[n] - p).flatten()
            for n, p in module.named_parameters()
            if n.startswith(tuple(starts))
        ]
        return torch.cat(steps).detach().numpy()

    top = len(blocks) + 2
    np.testing.assert_allclose((weight - head.weight).detach().numpy(), 0.1, rtol=1e-6)
    np.testing.assert_allclose(moved(last), 0.1 * 0.5, rtol=1e-6)
    for i, block in enumerate(blocks, start=1):
        np.testing.assert_allclose(moved([f"{block}."]), 0.1 * 0.5 ** (top - i), rtol=1e-6)
    np.testing.assert_allclose(moved(first), 0.1 * 0.5**top, rtol=1e-6)


@pytest.mark.parametrize("decay", [1, 0.7])
@pytest.mark.parametrize("name", PROOF)
def test_every_trainable_parameter_is_in_one_group(name: str, decay: float, build: Build) -> None:
    module = build(name)
    layers.set_trainable(module)
    frozen = next(module.parameters()).requires_grad_(False)
    head, groups = grouped(module, decay)
    members = [id(p) for group in groups for p in group["params"]]
    expected = [id(p) for p in (*module.parameters(), *head.parameters()) if p is not frozen]
    assert sorted(members) == sorted(expected)
    blocks = len(STRUCTURES[name][1]) if decay < 1 else 0
    for group in groups:
        assert group["lr"] == pytest.approx(0.1 * decay ** (blocks + 2 - group["depth"]))
    assert groups[-1]["depth"] == blocks + 2
    assert [p for g in groups if g["depth"] == blocks + 2 for p in g["params"]] == [
        head.bias, head.weight
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("open_clip:vit", ["class_embedding", "positional_embedding"]),
        ("open_clip:rn", ["attnpool.positional_embedding"]),
        ("timm:test_vit", ["cls_token", "pos_embed"]),
        ("timm:swin", [f"{block}.attn.relative_position_bias_table"
                       for block in STRUCTURES["timm:swin"][1]]),
        ("hf:clip", ["vision.embeddings.class_embedding",
                     "vision.embeddings.position_embedding.weight"]),
        ("hf:dinov2", [f"vision.embeddings.{n}"
                       for n in ("cls_token", "mask_token", "position_embeddings")]),
    ],
)  # fmt: skip
def test_vectors_tokens_and_positions_have_no_weight_decay(
    name: str, spared: list[str], build: Build
) -> None:
    module = build(name)
    layers.set_trainable(module)
    head, groups = grouped(module, 0.5)
    names = {id(p): n for n, p in module.named_parameters()}
    decayed = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    for key, n in names.items():
        vector = module.get_parameter(n).ndim < 2
        assert decayed[key] == (0 if vector or n in spared else 0.01), n
    assert set(spared) <= set(names.values())
    assert (decayed[id(head.weight)], decayed[id(head.bias)]) == (0.01, 0)


def test_one_rate_for_all_needs_no_structure() -> None:
    module = nn.Bilinear(2, 2, 2)
    _, groups = grouped(module, 1)
    assert {group["lr"] for group in groups} == {0.1}
    with pytest.raises(XprobeError, match="layer-decay"):
        grouped(module, 0.9)


def test_a_network_without_parameters_cannot_be_trained(build: Build) -> None:
    module = build("timm:test_vit")
    layers.set_trainable(module)
    assert all(p.requires_grad for p in module.parameters())
    with pytest.raises(XprobeError, match="an encoder without gradients: "):
        layers.set_trainable(nn.Flatten())


def test_the_families_that_can_be_trained_are_named_from_their_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    families = {name: registry.Family(name, "", has_networks=name != "c") for name in "abc"}
    monkeypatch.setattr(layers, "FAMILIES", families)
    with pytest.raises(XprobeError, match=r"take a network \(a: or b:\)$"):
        layers.set_trainable(nn.Flatten())


# --- low rank ------------------------------------------------------------------------------

# For each tower the number of weight matrices in its attention: modules × matrices of each.
ATTENTIVE = {
    "open_clip:vit": 3 * 2,  # in_proj_weight, out_proj
    "open_clip:coca": 3 * 2 + 4,  # The pool's queries have another width.
    "open_clip:rn": 4,
    "open_clip:siglip": 6 * 2 + 3,  # qkv, proj; q, kv, proj
    "timm:test_vit": 6 * 2,
    "timm:swin": 3 * 2,
    "hf:vit": 3 * 4,
    "hf:dinov2": 3 * 4,
    "hf:clip": 3 * 4,
    "hf:siglip": 3 * 4 + 2,  # The pooling head has torch's own attention.
}


def outputs(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Features in evaluation mode, where torch's own attention is fused, and in training mode."""
    module = copy.deepcopy(module)  # Batch norm learns in training.
    with torch.no_grad():
        return [module.eval()(x), module.train()(x)]


def differentiable(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Features as in a step: torch takes other kernels where there is something to train."""
    features: torch.Tensor = copy.deepcopy(module).train()(x)
    assert features.requires_grad
    return features.detach()


@pytest.mark.parametrize("name", ATTENTIVE)
def test_low_rank_starts_at_the_network_and_merges_to_what_it_learned(
    name: str, build: Build
) -> None:
    module, x = build(name), picture(name)
    keys, before = list(module.state_dict()), outputs(module, x)
    depths, whole = layers.depth_of(module), copy.deepcopy(module)
    layers.set_trainable(whole)
    trainable = layers.add_low_rank(module, rank=2)
    added = [m for m in module.modules() if isinstance(m, layers.LowRank)]
    assert len(added) == ATTENTIVE[name]
    assert trainable == sum(m.A.numel() + m.B.numel() for m in added)
    assert not any("mlp" in n for n, p in module.named_parameters() if p.requires_grad)
    for old, new in zip(before, outputs(module, x), strict=True):
        assert torch.equal(old, new)
    assert torch.equal(differentiable(whole, x), differentiable(module, x))

    for n, depth in layers.depth_of(module).items():  # They are as deep as what they are added to.
        weight = re.sub(r"parametrizations\.(\w+)\.(0\.[AB]|original)$", r"\1", n)
        assert depth == depths[weight], n
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=0.01)
    for _ in range(2):  # The first gradient of A is zero, since B is.
        optimizer.zero_grad()
        module(x).square().sum().backward()
        with_gradient = {n for n, p in module.named_parameters() if p.grad is not None}
        optimizer.step()
    assert with_gradient == {n for n, _ in module.named_parameters() if n.endswith((".A", ".B"))}
    assert all(m.A.grad is not None and m.A.grad.any() for m in added)

    learned = outputs(module, x)
    assert not any(torch.allclose(old, new) for old, new in zip(before, learned, strict=True))
    layers.merge_low_rank(module)
    assert sorted(module.state_dict()) == sorted(keys)
    assert not any(p.requires_grad for p in module.parameters())
    for new, merged in zip(learned, outputs(module, x), strict=True):
        torch.testing.assert_close(merged, new, rtol=1e-5, atol=1e-5)


def test_the_scale_is_alpha_over_the_rank() -> None:
    weight = torch.zeros(3, 4)
    added = layers.LowRank(weight, rank=2, alpha=6)
    with torch.no_grad():
        added.B.fill_(1)
    torch.testing.assert_close(added(weight)[0], 3 * added.A.sum(dim=0))


@pytest.mark.parametrize("name", ["timm:test_resnet", "hf:resnet"])
def test_low_rank_needs_attention(name: str, build: Build) -> None:
    with pytest.raises(XprobeError, match=r"LoRA needs attention.*use --method full"):
        layers.add_low_rank(build(name))


# --- between two networks ------------------------------------------------------------------


def test_the_change_of_a_network_is_relative_to_its_weights() -> None:
    before, after = (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False)) for _ in "ab")
    after.load_state_dict({name: 1.5 * w for name, w in before.state_dict().items()})
    assert layers.relative_change(before, after) == pytest.approx(0.5)
    assert layers.relative_change(before, before) == 0
    for p in before.parameters():
        nn.init.zeros_(p)
    assert layers.relative_change(before, after) == 0  # There is nothing to be relative to.


def test_interpolation_ends_at_the_two_networks_and_halves_between() -> None:
    rng = torch.Generator().manual_seed(0)
    before, after = (
        {"w": torch.randn(50, generator=rng), "b": torch.randn(3, generator=rng).half(),
         "n": torch.tensor(n)}
        for n in (7, 8)
    )  # fmt: skip
    for share, end in ((0, before), (1, after)):
        between = layers.interpolate(before, after, share)
        assert torch.equal(between["w"], end["w"])
        assert torch.equal(between["b"], end["b"])
        assert between["n"] == 8  # Counters are not averaged.
    half = layers.interpolate(before, after, 0.5)
    torch.testing.assert_close(half["w"], (before["w"] + after["w"]) / 2)
    assert half["b"].dtype == torch.float16
