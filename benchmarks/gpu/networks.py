"""The networks that are checked and measured, of full size or tiny; their weights are random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gpu.bench import Bench

FULL = {
    "open_clip CLIP": "open_clip:ViT-B-32",
    "open_clip SigLIP": "open_clip:ViT-B-16-SigLIP",
    "timm ViT": "timm:vit_base_patch16_224.augreg_in21k",
    "timm CNN": "timm:efficientnet_b0.ra_in1k",
    "torchvision": "torchvision:resnet50/IMAGENET1K_V2",
    "transformers": "hf:clip",
    "ViT-B/32": "open_clip:ViT-B-32",
    "ViT-L/14": "open_clip:ViT-L-14",
    "SigLIP so400m": "open_clip:ViT-SO400M-14-SigLIP-384",
    "fine-tune": "timm:vit_small_patch16_224.augreg_in21k",
    "fine-tune pace": "timm:vit_base_patch16_224.augreg_in21k",
    "small": "timm:test_vit.r160_in1k@64",
}
TINY = {
    "open_clip CLIP": "open_clip:local-dir:clip",
    "open_clip SigLIP": "open_clip:local-dir:siglip",
    "timm ViT": "timm:test_vit.r160_in1k@32",
    "timm CNN": "timm:test_efficientnet.r160_in1k@32",
    "torchvision": "torchvision:shufflenet_v2_x0_5/IMAGENET1K_V1",
    "transformers": "hf:clip",
    "ViT-B/32": "open_clip:local-dir:clip",
    "ViT-L/14": "open_clip:local-dir:clip",
    "SigLIP so400m": "open_clip:local-dir:siglip",
    "fine-tune": "timm:test_vit.r160_in1k@32",
    "fine-tune pace": "timm:test_vit.r160_in1k@32",
    "small": "timm:test_vit.r160_in1k@32",
}

_TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
_OPEN_CLIP: dict[str, dict[str, Any]] = {
    "clip": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "siglip": {"image_size": 32, "timm_model_name": "test_vit", "timm_model_pretrained": False,
               "timm_pool": "avg", "timm_proj": "linear"},
}  # fmt: skip


def name_of(bench: Bench, what: str) -> str:
    """Return the name of an encoder; one that is built from a folder has it written first."""
    name = (TINY if bench.quick else FULL)[what]
    kind, _, rest = name.partition(":")
    if kind == "hf":
        return f"hf:{_transformers(bench)}"
    if rest.startswith("local-dir:"):
        folder = bench.folder / f"open-clip-{rest.removeprefix('local-dir:')}"
        model = {
            "embed_dim": 64,
            "vision_cfg": _OPEN_CLIP[rest.removeprefix("local-dir:")],
            "text_cfg": _TEXT,
        }
        half = [0.5] * 3
        config = {"model_cfg": model, "preprocess_cfg": {"mean": half, "std": half}}
        _put(folder / "open_clip_config.json", config)
        return f"open_clip:local-dir:{folder}"
    return name


def _transformers(bench: Bench) -> Path:
    """Write the configuration of a CLIP of transformers: ViT-B/16, or a tiny one."""
    folder, px = bench.folder / "transformers-clip", 32 if bench.quick else 224
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": 2, "projection_dim": 16}  # fmt: skip
    vision = {"model_type": "clip_vision_model", "patch_size": 16, "image_size": px}
    text = {"model_type": "clip_text_model"}
    if bench.quick:
        vision, text = vision | small, text | small | {"vocab_size": 64}
    _put(folder / "config.json", {
        "model_type": "clip", "architectures": ["CLIPModel"], "vision_config": vision,
        "text_config": text, "projection_dim": 16 if bench.quick else 512,
    })  # fmt: skip
    _put(folder / "preprocessor_config.json", {
        "do_center_crop": True, "do_resize": True, "resample": 3, "size": {"shortest_edge": px},
        "crop_size": {"height": px, "width": px}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3,
    })  # fmt: skip
    return folder


def _put(file: Path, document: dict[str, Any]) -> None:
    """Write JSON whole: several parts may write the same file side by side."""
    file.parent.mkdir(parents=True, exist_ok=True)
    from xprobe.base.atomic import put

    put(file, json.dumps(document).encode())
