"""Classifiers of torchvision, ``torchvision:<model>/<weights>``, without their last layer."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.encoders.checkpoints import read_checkpoint
from xprobe.encoders.presets import canonical
from xprobe.encoders.states import check_tensors, pick_state
from xprobe.encoders.tower import Tower, View, Wish, check_layer
from xprobe.encoders.weights import (
    address_file,
    load_strictly,
    torch_cache,
)


def load(name: str, wish: Wish) -> Tower:
    """Return a torchvision classifier without its last layer, ``<model>/<weights>``.

    Raises:
        XprobeError: an unknown model or weights, weights that are nowhere or do not fit.
    """
    import torch
    from torchvision import models

    model_name, _, weights_name = name.partition("/")
    known = models.list_models(module=models)
    if model_name not in known:
        raise XprobeError(
            f"torchvision has no model {model_name!r}{did_you_mean(model_name, known)}"
        )
    published = {weights.name: weights for weights in models.get_model_weights(model_name)}
    if weights_name not in published:
        raise XprobeError(
            f"torchvision has no weights {weights_name!r} of {model_name}; there are: "
            f"{first_few(published, 9)}"
        )
    chosen = published[weights_name]
    torch.manual_seed(0)
    model = models.get_model(model_name, weights=None)
    if not wish.random:
        file = torch_cache() / Path(urllib.parse.urlsplit(chosen.url).path).name
        checkpoint = address_file(chosen.url, file, canonical(f"torchvision:{name}"))
        state = pick_state(read_checkpoint(checkpoint), model.state_dict().keys(), checkpoint)
        check_tensors(state, model.state_dict(), checkpoint)
        load_strictly(model, state, checkpoint)
    if isinstance(getattr(model, "classifier", None), torch.nn.Sequential):
        model.classifier[-1] = torch.nn.Identity()
    elif isinstance(getattr(model, "fc", None), torch.nn.Linear):
        model.fc = torch.nn.Identity()
    else:
        raise XprobeError(f"torchvision:{model_name}: its last layer is not known; try timm")
    seen = chosen.transforms()
    view = View(
        input_px=(seen.crop_size[0],) * 2,
        resize="shortest",
        interpolation=seen.interpolation.value,
        mean=tuple(seen.mean),
        std=tuple(seen.std),
        resize_px=seen.resize_size[0],
    )
    layer = check_layer(f"torchvision:{name}", wish.layer, has_projection=False)
    return Tower(model, f"torchvision:{model_name}", layer, view, random=wish.random)
