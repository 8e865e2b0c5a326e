"""Pipelines of the library diffusers: which fits a request, what it takes, its weights loaded."""

from __future__ import annotations

import inspect
import os
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from xprobe.base.errors import XprobeError, did_you_mean, first_line
from xprobe.encoders.families.libraries import import_transformers
from xprobe.generation.base import Parameter
from xprobe.generation.checkpoints import Checkpoint

# Arguments that are filled in for every request, or would change what comes back.
_FILLED = frozenset({"prompt", "image", "mask_image", "generator"})
_FIXED = frozenset({"num_images_per_prompt", "output_type", "return_dict"})

# Types of values that a parameter can have.
_SCALARS = (str, bool, int, float)


class Pipelines:
    """The pipelines that the weights of a checkpoint serve: one for texts, one for images, or both.

    Attributes:
        checkpoint: where they are.
        device: torch device that they run on.
        dtype: number format of the weights; a GPU takes 16 bits.
        saved: class of the pipeline that the checkpoint names.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, *, allow_code: bool) -> None:
        """Find the pipeline; weights are loaded when they are needed.

        Raises:
            XprobeError: diffusers has no such pipeline, or it makes no images from a text.
        """
        self.checkpoint, self.device, self._allow_code = checkpoint, device, allow_code
        self.dtype = _dtype_of(device)
        self._diffusers = _import_diffusers()
        self.version: str = self._diffusers.__version__
        self._loaded: dict[type, Any] = {}
        self.saved: type = self._load() if checkpoint.pipeline_file else self._named()
        arguments = arguments_of(self.saved)
        if "prompt" not in arguments or "num_frames" in arguments:
            raise XprobeError(
                f"{checkpoint.name}: {self.saved.__name__} makes no images from a text"
            )

    def _named(self) -> type:
        """Return the class that diffusers has for the pipeline.

        Raises:
            XprobeError: it has none of this name.
        """
        name = self.checkpoint.pipeline
        named: type | None = getattr(self._diffusers, name, None)
        if named is None:
            raise XprobeError(
                f"{self.checkpoint.name}: its pipeline is {name}, which diffusers {self.version} "
                f"does not have; upgrade diffusers"
            )
        return named

    @property
    def defaults(self) -> Mapping[str, Parameter]:
        """Parameters that the pipeline's authors ask for and its own defaults leave out."""
        scale = arguments_of(self.saved).get("true_cfg_scale")
        is_guided = scale is not None and scale.default not in (None, 1.0, scale.empty)
        # Without a negative prompt, Qwen-Image and its like ignore the scale of their guidance.
        return {"negative_prompt": " "} if is_guided else {}

    def class_for(self, has_image: bool) -> type | None:
        """Return the pipeline that takes a text and an image, or a text alone; None: there is none.

        It is the one that was saved, or where that makes images from texts diffusers' image to
        image of the same weights.
        """
        takes_image = "image" in arguments_of(self.saved)
        if has_image == takes_image:
            return self.saved
        from diffusers.pipelines import auto_pipeline  # Takes seconds: it imports them all.

        of_texts = auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING
        if takes_image:
            return self.saved if self.saved in of_texts.values() else None
        family = next((name for name, kind in of_texts.items() if kind is self.saved), "")
        edits: type | None = auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(family)
        return edits

    def check(self, parameters: Mapping[str, Parameter]) -> None:
        """Raise if the pipelines do not take some parameters.

        Raises:
            XprobeError: it is so; the message says what they take.
        """
        # Images are scaled to this size, whether or not the pipeline itself takes it.
        known = {"height": (int,), "width": (int,)} | _options_of(self.saved)
        if not known.keys() >= parameters.keys():
            known |= _options_of(self.class_for(has_image=True) or self.saved)
        for name, value in parameters.items():
            if name not in known:
                raise XprobeError(
                    f"{self.saved.__name__} takes no parameter {name!r}"
                    f"{did_you_mean(name, known)}; it takes {', '.join(sorted(known))}"
                )
            if not _is_one_of(value, known[name]):
                kinds = " or ".join(kind.__name__ for kind in known[name])
                raise XprobeError(f"parameter {name}={value!r}: it takes {kinds}")
        sizes = [parameters[name] for name in ("height", "width") if name in parameters]
        if len(sizes) == 1 or any(float(size) < 1 for size in sizes):
            raise XprobeError("parameters height and width are pixels, and given together")

    def load(self, has_image: bool) -> Any:
        """Return the pipeline for requests with an image, or for those without, ready to be called.

        Raises:
            XprobeError: there is none for these, or its weights cannot be loaded.
        """
        wanted = self.class_for(has_image)
        if wanted is None:
            needs = (
                "takes texts alone: use --from text"
                if has_image
                else "edits images, and there is none: use --from pre or --from real"
            )
            raise XprobeError(f"{self.checkpoint.name}: {self.saved.__name__} {needs}")
        if self.saved not in self._loaded:
            self._load()
        if wanted not in self._loaded:
            to_edits = self._diffusers.AutoPipelineForImage2Image
            with quiet():
                edits = to_edits.from_pipe(self._loaded[self.saved])
            edits.set_progress_bar_config(disable=True)
            self._loaded[wanted] = edits
        return self._loaded[wanted]

    def _load(self) -> type:
        """Load the weights, and return the class of the pipeline.

        Raises:
            XprobeError: they cannot be loaded, or do not fit into the memory.
        """
        import torch

        try:
            with quiet():
                pipeline = self._diffusers.DiffusionPipeline.from_pretrained(
                    self.checkpoint.folder,
                    dtype=getattr(torch, self.dtype),
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=self._allow_code,
                )
                pipeline.to(self.device)
        except Exception as error:  # Three libraries raise what they like.
            raise XprobeError(f"{self.checkpoint.name}: {first_line(error)}") from error
        pipeline.set_progress_bar_config(disable=True)
        self._loaded[type(pipeline)] = pipeline
        return type(pipeline)


