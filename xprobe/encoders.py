"""Encoders by name: their weights loaded strictly, their preprocessing and forward pass.

A name is a short one of `ENCODERS`, or a long form ``open_clip:<model>/<pretrained or path>``.
"""

from __future__ import annotations

import importlib.metadata
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xprobe.errors import XprobeError, nearest, some
from xprobe.images import PREPROCESSING, resize
from xprobe.types import PRECISIONS, EncoderSpec, Floats, digest_of
from xprobe.weights import cached_file, digest_weights, fetch, load_strictly, read_state

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]

FLOOR = "no weights; a floor that a learned encoder must beat, and for demo and tests"


class Encoder(ABC):
    """A frozen encoder, ready to run.

    Attributes:
        spec: everything that decides its features.
    """

    spec: EncoderSpec
    fixed_batch: bool = False
    """Whether `forward` must always be given the same number of images (short batches padded)."""

    def prepare_thread(self) -> None:  # noqa: B027  # most have nothing to set up
        """Set up the calling thread, before its first `forward`."""

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return an upright RGB image as the encoder sees it, (height, width, 3) uint8."""
        spec = self.spec
        return np.asarray(resize(image, spec.input_px, spec.resize, spec.interpolation))

    @abstractmethod
    def forward(self, pixels: Pixels) -> Floats:
        """Return features (n, d) float32 of preprocessed images (n, height, width, 3) uint8.

        Row i depends on image i alone, to the last bit, for any n that is used throughout.
        """


@dataclass(frozen=True)
class Preset:
    """What is known about a named encoder before it is loaded.

    Attributes:
        source: long form of its name.
        dim: d, features per image.
        input_px: side of the square image it sees, pixels.
        licence: of the weights.
        hub: repository of the weights; ``""`` without any.
        note: one line for the listing.
    """

    source: str
    dim: int
    input_px: int
    licence: str
    hub: str = ""
    note: str = ""


def _clip(model: str, hub: str, dim: int, input_px: int, note: str = "") -> Preset:
    return Preset(f"open_clip:{model}-quickgelu/openai", dim, input_px, "MIT", f"timm/{hub}", note)


def _siglip(model: str, dim: int, input_px: int) -> Preset:
    return Preset(f"open_clip:{model}/webli", dim, input_px, "Apache-2.0", f"timm/{model}")


ENCODERS: dict[str, Preset] = {
    "hog": Preset("builtin:hog", 420, 64, "-", note=FLOOR),
    "pixels": Preset("builtin:pixels", 768, 16, "-", note=FLOOR),
    "clip-rn50": _clip("RN50", "resnet50_clip.openai", 1024, 224),
    "clip-vit-b32": _clip("ViT-B-32", "vit_base_patch32_clip_224.openai", 512, 224, "the default"),
    "clip-vit-b16": _clip("ViT-B-16", "vit_base_patch16_clip_224.openai", 512, 224),
    "clip-vit-l14": _clip("ViT-L-14", "vit_large_patch14_clip_224.openai", 768, 224),
    "clip-vit-l14-336": _clip("ViT-L-14-336", "vit_large_patch14_clip_336.openai", 768, 336),
    "siglip-vit-b16": _siglip("ViT-B-16-SigLIP", 768, 224),
    "siglip-vit-l16-256": _siglip("ViT-L-16-SigLIP-256", 1024, 256),
    "siglip-so400m-384": _siglip("ViT-SO400M-14-SigLIP-384", 1152, 384),
    "siglip2-vit-b16": _siglip("ViT-B-16-SigLIP2", 768, 224),
    "siglip2-vit-l16-256": _siglip("ViT-L-16-SigLIP2-256", 1024, 256),
    "siglip2-so400m-384": _siglip("ViT-SO400M-16-SigLIP2-384", 1152, 384),
}
DEFAULT_ENCODER = "clip-vit-b32"


def canonical(name: str) -> str:
    """Return the short name if `name` is the long form of one, else `name` itself."""
    for short, preset in ENCODERS.items():
        if preset.source == name:
            return short
    return name


def load(name: str, device: str = "auto", precision: str = "fp32") -> Encoder:
    """Return the encoder of a short or long name, its weights loaded and checked.

    `device` is a torch device, or ``auto``: a GPU if there is one.

    Raises:
        XprobeError: an unknown name, weights that are not on this machine and cannot be fetched,
            or weights that do not fit the architecture.
    """
    if precision not in PRECISIONS:
        raise XprobeError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    scheme, rest = check_name(name)
    if scheme == "open_clip":
        return _OpenClip(rest, pick_device(device), precision)
    if precision != "fp32":
        raise XprobeError(f"{name} has no network and computes in fp32 only")
    return _BUILTIN[rest]()


def check_name(name: str) -> tuple[str, str]:
    """Return (scheme, rest) of the long form of an encoder's name.

    Raises:
        XprobeError: no encoder is named like that; offers the nearest names.
    """
    source = ENCODERS[name].source if name in ENCODERS else name
    scheme, _, rest = source.partition(":")
    if (scheme == "builtin" and rest in _BUILTIN) or (scheme == "open_clip" and rest):
        return scheme, rest
    raise XprobeError(
        f"unknown encoder {name!r}{nearest(name, ENCODERS)}; 'xprobe encoders' lists the names, "
        f"and any open_clip model is open_clip:<model>/<pretrained tag or file>"
    )


def is_local(name: str) -> bool:
    """Return whether the weights of a named encoder are on this machine."""
    preset = ENCODERS[name]
    return not preset.hub or cached_file(preset.hub) is not None


def pick_device(device: str) -> str:
    """Return the torch device that `auto` stands for, or `device` after a check."""
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise XprobeError(f"device {device!r} is not usable here ({line}); try cpu") from error
    return device


# --- without weights -----------------------------------------------------------------


class _Hog(Encoder):
    """Histograms of oriented gradients (Dalal & Triggs 2005) beside histograms of colour.

    324 gradient features (9 orientations, 16 px cells, 2 x 2 blocks, L2-Hys) and 96 of colour
    (8 bins of each channel in each quadrant, square roots of shares), each part of length 1.
    """

    def __init__(self) -> None:
        version = ".".join(importlib.metadata.version("scikit-image").split(".")[:2])
        self.spec = _builtin_spec("hog", 420, 64, f"scikit-image-{version}")

    def forward(self, pixels: Pixels) -> Floats:
        return np.stack([self._one(image) for image in pixels])

    def _one(self, image: Pixels) -> Floats:
        from skimage.feature import hog

        gray = image @ np.array([0.299, 0.587, 0.114])
        shape = hog(gray, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2))
        bins = (image >> 5).reshape(2, 32, 2, 32, 3)
        colour = (bins[..., None] == np.arange(8)).mean(axis=(1, 3)) / 12
        parts = (shape / max(np.linalg.norm(shape), 1e-6), np.sqrt(colour).ravel())
        return np.concatenate(parts).astype(np.float32)


class _Pixels(Encoder):
    """The image itself at 16 x 16 pixels, on the 0-1 scale."""

    def __init__(self) -> None:
        self.spec = _builtin_spec("pixels", 768, 16, "")

    def forward(self, pixels: Pixels) -> Floats:
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255


_BUILTIN: dict[str, Callable[[], Encoder]] = {"hog": _Hog, "pixels": _Pixels}


def _builtin_spec(name: str, dim: int, side: int, version: str) -> EncoderSpec:
    return EncoderSpec(
        source=f"builtin:{name}", weights="", layer="output", dim=dim, input_px=(side, side),
        resize="squash", interpolation="bicubic", mean=(0.0,) * 3, std=(1.0,) * 3,
        precision="fp32", preprocessing=f"{PREPROCESSING}/{version}",
    )  # fmt: skip


# --- open_clip -----------------------------------------------------------------------


class _OpenClip(Encoder):
    """The image tower of any open_clip model, features after the projection.

    The last bits of a matrix product depend on the number of rows, so batches are of fixed size.
    """

    fixed_batch = True

    def __init__(self, name: str, device: str, precision: str) -> None:
        import torch

        config, checkpoint = _open_clip_parts(name)
        model = _open_clip_model(config.model, checkpoint)
        pre = {**model.visual.preprocess_cfg, **config.preprocess}
        size = pre["size"] if isinstance(pre["size"], (tuple, list)) else (pre["size"],) * 2
        self._device = torch.device(device)
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
            precision
        ]
        weights = digest_weights(model.visual)
        visual = model.visual.eval().requires_grad_(False)
        side = torch.zeros(1, 3, *size)
        with torch.inference_mode():
            dim = int(_first(visual(side)).shape[-1])
        self._visual = visual.to(self._device, self._dtype)
        self.spec = EncoderSpec(
            source=f"open_clip:{config.architecture}",
            weights=weights,
            layer="projected",
            dim=dim,
            input_px=(int(size[0]), int(size[1])),
            resize=pre["resize_mode"],
            interpolation=pre["interpolation"],
            mean=tuple(map(float, pre["mean"])),
            std=tuple(map(float, pre["std"])),
            precision=precision,
            preprocessing=PREPROCESSING,
        )
        if self.spec.interpolation not in ("bicubic", "bilinear"):
            raise XprobeError(f"{name}: interpolation {self.spec.interpolation!r} is not supported")
        self._mean = torch.tensor(self.spec.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(self.spec.std, device=self._device).view(1, 3, 1, 1)

    def prepare_thread(self) -> None:
        """One intra-op thread: as many threads as cores work side by side, which is faster."""
        import torch

        if self._device.type == "cpu":
            torch.set_num_threads(1)

    def forward(self, pixels: Pixels) -> Floats:
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
            x = batch.permute(0, 3, 1, 2).float().div(255)
            x = x.sub(self._mean).div(self._std).to(self._dtype)
            features = _first(self._visual(x)).float().cpu().numpy()
        return np.asarray(features, dtype=np.float32)


def _first(output: Any) -> torch.Tensor:
    """Some towers (CoCa) return (pooled, tokens)."""
    feature: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return feature


@dataclass(frozen=True)
class _OpenClipConfig:
    model: str
    preprocess: dict[str, Any]

    @property
    def architecture(self) -> str:
        """The model's name; for a folder its configuration, since where it lies decides nothing."""
        if not self.model.startswith("local-dir:"):
            return self.model
        file = Path(self.model.removeprefix("local-dir:")) / "open_clip_config.json"
        vision = json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
        vision.pop("text_cfg", None)
        return f"config-{digest_of(vision)[:16]}"


