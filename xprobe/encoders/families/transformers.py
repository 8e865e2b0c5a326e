"""Image towers of transformers: ``hf:<org/repository or folder>``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, did_you_mean
from xprobe.encoders.base import TextSide
from xprobe.encoders.families.open_clip import Source, build
from xprobe.encoders.presets import ENCODERS, canonical
from xprobe.encoders.tower import Tower, View, Wish, check_layer
from xprobe.encoders.weights import TIMM_FILES, hub_file, read_state, refuse_misfit

# Heads that a checkpoint may bring along and an encoder has no use for.
_HEADS = ("classifier.", "decoder.", "head.", "cls_classifier.", "distillation_classifier.")

_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


def load(name: str, wish: Wish) -> Tower:
    """Return the image tower of a transformers repository or folder.

    A repository whose config.json names an open_clip model (MVRL's RemoteCLIP) is loaded as that.

    Raises:
        XprobeError: no such folder or repository, weights that are nowhere or do not fit.
    """
    folder, checkpoint = _locate_files(name, with_weights=not wish.random)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise XprobeError(f"{folder / 'config.json'}: not readable: {error}") from error
    if "model_type" not in config and "model_name" in config:
        return _wrapped_open_clip(config["model_name"], checkpoint, wish)
    model = _random_model(folder) if checkpoint is None else _load_model(folder, checkpoint)
    return _tower_of_model(model, wish, _read_view(folder), canonical(f"hf:{name}"), folder)


def _locate_files(name: str, with_weights: bool) -> tuple[Path, Path | None]:
    """Return the folder of the configuration and the weights file."""
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise XprobeError(f"hf:{name}: no file {path / 'config.json'}")
        if not with_weights:
            return path, None
        for file in TIMM_FILES:
            if (path / file).is_file():
                return path, path / file
        raise XprobeError(f"hf:{name}: no weights in {path}; it needs {' or '.join(TIMM_FILES)}")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith((".", "/", "~")):
        raise XprobeError(f"hf:{name}: no such folder, and not a repository's org/name either")
    label = canonical(f"hf:{name}")
    config = hub_file(name, ["config.json"], label, "hf:")
    checkpoint = hub_file(name, TIMM_FILES, label, "hf:") if with_weights else None
    if "model_type" in json.loads(config.read_text(encoding="utf-8")):
        hub_file(name, ["preprocessor_config.json"], label, "hf:")
    return config.parent, checkpoint


def _wrapped_open_clip(model_name: str, checkpoint: Path | None, wish: Wish) -> Tower:
    import open_clip

    if model_name not in open_clip.list_models():
        known = open_clip.list_models()
        raise XprobeError(f"open_clip has no model {model_name!r}{did_you_mean(model_name, known)}")
    state = None
    if checkpoint is not None:
        state = {k.removeprefix("model."): v for k, v in read_state(checkpoint).items()}
    return build(Source(model_name, checkpoint, {}), state, wish)


def _random_model(folder: Path) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    return transformers.AutoModel.from_config(config)


def _load_model(folder: Path, checkpoint: Path) -> Any:
    """Let transformers load weights, which only logs what is missing; refuse what does not fit."""
    import torch
    import transformers

    read_state(checkpoint)  # This refuses files with code before transformers opens them.
    transformers.logging.set_verbosity_error()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type == "vit_mae":
            config.mask_ratio = 0.0  # By default 75 % of the image is masked.
        model, info = transformers.AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True,
            dtype=torch.float32,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise XprobeError(f"{folder}: {str(error).splitlines()[0]}") from error
    unused = ("pooler.",) if _takes_class_token(config.model_type) else ()
    refuse_misfit(
        {
            "missing": [k for k in sorted(info["missing_keys"]) if not k.startswith(unused)],
            "unexpected": [k for k in sorted(info["unexpected_keys"]) if not k.startswith(_HEADS)],
            "of another shape": [str(k) for k in info["mismatched_keys"]],
        },
        checkpoint,
    )
    return model


def _takes_class_token(model_type: str) -> bool:
    """Return whether the feature is the class token, as the pooler was often never trained."""
    return model_type in ("vit", "vit_mae", "deit", "beit", "data2vec-vision", "vit_msn")


def _tower_of_model(model: Any, wish: Wish, view: View, name: str, folder: Path) -> Tower:
    import torch

    kind = model.config.model_type
    dual = hasattr(model, "get_image_features")
    layer = check_layer(f"hf:{kind}", wish.layer, has_projection=dual)

    class Image(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # The text side decides no feature, so it must not decide the digest either.
            self.vision = model.vision_model if dual else model
            self.projection = getattr(model, "visual_projection", None) if dual else None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output = self.vision(pixel_values=x)
            if _takes_class_token(kind):
                first: torch.Tensor = output.last_hidden_state[:, 0]
                return first
            feature: torch.Tensor = output.pooler_output.flatten(1)
            if layer == "projected" and self.projection is not None:
                feature = self.projection(feature)
            return feature

    source = model.config.to_dict()
    architecture = source.get("vision_config") or source
    activation = str(architecture.get("hidden_act") or "")
    text = _text_side(model, name, folder) if hasattr(model, "get_text_features") else None
    return Tower(Image(), f"hf:{kind}", layer, view, activation, wish.random, text)


def _text_side(model: Any, name: str, folder: Path) -> TextSide:
    def embed(texts: Sequence[str]) -> tuple[Any, float]:
        import transformers

        if not Path(name.removeprefix("hf:")).is_dir():
            repository = ENCODERS[name].hub if name in ENCODERS else name.removeprefix("hf:")
            hub_file(repository, ["tokenizer_config.json"], name, "hf:")
            hub_file(repository, ["tokenizer.json", "spiece.model", "vocab.json"], name, "hf:")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise XprobeError(f"{name}: no tokenizer: {str(error).splitlines()[0]}") from error
        # SigLIP was trained on texts that are padded to the full length.
        longest = model.config.text_config.max_position_embeddings
        tokens = tokenizer(
            list(texts), padding="max_length", max_length=longest, truncation=True,
            return_tensors="pt",
        )  # fmt: skip
        known = {k: v for k, v in tokens.items() if k in ("input_ids", "attention_mask")}
        if model.config.model_type == "siglip":
            known.pop("attention_mask", None)
        output = model.get_text_features(**known)
        return getattr(output, "pooler_output", output), model.logit_scale.exp().item()

    return embed


def _read_view(folder: Path) -> View:
    """Return the preprocessing by preprocessor_config.json; processor classes drop parts of it."""
    file = folder / "preprocessor_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise XprobeError(f"{file}: the preprocessing is not known: {error}") from error
    size, crop = config.get("size"), config.get("crop_size")
    cut = crop if config.get("do_center_crop", crop is not None) else None
    target = _height_and_width(cut if cut is not None else size)
    resize, before = "squash", 0
    # Below 384 pixels, the processor of ConvNeXt cuts this share out of a larger image.
    if config.get("crop_pct") and _height_and_width(size)[0] < 384:
        resize, before = "shortest-floor", int(_height_and_width(size)[0] / config["crop_pct"])
        target = _height_and_width(size)
    elif isinstance(size, int) or (isinstance(size, dict) and "shortest_edge" in size):
        squash = isinstance(size, int) and cut is None
        resize, before = ("squash", 0) if squash else ("shortest-floor", _height_and_width(size)[0])
    return View(
        input_px=target,
        resize=resize,
        interpolation=_RESAMPLE.get(config.get("resample", 2), "bilinear"),
        mean=tuple(map(float, config["image_mean"])),
        std=tuple(map(float, config["image_std"])),
        resize_px=before if before != target[0] else 0,
    )


def _height_and_width(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return (int(size["shortest_edge"]),) * 2
        return int(size["height"]), int(size["width"])
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[1])
    return (int(size),) * 2
