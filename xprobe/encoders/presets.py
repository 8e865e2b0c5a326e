"""The encoders with short names, and what is known of them before they are loaded."""

from __future__ import annotations

from dataclasses import dataclass

IMPORT_ONLY = "import-only"
"""The source of encoders that run elsewhere, and whose features are imported."""

PRECISIONS = ("fp32", "bf16", "fp16")
"""Precisions of the forward pass, the exact one first."""

PROMPTS = ("clip", "satellite", "satellite-he", "plain", "disasters-en", "disasters-zh")
"""Names of the built-in prompts (prompts.json)."""

CAPTIONS = "captions"
"""In place of prompts: classes are put into words by the captions of their images."""

_SEE_HUB = "see its repository"

FLOOR = "no weights; a floor that a learned encoder must beat, and for demo and tests"


NO_LICENCE = "-"
"""Stands in the place of a licence where there are no weights."""


@dataclass(frozen=True)
class Preset:
    """What is known of an encoder with a short name before it is loaded.

    Attributes:
        source: long form of its name.
        dim: d, features per image.
        input_px: side of the square image it sees, pixels.
        licence: licence of the weights.
        hub: repository of the weights; ``""`` without any.
        file: name of the file of weights in the repository or in torch's cache; ``""``: the usual
            name of the family.
        dim_pooled: features per image before the projection (``--layer pooled``); 0: no projection.
        activation: activation, if the architecture exists with several.
        note: one line for the list of encoders.
    """

    source: str
    dim: int
    input_px: int
    licence: str
    hub: str = ""
    note: str = ""
    file: str = ""
    dim_pooled: int = 0
    activation: str = ""


# Features before and after CLIP's projection.
_CLIP_DIM = {
    "RN50": (2048, 1024), "ViT-B-32": (768, 512), "ViT-B-16": (768, 512), "ViT-L-14": (1024, 768),
    "ViT-L-14-336": (1024, 768),
}  # fmt: skip


def _clip(model: str, hub: str, input_px: int, note: str = "") -> Preset:
    pooled, dim = _CLIP_DIM[model]
    return Preset(
        f"open_clip:{model}-quickgelu/openai", dim, input_px, "MIT", f"timm/{hub}", note,
        dim_pooled=pooled, activation="quick_gelu",
    )  # fmt: skip


def _siglip(model: str, dim: int, input_px: int) -> Preset:
    return Preset(
        f"open_clip:{model}/webli", dim, input_px, "Apache-2.0", f"timm/{model}",
        dim_pooled=dim, activation="gelu",
    )  # fmt: skip


def _coca(vit: str, dim: int) -> Preset:
    hub = f"laion/CoCa-{vit}-laion2B-s13B-b90k"
    return Preset(
        f"open_clip:coca_{vit}/laion2b_s13b_b90k", dim, 224, "MIT", hub,
        dim_pooled=dim, activation="gelu",
    )  # fmt: skip


def _remoteclip(model: str) -> Preset:
    """Return a preset of RemoteCLIP with GELU, as its README has it; its script has QuickGELU."""
    hub = "chendelong/RemoteCLIP"
    source = f"open_clip:{model}/hub:{hub}/RemoteCLIP-{model}.pt"
    pooled, dim = _CLIP_DIM[model]
    return Preset(
        source, dim, 224, _SEE_HUB, hub,
        file=f"RemoteCLIP-{model}.pt", dim_pooled=pooled, activation="gelu",
    )  # fmt: skip


def _timm(name: str, dim: int, input_px: int, licence: str) -> Preset:
    return Preset(f"timm:{name}", dim, input_px, licence, f"timm/{name}")


