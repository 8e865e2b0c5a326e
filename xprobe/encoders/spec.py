"""Everything that decides a feature, as one value; its digest is the key of the store."""

from __future__ import annotations

import msgspec

from xprobe.base.arrays import digest_of
from xprobe.base.documents import Document, Number, to_json
from xprobe.encoders.presets import PRECISIONS

RANDOM = "random:"  # how the weights of a spec begin that were never trained

RESIZE_MODES = ("shortest", "shortest-floor", "longest", "squash")


class EncoderSpec(Document, frozen=True):
    """Every field that decides a feature's value, and nothing else.

    Attributes:
        source: the family and architecture, such as ``open_clip:ViT-B-32-quickgelu``.
        weights: digest of the weights; ``""`` for an encoder without any.
        layer: where the feature is taken.
        dim: d, the length of a feature.
        input_px: height and width of the image that the encoder sees, pixels.
        resize: as in `images.resize`.
        interpolation: the resizing filter.
        mean, std: per-channel normalisation on the 0–1 scale.
        precision: arithmetic of the forward pass.
        preprocessing: version of the code that turns a file into pixels and features.
        activation: of a network that exists with several under one name; ``""`` otherwise.
        resize_px: with ``shortest``, the shorter side before the cut, pixels; 0: that of the input.
        codec: how every image is encoded anew before that, as in `images.reencode`; ``""``: not.
        resampling: ``fast``: by a resizer that is off by a level or two here and there; ``""``: by
            Pillow's.

    A field that is added later has a default and is part of the key only where it differs from
    it, so that the keys of stored features stay.
    """

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
