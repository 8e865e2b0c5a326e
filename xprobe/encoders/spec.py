"""The spec of an encoder: everything that decides a feature; its digest is the store's key."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from xprobe.base.arrays import digest_of
from xprobe.base.documents import Document, Number, to_json
from xprobe.encoders.presets import PRECISIONS
from xprobe.images.samples import Reading

RANDOM = "random:"
"""The beginning of the field `weights` if the weights were never trained."""

SHARED_LAYER = "projected"
"""The layer whose features lie in one space with those of texts."""

RESIZE_MODES = ("shortest", "shortest-floor", "longest", "squash", "crop")


class EncoderSpec(Document, frozen=True):
    """Every field that decides a feature's value, and nothing else.

    Attributes:
        source: the family and architecture, such as ``open_clip:ViT-B-32-quickgelu``.
        weights: digest of the weights; ``""`` for an encoder without any.
        layer: layer of which the output is the feature.
        dim: d, the length of a feature.
        input_px: height and width of the image that the encoder sees, pixels.
        resize: how images are resized, a mode of `images.resize.resize`.
        interpolation: the resizing filter.
        mean, std: per-channel normalisation on the 0–1 scale.
        precision: precision of the forward pass.
        preprocessing: version of the code that turns a file into pixels and features.
        activation: activation, if the network exists with several under one name; ``""`` otherwise.
        resize_px: with ``shortest``, the shorter side before the cut, with ``squash`` both sides,
            pixels; 0: those of the input.
        codec: codec by which images are encoded anew before they are resized; ``""``: none.
        resampling: ``fast``: a resizer that is off by up to two levels in a few values; ``""``:
            Pillow's resizer.
        channels: ``bgr`` if the network is given blue first, its mean and std still red first;
            ``""``: red first.
        bands: the bands of an image that are its picture (`images.samples.Reading`); ``()``: all.
        stretch: the range of samples of more than 8 bits that becomes 0 to 255; ``()``: the full
            range of their type.

    A field that is added later has a default, and is part of the key only if its value is another
    one, so that the keys of stored features stay.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("channels", "bands", "stretch")

    source: str
    weights: str
    layer: str
    dim: int
    input_px: tuple[int, int]
    resize: str
    interpolation: str
    mean: tuple[Number, ...]
    std: tuple[Number, ...]
    precision: str
    preprocessing: str
    activation: str = ""
    resize_px: int = 0
    codec: str = ""
    resampling: str = ""
    channels: str = ""
    bands: tuple[int, ...] = ()
    stretch: tuple[Number, ...] = ()

    @property
    def reading(self) -> Reading:
        """Which samples of a file are decoded, for `images.decode.decode`."""
        return Reading(self.bands, self.stretch)

    @property
    def has_random_weights(self) -> bool:
        """Whether its weights were never trained, as the user asked."""
        return self.weights.startswith(RANDOM)

    @property
    def is_known(self) -> bool:
        """Whether this xprobe knows all that decides the features; a newer one may know more."""
        return not self.unknown and self.resize in RESIZE_MODES and self.precision in PRECISIONS

    @property
    def key(self) -> str:
        """SHA-256 hex digest of all fields, those at their default left out."""
        defaults = {field.name: field.default for field in msgspec.structs.fields(self)}
        return digest_of({k: v for k, v in to_json(self).items() if v != defaults.get(k)})
