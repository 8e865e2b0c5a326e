"""The network that most encoders are: a frozen image tower in torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError, first_line
from xprobe.encoders.fast.cuda_graphs import Replayed
from xprobe.encoders.fast.last_token import shorten, simplify
from xprobe.encoders.fast.onednn import pack
from xprobe.encoders.spec import RANDOM, EncoderSpec
from xprobe.encoders.weights import digest_weights
from xprobe.images.resize import INTERPOLATIONS, PREPROCESSING

if TYPE_CHECKING:
    import torch
from xprobe.encoders.base import Encoder, OutOfMemoryError, Pixels
from xprobe.encoders.tower import Tower

# One thread at a time queues its work on a device, whichever network it is for; meanwhile the
# others decode. Two networks must not take turns of their own: TensorFloat-32 is switched for the
# whole process, and only one graph can be recorded at a time.
_turn = threading.Lock()


class Network(Encoder):
    """A tower on a device, in a precision, that can be trained further if it is `trainable`.

    The last bits of a matrix product depend on the number of rows, so batches have a fixed size.
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
        try:
            with torch.inference_mode():
                features = module(noise)
        except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
            # Every library refuses an image of a size that it cannot take in its own way.
            raise XprobeError(
                f"{tower.source}: the network cannot embed what its preprocessing gives, images of "
                f"{view.input_px[0]} x {view.input_px[1]} pixels: {first_line(error)}"
            ) from error
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
        # A CPU gains nothing from larger batches; a GPU needs so many images to be busy.
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
            channels=view.channels,
        )

    @property
    def module(self) -> torch.nn.Module:
        """The network: normalised images (n, 3, height, width) → features (n, d); frozen.

        Raises:
            ValueError: the network is not `trainable`, so that its weights may be packed.
        """
        if not self._trainable:
            raise ValueError(f"{self.spec.source} was loaded to embed only; load it trainable")
        return self._module

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, by which images are normalised."""
        return self.spec.mean, self.spec.std

    def embed_text(self, texts: Sequence[str]) -> tuple[Floats, float]:
        if self._text is None:
            return super().embed_text(texts)
        import torch

        with torch.inference_mode():
            features, scale = self._text(texts)
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32), scale

    def prepare_thread(self) -> None:
        """Give torch one thread: a run has a thread for each core, which is faster."""
        import torch

        if self._device.type == "cpu":
            torch.set_num_threads(1)

    def empty_batch(self, n: int) -> Pixels:
        if self._device.type != "cuda":
            return super().empty_batch(n)
        import torch

        pinned = torch.empty((n, *self.spec.input_px, 3), dtype=torch.uint8, pin_memory=True)
        pixels: Pixels = pinned.numpy()
        return pixels

    def forward(self, pixels: Pixels) -> Floats:
        import torch

        try:
            with torch.inference_mode():
                batch = torch.from_numpy(np.require(pixels, requirements=("C", "W")))
                if self._device.type == "cuda":
                    # Copies run beside the device's work; memory of `empty_batch` is pinned before.
                    batch = batch.pin_memory()
                batch = batch.to(self._device, non_blocking=True)
                with nullcontext() if self._device.type == "cpu" else _turn:
                    features = self._features(batch)
                return np.asarray(features.cpu().numpy(), dtype=np.float32)
        except RuntimeError as error:
            raise self._error_to_raise(error) from error

    def _computed(self, batch: torch.Tensor) -> torch.Tensor:
        """Return features (n, d) of images (n, height, width, 3) uint8, both on the device."""
        import torch

        x = batch.permute(0, 3, 1, 2).float().div(255)
        x = x.sub(self._mean).div(self._std).to(self._dtype)
        takes_short_cut = self._device.type == "cuda" and self._dtype == torch.float32
        with _exact_convolutions() if takes_short_cut else nullcontext():
            features: torch.Tensor = self._module(x).float()
        return features

    def _error_to_raise(self, error: RuntimeError) -> Exception:
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
    """Forbid TensorFloat-32, which PyTorch lets convolutions use: it keeps 10 bits of 23."""
    from torch.backends import cudnn

    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before