ENCODERS: dict[str, Preset] = {
    "hog": Preset("builtin:hog", 420, 64, NO_LICENCE, note=FLOOR),
    "pixels": Preset("builtin:pixels", 768, 16, NO_LICENCE, note=FLOOR),
    "clip-rn50": _clip("RN50", "resnet50_clip.openai", 224),
    "clip-vit-b32": _clip("ViT-B-32", "vit_base_patch32_clip_224.openai", 224, "the default"),
    "clip-vit-b16": _clip("ViT-B-16", "vit_base_patch16_clip_224.openai", 224),
    "clip-vit-l14": _clip("ViT-L-14", "vit_large_patch14_clip_224.openai", 224),
    "clip-vit-l14-336": _clip("ViT-L-14-336", "vit_large_patch14_clip_336.openai", 336),
    "siglip-vit-b16": _siglip("ViT-B-16-SigLIP", 768, 224),
    "siglip-vit-b16-256": _siglip("ViT-B-16-SigLIP-256", 768, 256),
    "siglip-vit-b16-384": _siglip("ViT-B-16-SigLIP-384", 768, 384),
    "siglip-vit-l16-256": _siglip("ViT-L-16-SigLIP-256", 1024, 256),
    "siglip-so400m-384": _siglip("ViT-SO400M-14-SigLIP-384", 1152, 384),
    "siglip2-vit-b16": _siglip("ViT-B-16-SigLIP2", 768, 224),
    "siglip2-vit-b16-256": _siglip("ViT-B-16-SigLIP2-256", 768, 256),
    "siglip2-vit-b16-384": _siglip("ViT-B-16-SigLIP2-384", 768, 384),
    "siglip2-vit-l16-256": _siglip("ViT-L-16-SigLIP2-256", 1024, 256),
    "siglip2-so400m-384": _siglip("ViT-SO400M-16-SigLIP2-384", 1152, 384),
    "coca-vit-b32": _coca("ViT-B-32", 512),
    "coca-vit-l14": _coca("ViT-L-14", 768),
    "remoteclip-rn50": _remoteclip("RN50"),
    "remoteclip-vit-b32": _remoteclip("ViT-B-32"),
    "remoteclip-vit-l14": _remoteclip("ViT-L-14"),
    "remoteclip-vit-b32-mvrl": Preset(
        "hf:MVRL/remote-clip-vit-base-patch32",
        512,
        224,
        _SEE_HUB,
        "MVRL/remote-clip-vit-base-patch32",
        "RemoteCLIP in its other publication",
        dim_pooled=768,
        activation="gelu",
    ),
    "git-rsclip": Preset(
        "hf:lcybuaa/Git-RSCLIP", 1024, 256, _SEE_HUB, "lcybuaa/Git-RSCLIP", dim_pooled=1024
    ),
    "git-rsclip-base": Preset(
        "hf:lcybuaa/Git-RSCLIP-base",
        768,
        224,
        _SEE_HUB,
        "lcybuaa/Git-RSCLIP-base",
        dim_pooled=768,
    ),
    "dinov2-vit-b14": _timm("vit_base_patch14_dinov2.lvd142m", 768, 518, "Apache-2.0"),
    "dinov3-vit-b16": _timm("vit_base_patch16_dinov3.lvd1689m", 768, 256, "DINOv3"),
    "dinov3-vit-l16": _timm("vit_large_patch16_dinov3.lvd1689m", 1024, 256, "DINOv3"),
    "dinov3-vit-l16-sat": _timm("vit_large_patch16_dinov3.sat493m", 1024, 256, "DINOv3"),
    "vit-b16": _timm("vit_base_patch16_224.augreg2_in21k_ft_in1k", 768, 224, "Apache-2.0"),
    "mae-vit-b16": _timm("vit_base_patch16_224.mae", 768, 224, "CC-BY-NC-4.0"),
    "swin-b": _timm("swin_base_patch4_window7_224.ms_in22k_ft_in1k", 1024, 224, "MIT"),
    "resnet50": _timm("resnet50.a1_in1k", 2048, 224, "Apache-2.0"),
    "vgg16": _timm("vgg16.tv_in1k", 4096, 224, "BSD-3-Clause"),
    "alexnet": Preset(
        "torchvision:alexnet/IMAGENET1K_V1",
        4096,
        224,
        "BSD-3-Clause",
        file="alexnet-owt-7be5be79.pth",
    ),
    "convnext-t": _timm("convnext_tiny.in12k_ft_in1k", 768, 224, "Apache-2.0"),
    "efficientnet-b4": _timm("efficientnet_b4.ra2_in1k", 1792, 320, "Apache-2.0"),
    "skysense-o": Preset(
        IMPORT_ONLY,
        1024,
        224,
        "Apache-2.0",
        note="embed with it elsewhere, then: xprobe import-features FILE --encoder-name skysense-o",
    ),
}

DEFAULT_ENCODER = "clip-vit-b32"


def canonical(name: str) -> str:
    """Return the short name if `name` is the long form of one, else `name` itself."""
    for short, preset in ENCODERS.items():
        if preset.source == name:
            return short
    return name
