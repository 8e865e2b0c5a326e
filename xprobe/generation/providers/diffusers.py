"""Images by a pipeline of the library diffusers, on this machine."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from xprobe.base.errors import XprobeError, XprobeWarning, first_line
from xprobe.engine.device import pick_device
from xprobe.generation.base import (
    Answer,
    ListedModel,
    Parameter,
    RefusedError,
    Request,
    StoppedError,
)
from xprobe.generation.checkpoints import PRESETS, locate
from xprobe.generation.pipelines import (
    Pipelines,
    arguments_of,
    native_px,
    quiet,
    takes_many_images,
)
from xprobe.images.decode import UnusableImageError, decode
from xprobe.images.polygons import paint_polygons, read_polygons
from xprobe.images.resize import resize

if TYPE_CHECKING:
    from PIL.Image import Image

    from xprobe.generation.registry import Access

# How many images a GPU makes at once, to begin with; on a CPU a single one takes all cores.
_BATCH_ON_GPU = 8


@dataclass(frozen=True, eq=False)
class _Job:
    """A request, with its image and mask as the pipeline is given them."""

    request: Request
    parameters: Mapping[str, Parameter]
    image: Image | None = None
    mask: Image | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """Size and parameters: only requests with the same ones can be made in one batch."""
        return (self.image and self.image.size, *sorted(self.parameters.items()))


class Diffusers:
    """Text to image, image to image, InstructPix2Pix, inpainting and others, as the folder says.

    Attributes:
        hosts: nothing leaves this machine.
        batch: how many images are made at once; it is halved where the memory does not suffice.
        provenance: what decides the images beside the requests, to be recorded with them.
    """

    hosts: tuple[str, ...] = ()

    def __init__(self, access: Access) -> None:
        """Find the pipeline and check the parameters; weights are loaded by the first request.

        Raises:
            XprobeError: there is no such pipeline, it is not whole, brings code that is not
                allowed, makes no images from a text, or does not take a parameter.
        """
        device = pick_device(access.device or "auto")
        code = access.allow_remote_code
        checkpoint = locate(access.model, allow_code=code)
        self._pipelines = Pipelines(checkpoint, device, allow_code=code)
        preset = PRESETS[access.model].parameters if access.model in PRESETS else {}
        self._defaults = {**self._pipelines.defaults, **preset}
        self._pipelines.check({**self._defaults, **access.parameters})
        self.provenance: Mapping[str, Parameter] = {
            **self._defaults,
            "revision": checkpoint.revision,
            "pipeline": self._pipelines.saved.__name__,
            "dtype": self._pipelines.dtype,
            "diffusers": self._pipelines.version,
        }
        self.batch = _BATCH_ON_GPU if device.startswith("cuda") else 1
        self._prompts: set[str] = set()  # Those whose length was looked at.
        self._lock = threading.Lock()

    def models(self) -> Sequence[ListedModel]:
        """Return the presets, which are the only models with a short name."""
        return [ListedModel(name, preset.words) for name, preset in PRESETS.items()]

    def make(self, requests: Sequence[Request]) -> Sequence[Answer | RefusedError]:
        """Return for each request an image, or why it cannot be made, in order.

        Raises:
            StoppedError: the pipeline takes no such requests, fails, or does not fit into memory.
        """
        answers: dict[int, Answer | RefusedError] = {}
        jobs: list[tuple[int, _Job]] = []
        with self._lock:
            for place, request in enumerate(requests):
                pipeline = self._loaded(request)
                try:
                    jobs.append((place, self._prepare(pipeline, request)))
                except RefusedError as error:
                    answers[place] = error
            for _, group in groupby(jobs, lambda numbered: numbered[1].kind):
                places, alike = zip(*group, strict=True)
                answers |= zip(places, self._make_alike(list(alike)), strict=True)
        return [answers[place] for place in range(len(requests))]

    def _loaded(self, request: Request) -> Any:
        try:
            return self._pipelines.load(has_image=request.image is not None)
        except XprobeError as error:
            raise StoppedError(str(error)) from error

    def _prepare(self, pipeline: Any, request: Request) -> _Job:
        """Return a request with its image and mask at the size that the pipeline takes.

        Raises:
            RefusedError: the image cannot be read, or there is nothing to be painted in it.
        """
        parameters = {**self._defaults, **request.parameters}
        if request.image is None:
            return _Job(request, parameters)
        try:
            image = decode(request.image)
            outlines = read_polygons(request.polygons)
        except (UnusableImageError, XprobeError) as error:
            raise RefusedError(str(error)) from error
        mask = None
        size = _size_for(pipeline, image, parameters)
        arguments = arguments_of(type(pipeline))
        if "mask_image" in arguments:
            mask = paint_polygons(outlines, image.size)
            if mask.getbbox() is None:
                raise RefusedError(
                    "inpainting paints within the polygons of an image, and this one has none in it"
                )
            mask = resize(mask, size, "squash", "bilinear")
        parameters |= {"height": size[0], "width": size[1]}
        if "max_area" in arguments:  # FLUX Kontext takes the shape alone from height and width.
            parameters = {"max_area": size[0] * size[1], **parameters}
        if "height" not in arguments:  # They are the image's.
            del parameters["height"], parameters["width"]
        return _Job(request, parameters, resize(image, size, "squash", "lanczos"), mask)

    def _make_alike(self, jobs: list[_Job]) -> list[Answer | RefusedError]:
        """Return the answers of requests of one kind, made in batches that fit into the memory."""
        import torch

        pipeline = self._loaded(jobs[0].request)
        self._warn_of_cuts(pipeline, {job.request.prompt for job in jobs})
        takes_many = jobs[0].image is None or takes_many_images(type(pipeline))
        answers: list[Answer | RefusedError] = []
        while len(answers) < len(jobs):
            n = self.batch if takes_many else 1
            batch = jobs[len(answers) : len(answers) + n]
            try:
                answers += _call(pipeline, batch)
                continue
            except Exception as error:  # A pipeline raises what it likes.
                if len(batch) == 1 or not _is_out_of_memory(error):
                    name = self._pipelines.checkpoint.name
                    raise StoppedError(f"{name}: {first_line(error)}") from error
            # By now the error is gone, and with it the tensors that its frames held.
            self.batch = len(batch) // 2
            torch.cuda.empty_cache()
        return answers

    def _warn_of_cuts(self, pipeline: Any, prompts: set[str]) -> None:
        """Warn once of each prompt of which no text encoder sees the end."""
        for prompt in sorted(prompts - self._prompts):
            n, most = _lengths(pipeline, prompt)
            if n > most:
                words = f"the pipeline sees {most} of the {n} tokens of a prompt, which begins: "
                warnings.warn(XprobeWarning(words + prompt[:60]), stacklevel=2)
        self._prompts |= prompts


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _call(pipeline: Any, jobs: Sequence[_Job]) -> list[Answer | RefusedError]:
    """Return the answers of requests that are made at once."""
    import torch

    n = len(jobs)
    arguments: dict[str, Any] = dict(jobs[0].parameters)
    for name, value in arguments.items():
        if "prompt" in name and n > 1:
            arguments[name] = [value] * n  # As many negative prompts as there are prompts.
    # On the CPU, so that the noise is the same on all devices, and each image has its own.
    noise = [torch.Generator().manual_seed(job.request.seed) for job in jobs]
    lists: dict[str, list[Any]] = {
        "prompt": [job.request.prompt for job in jobs],
        "generator": noise,
        "image": [job.image for job in jobs],
        "mask_image": [job.mask for job in jobs],
    }
    arguments |= {
        name: values if n > 1 else values[0]
        for name, values in lists.items()
        if values[0] is not None
    }
    with quiet():
        output = pipeline(**arguments)
    flags = getattr(output, "nsfw_content_detected", None) or [False] * n
    return [
        RefusedError("the pipeline's safety checker flagged the image")
        if is_flagged
        else _answer(image, job.request.seed)
        for image, is_flagged, job in zip(output.images, flags, jobs, strict=True)
    ]


def _answer(image: Image, seed: int) -> Answer | RefusedError:
    if all(len(set(band.getextrema())) == 1 for band in image.split()):
        return RefusedError("the image is of a single colour, as where numbers overflowed")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Answer(buffer.getvalue(), "image/png", cost=0.0, seed=seed)


def _size_for(pipeline: Any, image: Image, parameters: Mapping[str, Parameter]) -> tuple[int, int]:
    """Return (height, width) that an image is scaled to.

    Unless it is asked for, that is the number of pixels that the pipeline was trained on, in the
    image's own shape: pipelines give nothing of use at far fewer or more.
    """
    if "height" in parameters:
        return int(parameters["height"]), int(parameters["width"])
    side, step = native_px(pipeline), 2 * getattr(pipeline, "vae_scale_factor", 8)
    factor = side / (image.width * image.height) ** 0.5 if side else 1.0
    height, width = (
        max(step, round(length * factor / step) * step) for length in (image.height, image.width)
    )
    return height, width


def _lengths(pipeline: Any, prompt: str) -> tuple[int, int]:
    """Return how many tokens a prompt has, and how many of them a text encoder sees at most."""
    tokenizers = [
        component
        for name, component in pipeline.components.items()
        if name.startswith("tokenizer") and component is not None
    ]
    lengths = [(len(take(prompt).input_ids), take.model_max_length) for take in tokenizers]
    return max(lengths, key=lambda pair: pair[1], default=(0, 0))
