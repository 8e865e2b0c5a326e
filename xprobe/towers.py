"""What an encoder is, and the network that most of them are: a frozen image tower in torch."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xprobe.errors import XprobeError
from xprobe.forwards import shorten, simplify
from xprobe.graphs import Replayed
from xprobe.images import INTERPOLATIONS, PREPROCESSING, reencode, resize
from xprobe.packed import pack
from xprobe.types import RANDOM, EncoderSpec, Floats
from xprobe.weights import digest_weights

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
TextSide = Callable[[Sequence[str]], "tuple[torch.Tensor, float]"]
LAYERS = ("projected", "pooled")
FAST = "fast"  # resampling


class OutOfMemoryError(Exception):
    """A batch does not fit into the memory of the device; a smaller one may."""


class Encoder(ABC):
    """A frozen encoder, ready to run.

    Attributes:
        spec: everything that decides its features.
        auto_batch_size: images a forward pass where none is asked for.
        reference: the same encoder computed without a short cut, if this one takes any; features
            of a few images are compared with its.
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
        raise XprobeError(f"{self.spec.source} has no text side; leave out --prompts")

    def prepare_thread(self) -> None:  # noqa: B027  # most have nothing to set up
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
        """Return what is made of a decoded image before `forward`."""
        return self.preprocess(reencode(image, self.spec.codec) if self.spec.codec else image)

    @abstractmethod
    def forward(self, pixels: Pixels) -> Floats:
        """Return features (n, d) float32 of preprocessed images (n, height, width, 3) uint8.

        Row i depends on image i alone, to the last bit, for any n that is used throughout.

        Raises:
            OutOfMemoryError: n images are too many for the device.
            XprobeError: the device failed.
        """


@dataclass(frozen=True)
class Wish:
    """How a tower is asked for.

    Attributes:
        layer: ``projected`` or ``pooled``; None: the former where there is one.
        random: leave the weights as initialised (from a fixed seed), for speed tests and as the
            floor of an architecture.
    """

    layer: str | None = None
    random: bool = False


@dataclass(frozen=True)
class View:
    """How a tower sees an image; the fields are those of `EncoderSpec`."""

    input_px: tuple[int, int]
    resize: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_px: int = 0


@dataclass(frozen=True)
class Tower:
    """A loaded network.

    Attributes:
        module: normalised images (n, 3, height, width) → features (n, d).
        source: family and architecture, for the spec.
        layer: where the feature is taken: ``projected`` into the space shared with text, or
            ``pooled`` before that; towers without a text space have the latter only.
        view: its preprocessing.
        activation: of architectures that exist with several.
        random: whether its weights are as initialised.
        text: texts → (features (n, d) in the projected space, logit scale); None without one.
    """

    module: torch.nn.Module
    source: str
    layer: str
    view: View
    activation: str = ""
    random: bool = False
    text: TextSide | None = None


