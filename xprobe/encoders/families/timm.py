"""Image towers of timm: ``timm:<model>[@px][/file]``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.encoders.presets import canonical
from xprobe.encoders.tower import Tower, View, Wish, check_layer
from xprobe.encoders.weights import (
    TIMM_FILES,
    hub_file,
    read_state,
    refuse_misfit,
)


def load(name: str, wish: Wish) -> Tower:
    """Return a timm model without its classifier: ``<architecture>.<tag>`` or with ``/<file>``.

    ``<architecture>.<tag>@64`` sees images of 64 x 64 pixels instead of those of its weights.

    Raises:
        XprobeError: an unknown model or tag, weights that are nowhere or do not fit, or a size of
            images that the network cannot take.
    """
    import timm
    import torch

    model_name, _, file = name.partition("/")
    model_name, has_side, side = model_name.partition("@")
    px = _parse_side(name, side) if has_side else None
    architecture = model_name.partition(".")[0]
    if not timm.is_model(architecture):
        known = timm.list_models()
        raise XprobeError(f"timm has no model {architecture!r}{did_you_mean(architecture, known)}")
    tags = timm.list_pretrained(f"{architecture}.*")
    config = (
        None
        if "." in model_name and model_name not in tags and not file
        else (timm.get_pretrained_cfg(model_name, allow_unregistered=False))
    )
    if config is None:
        raise XprobeError(
            f"timm has no weights {model_name!r}{did_you_mean(model_name, tags)}; there are: "
            f"{first_few(tags, 9) or 'none, so give a file: timm:<model>/<file>'}"
        )
    full = f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
    layer = check_layer(f"timm:{full}", wish.layer, has_projection=False)
    # A network that takes one size alone, such as a ViT, is built for the size that is asked for.
    sized: dict[str, Any] = {"img_size": px} if px and config.fixed_input_size else {}
    if wish.random:
        torch.manual_seed(0)
        model = timm.create_model(full, pretrained=False, **sized)
    else:
        checkpoint = _checkpoint_file(full, file, config)
        model = _build_model(full, read_state(checkpoint), checkpoint, sized)
    model.reset_classifier(0)  # type: ignore[operator]
    view = _view_of_model(model, full, px)
    if px:
        _check_size(model, full, px)
    return Tower(model, f"timm:{full}", layer, view, random=wish.random)


def _parse_side(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise XprobeError(
            f"timm:{name}: after @ comes the side of the images in pixels, such as "
            f"timm:{name.partition('@')[0]}@64"
        )
    return int(text)


def _check_size(model: Any, full: str, px: int) -> None:
    import torch

    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, px, px))
    except (RuntimeError, AssertionError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise XprobeError(f"timm:{full} cannot take images of {px} pixels: {said}") from error


def _checkpoint_file(full: str, file: str, config: Any) -> Path:
    if file:
        path = Path(file).expanduser()
        if not path.is_file():
            raise XprobeError(f"timm:{full}/{file}: no checkpoint file {path}")
        return path
    if not config.hf_hub_id:
        raise XprobeError(
            f"timm has no weights of {full} on the hub; give a file: timm:{full}/FILE"
        )
    names = [config.hf_hub_filename] if config.hf_hub_filename else TIMM_FILES
    return hub_file(config.hf_hub_id, names, canonical(f"timm:{full}"), f"timm:{full}/")


def _build_model(full: str, state: dict[str, Any], checkpoint: Path, sized: dict[str, Any]) -> Any:
    """Let timm convert and load a state dict, strictly and without resampling.

    The classifier is loaded, too, so that no weight may be missing. timm silently resamples
    position embeddings of another image size, which is an error here unless the user chose a size.
    """
    import timm

    try:
        model = timm.create_model(
            full, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **sized
        )
    except (RuntimeError, KeyError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise XprobeError(
            f"{checkpoint}: the weights do not fit the architecture {full}: {said}"
        ) from error
    shapes = {k: tensor.shape for k, tensor in model.state_dict().items()}
    resampled = [
        k
        for k in ("pos_embed",)
        if not sized and k in shapes and k in state and shapes[k] != state[k].shape
    ]
    refuse_misfit({"of another shape": resampled}, checkpoint)
    return model


def _view_of_model(model: Any, full: str, px: int | None) -> View:
    import timm.data

    data = timm.data.resolve_model_data_config(model)
    _, height, width = data["input_size"]
    mode, share = data["crop_mode"], data["crop_pct"]
    height, width = (px, px) if px else (height, width)
    if mode not in ("center", "squash") or (mode == "squash" and share != 1) or height != width:
        raise XprobeError(f"timm:{full}: preprocessing {mode} at {share} is not supported")
    side = math.floor(height / share)
    return View(
        input_px=(height, width),
        resize="shortest" if mode == "center" else "squash",
        interpolation=data["interpolation"],
        mean=tuple(map(float, data["mean"])),
        std=tuple(map(float, data["std"])),
        resize_px=side if side != height else 0,
    )
