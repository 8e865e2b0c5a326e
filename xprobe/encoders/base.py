"""An encoder: a function from pixels to features, with the spec that decides these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.encoders.spec import EncoderSpec
from xprobe.images.resize import PREPROCESSING, reencode, resize
from xprobe.images.samples import AS_IT_IS, Reading

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]

TextSide = Callable[[Sequence[str]], "tuple[torch.Tensor, float]"]
"""A function from texts to their features (n, d) and the logit scale."""

FAST = "fast"
"""The resampling of `images.resize.resize` with its argument ``fast``."""


class OutOfMemoryError(Exception):
    """A batch does not fit into the memory of the device; a smaller one may."""


class Encoder(ABC):
    """A frozen encoder, ready to run.

    Attributes:
        spec: everything that decides its features.
        auto_batch_size: images a forward pass, unless the user chooses a number.
        reference: the same encoder without short cuts, if this one takes any; a run compares the
            features of a few images with those of the reference.
    """

    spec: EncoderSpec
    auto_batch_size: int = 32
    reference: Encoder | None = None
    fixed_batch: bool = False
    """Whether `forward` must always be given the same number of images (short batches padded)."""
    has_text: bool = False
    """Whether `embed_text` embeds texts into the space of the images' features."""

    def embed_text(self, texts: Sequence[str]) -> tuple[Floats, float]:
        """Return text features (n, d) in the space of the images', and the logit scale.

        Raises:
            XprobeError: the encoder has no text side, or its tokenizer is not on this machine.
        """
        raise XprobeError(
            f"{self.spec.source} embeds images alone, no texts; leave out --prompts, or take an "
            f"encoder with a text side, such as clip-vit-b32"
        )

    def see_through(
        self, codec: str, resampling: str, exact: Encoder | None, reading: Reading = AS_IT_IS
    ) -> None:
        """See images through a codec and a resizer, which makes it another encoder.

        Args:
            codec: codec by which every image is encoded anew first (`images.resize.reencode`);
                ``""``: none.
            resampling: ``fast``, or ``""`` for Pillow's resizer.
            exact: the same encoder without a short cut, which becomes the `reference`; or None.
            reading: which samples of a file are decoded.
        """
        self.spec = structs.replace(
            self.spec, codec=codec, resampling=resampling, bands=reading.bands,
            stretch=reading.stretch,
        )  # fmt: skip
        if exact is not None:
            exact.see_through(codec, exact.spec.resampling, None, reading)
            self.reference = exact

    def prepare_thread(self) -> None:  # noqa: B027  # Most encoders need no set-up.
        """Set up the calling thread, before its first `forward`."""

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return an upright RGB image as the encoder sees it, (height, width, 3) uint8."""
        spec = self.spec
        return np.asarray(
            resize(
                image, spec.input_px, spec.resize, spec.interpolation, spec.resize_px,
                fast=spec.resampling == FAST,
            )
        )  # fmt: skip

    def see(self, image: Image.Image) -> Pixels:
        """Return a decoded image as `forward` takes it, encoded anew first if there is a codec."""
        return self.preprocess(reencode(image, self.spec.codec) if self.spec.codec else image)

    def empty_batch(self, n: int) -> Pixels:
        """Return memory for n preprocessed images, from which the device copies them fastest."""
        return np.empty((n, *self.spec.input_px, 3), np.uint8)

    @abstractmethod
    def forward(self, pixels: Pixels) -> Floats:
        """Return features (n, d) float32 of preprocessed images (n, height, width, 3) uint8.

        Row i depends on image i alone, to the last bit, for any n that is used throughout.

        Raises:
            OutOfMemoryError: n images are too many for the device.
            XprobeError: the device failed.
        """


def plain_spec(
    source: str,
    dim: int,
    input_px: tuple[int, int],
    version: str,
    *,
    weights: str = "",
    resize: str = "squash",
    interpolation: str = "bicubic",
) -> EncoderSpec:
    """Return the spec of an encoder that takes plain pixels in fp32, as one of your own may.

    Args:
        source: name of the method, such as ``own:mean-colour``; part of the key.
        dim: d, the length of a feature.
        input_px: height and width of what `Encoder.forward` is given.
        version: version of the code; another version is another encoder.
        weights: digest of the trained weights, if there are any.
        resize, interpolation: as in `images.resize`.
    """
    return EncoderSpec(
        source=source, weights=weights, layer="output", dim=dim, input_px=input_px,
        resize=resize, interpolation=interpolation, mean=(0.0,) * 3, std=(1.0,) * 3,
        precision="fp32", preprocessing=f"{PREPROCESSING}/{version}",
    )  # fmt: skip