def _open_clip_parts(name: str) -> tuple[_OpenClipConfig, Path]:
    """Split ``<model>/<pretrained or path>``; return what to build and the checkpoint on disk."""
    import open_clip

    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise XprobeError(
                f"open_clip:{name}: no file {folder / 'open_clip_config.json'}; name a folder that "
                f"holds it beside the weights"
            )
        found = open_clip.factory._find_checkpoint_in_dir(folder)
        if found is None:
            raise XprobeError(f"open_clip:{name}: no weights in {folder}")
        return _OpenClipConfig(f"local-dir:{folder}", {}), Path(found)
    model, _, pretrained = name.partition("/")
    known = open_clip.list_models()
    if model not in known:
        raise XprobeError(f"open_clip has no model {model!r}{nearest(model, known)}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not pretrained:
        raise XprobeError(
            f"open_clip:{model} needs weights: open_clip:{model}/<tag or file>; "
            f"tags: {some(tags, 9) or 'none, so give a file'}"
        )
    if pretrained in tags:
        return _tagged(model, pretrained)
    path = Path(pretrained).expanduser()
    if path.is_file():
        return _OpenClipConfig(model, _preprocess_of(model)), path
    if "/" in pretrained or path.suffix:
        raise XprobeError(f"open_clip:{name}: no checkpoint file {path}")
    raise XprobeError(
        f"open_clip:{model} has no weights {pretrained!r}{nearest(pretrained, tags)}; "
        f"tags: {some(tags, 9) or 'none, so give a file'}"
    )


def _tagged(model: str, tag: str) -> tuple[_OpenClipConfig, Path]:
    import open_clip

    config = dict(open_clip.get_pretrained_cfg(model, tag))
    trained_with = bool(config.get("quick_gelu", False))
    built_with = bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
    if trained_with != built_with:
        twin = model.removesuffix("-quickgelu") if built_with else f"{model}-quickgelu"
        raise XprobeError(
            f"open_clip:{model}/{tag}: these weights were trained with "
            f"{'QuickGELU' if trained_with else 'GELU'}, which {model} is not; use "
            f"open_clip:{twin}/{tag}"
        )
    return _OpenClipConfig(model, _only_preprocessing(config)), fetch(
        model, tag, canonical(f"open_clip:{model}/{tag}")
    )


_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


def _only_preprocessing(config: dict[str, Any]) -> dict[str, Any]:
    return {k: config[k] for k in _PREPROCESSING if config.get(k)}


def _preprocess_of(model: str) -> dict[str, Any]:
    """What all published weights of an architecture agree on: a file alone does not say.

    open_clip itself falls back to CLIP's mean and crop, which is wrong for SigLIP.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    known = [_only_preprocessing(dict(open_clip.get_pretrained_cfg(model, tag))) for tag in tags]
    return known[0] if known and all(each == known[0] for each in known) else {}


def _open_clip_model(name: str, checkpoint: Path) -> Any:
    """Build an architecture and load a checkpoint into it, every key and shape checked."""
    import logging

    from open_clip import factory

    logging.disable(logging.WARNING)  # of the random weights, which are replaced next
    try:
        model = factory.create_model(name, load_weights=False, pretrained_text=False)
    finally:
        logging.disable(logging.NOTSET)
    state = read_state(checkpoint)
    state = factory.convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = factory.convert_to_custom_text_state_dict(state)
    load_strictly(model, state, checkpoint)
    return model