def arguments_of(pipeline: type) -> Mapping[str, inspect.Parameter]:
    """Return what the pipelines of a class are called with, types evaluated where they can be."""
    call = pipeline.__call__
    try:
        return inspect.signature(call, eval_str=True).parameters
    except Exception:  # Names that are imported for type checkers alone.
        return inspect.signature(call).parameters


def native_px(pipeline: Any) -> int:
    """Return the side of the squares that a pipeline was trained on, in pixels; 0: unknown."""
    components = pipeline.components
    sizes = [getattr(pipeline, "default_sample_size", None)] + [
        getattr(components[name].config, "sample_size", None)
        for name in ("unet", "transformer")
        if components.get(name) is not None
    ]
    scale = getattr(pipeline, "vae_scale_factor", 0)
    return next((size * scale for size in sizes if isinstance(size, int)), 0)


def takes_many_images(pipeline: type) -> bool:
    """Return whether a list of images is one for each prompt: elsewhere all belong to each."""
    return bool({"strength", "image_guidance_scale"} & set(arguments_of(pipeline)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back warnings of the libraries, which are for those who program with them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(diffusers|transformers|torch)\b")
        yield


def _import_diffusers() -> Any:
    """Return diffusers, without telemetry, progress bars and log lines."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import_transformers()
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    return diffusers


def _dtype_of(device: str) -> str:
    import torch

    if not device.startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _options_of(pipeline: type) -> dict[str, tuple[type, ...]]:
    """Return which parameters a pipeline takes from users, and the types of their values."""
    options = {}
    for name, argument in arguments_of(pipeline).items():
        kinds = _kinds_of(argument.annotation)
        is_free = argument.kind is not argument.VAR_KEYWORD and name != "self"
        if is_free and kinds and name not in _FILLED | _FIXED:
            options[name] = kinds
    return options


def _kinds_of(annotation: Any) -> tuple[type, ...]:
    """Return which plain values an argument takes: all of them, if it does not say."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return _SCALARS
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    kinds = typing.get_args(annotation) if is_union else (annotation,)
    return tuple(kind for kind in _SCALARS if kind in kinds)


def _is_one_of(value: Parameter, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)