class Network(Encoder):
    """A tower on a device, in a precision, to be trained further or to embed only.

    The last bits of a matrix product depend on the number of rows, so batches are of fixed size.
    """

    fixed_batch = True

    def __init__(
        self, tower: Tower, device: str, precision: str, *, trainable: bool = False
    ) -> None:
        import torch

        view = tower.view
        if view.interpolation not in INTERPOLATIONS:
            raise XprobeError(f"{tower.source}: interpolation {view.interpolation!r} is unknown")
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._device, self._dtype = torch.device(device), dtype
        self._text = tower.text if tower.layer == "projected" else None
        self.has_text = self._text is not None
        module = tower.module.eval().requires_grad_(False)
        weights = (RANDOM if tower.random else "") + digest_weights(module)
        noise = torch.randn(1, 3, *view.input_px, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            features = module(noise)
        if features.ndim != 2:
            shape = tuple(features.shape[1:])
            raise XprobeError(f"{tower.source}: features of shape {shape}, not one vector")
        on_cpu = self._device.type == "cpu"
        self._trainable = trainable
        if not trainable:
            packs = on_cpu and precision == "fp32"
            simplify(module, [shorten, pack] if packs else [shorten], noise, features)
        self._module = module.to(self._device, dtype)
        if not on_cpu:
            self._module = self._module.to(memory_format=torch.channels_last)
        self._features = Replayed(self._computed) if self._device.type == "cuda" else self._computed
        # One thread at a time queues its work on the device; meanwhile the others decode.
        self._turn: AbstractContextManager[object] = nullcontext() if on_cpu else threading.Lock()
        # On a CPU more images a batch are no faster; on a GPU as many as keep it busy.
        self.auto_batch_size = 8 if on_cpu else 256
        self._mean = torch.tensor(view.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(view.std, device=self._device).view(1, 3, 1, 1)
        self.spec = EncoderSpec(
            source=tower.source,
            weights=weights,
            layer=tower.layer,
            dim=features.shape[1],
            input_px=view.input_px,
            resize=view.resize,
            interpolation=view.interpolation,
            mean=view.mean,
            std=view.std,
            precision=precision,
            preprocessing=PREPROCESSING,
            activation=tower.activation,
            resize_px=view.resize_px,
        )

    @property
    def module(self) -> torch.nn.Module:
        """The network: normalised images (n, 3, height, width) → features (n, d); frozen.

        Raises:
            ValueError: it is not `trainable`; its weights may be laid out for products alone.
        """
        if not self._trainable:
            raise ValueError(f"{self.spec.source} was loaded to embed only; load it trainable")
        return self._module

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel that images are normalised by."""
        return self.spec.mean, self.spec.std

    def embed_text(self, texts: Sequence[str]) -> tuple[Floats, float]:
        if self._text is None:
            return super().embed_text(texts)
        import torch

        with torch.inference_mode():
            features, scale = self._text(texts)
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32), scale

    def prepare_thread(self) -> None:
        """One intra-op thread: as many threads as cores work side by side, which is faster."""
        import torch

        if self._device.type == "cpu":
            torch.set_num_threads(1)

    def forward(self, pixels: Pixels) -> Floats:
        import torch

        try:
            with torch.inference_mode():
                batch = torch.from_numpy(np.require(pixels, requirements=("C", "W")))
                if self._device.type == "cuda":
                    batch = batch.pin_memory()  # copied while the device computes
                batch = batch.to(self._device, non_blocking=True)
                with self._turn:
                    features = self._features(batch)
                return np.asarray(features.cpu().numpy(), dtype=np.float32)
        except RuntimeError as error:
            raise self._translated(error) from error

    def _computed(self, batch: torch.Tensor) -> torch.Tensor:
        """Return features (n, d) of images (n, height, width, 3) uint8, both on the device."""
        import torch

        x = batch.permute(0, 3, 1, 2).float().div(255)
        x = x.sub(self._mean).div(self._std).to(self._dtype)
        takes_short_cut = self._device.type == "cuda" and self._dtype == torch.float32
        with _exact_convolutions() if takes_short_cut else nullcontext():
            features: torch.Tensor = self._module(x).float()
        return features

    def _translated(self, error: RuntimeError) -> Exception:
        import torch

        line = f"{error}".partition("\n")[0]
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in line:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            return OutOfMemoryError(line)
        if self._device.type == "cpu":
            return error
        return XprobeError(
            f"{self._device} failed ({line}); what was embedded is kept, so run the same again, "
            f"or with --device cpu"
        )


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """No TensorFloat-32, which PyTorch allows convolutions on a GPU: it has 10 bits, not 23."""
    from torch.backends import cudnn

    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


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
        source: what it is, such as ``own:mean-colour``; part of the key.
        dim: d, the length of a feature.
        input_px: height and width of what `Encoder.forward` is given.
        version: of the code; another one is another encoder.
        weights: digest of what was trained, if anything.
        resize, interpolation: as in `images.resize`.
    """
    return EncoderSpec(
        source=source, weights=weights, layer="output", dim=dim, input_px=input_px,
        resize=resize, interpolation=interpolation, mean=(0.0,) * 3, std=(1.0,) * 3,
        precision="fp32", preprocessing=f"{PREPROCESSING}/{version}",
    )  # fmt: skip


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


def check_layer(source: str, layer: str | None, has_projection: bool) -> str:
    """Return the layer to take: by default the projected one where there is one.

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
    """Some towers (CoCa) return (pooled, tokens)."""
    return output[0] if isinstance(output, tuple) else output
