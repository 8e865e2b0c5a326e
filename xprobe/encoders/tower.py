"""Towers: networks that embed images, as the families of encoders load them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xprobe.base.errors import XprobeError
from xprobe.encoders.spec import SHARED_LAYER

if TYPE_CHECKING:
    import torch
from xprobe.encoders.base import TextSide

LAYERS = (SHARED_LAYER, "pooled")


@dataclass(frozen=True)
class Wish:
    """What the user chooses of a tower.

    Attributes:
        layer: ``projected`` or ``pooled``; None: ``projected`` if the tower has it.
        random: leave the weights as initialised (from a fixed seed), for speed tests and as the
            floor of an architecture.
    """

    layer: str | None = None
    random: bool = False


@dataclass(frozen=True)
class View:
    """How a tower sees an image; the fields are those of `EncoderSpec`.

    A module whose `channels` are ``bgr`` is given red first all the same, and turns them round.
    """

    input_px: tuple[int, int]
    resize: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_px: int = 0
    channels: str = ""


@dataclass(frozen=True)
class Tower:
    """A loaded network.

    Attributes:
        module: normalised images (n, 3, height, width) → features (n, d).
        source: family and architecture, for the spec.
        layer: layer of the feature: ``projected`` into the space shared with text, or
            ``pooled`` before that; towers without a text space have the latter only.
        view: its preprocessing.
        activation: activation, if the architecture exists with several.
        random: whether its weights are as initialised.
        text: function from texts to features in the projected space; None without a text side.
    """

    module: torch.nn.Module
    source: str
    layer: str
    view: View
    activation: str = ""
    random: bool = False
    text: TextSide | None = None


def check_layer(source: str, layer: str | None, has_projection: bool) -> str:
    """Return the layer to take: by default the projected one, if the tower has it.

    Raises:
        XprobeError: there is no such layer.
    """
    if layer is None:
        return "projected" if has_projection else "pooled"
    if layer not in LAYERS:
        raise XprobeError(f"unknown layer {layer!r}; known: {', '.join(LAYERS)}")
    if layer == "projected" and not has_projection:
        raise XprobeError(f"{source} has no projection shared with text; use --layer pooled")
    return layer


def first_feature(output: Any) -> Any:
    """Return the feature of a tower's output, as some towers (CoCa) return (pooled, tokens)."""
    return output[0] if isinstance(output, tuple) else output
