"""The preprocessing that a folder of transformers states, as the view of a tower."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, XprobeWarning, first_line
from xprobe.encoders.agreement import check_view
from xprobe.encoders.families.folders import Fields, read_fields
from xprobe.encoders.families.libraries import import_transformers
from xprobe.encoders.tower import View

PROCESSOR, PREPROCESSOR = "processor_config.json", "preprocessor_config.json"

# Pillow's numbers of its filters, which are those of the field `resample`.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}

# Below this side, the processor of ConvNeXt cuts its crop_pct out of a larger image.
_CONVNEXT_CUT_PX = 384

# Fields that `_view` reads, or that decide no pixel of an upright RGB image.
_KNOWN = {
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor",
    "do_normalize", "image_mean", "image_std", "crop_pct", "do_flip_channel_order",
    "rescale_offset", "include_top", "default_to_square",
    "do_convert_rgb", "do_reduce_labels", "image_processor_type", "feature_extractor_type",
    "processor_class", "return_tensors", "data_format", "input_data_format", "device",
    "model_input_names", "image_seq_length", "disable_grouping", "auto_map",
}  # fmt: skip


def read_view(folder: Path) -> View:
    """Return the preprocessing of a folder as transformers' own processor does it with Pillow.

    The processor fills in what the files leave out. Rescaling, an offset and a second division are
    part of the mean and std, since each channel is mapped linearly.

    Raises:
        XprobeError: neither file is there or readable, or a field asks for what a view cannot say;
            the message names it.
    """
    file, stated = stated_preprocessing(folder)
    transformers = import_transformers()
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, backend="pil", trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # Each of some hundred processors raises errors of its own.
        reason = first_line(error)
        if "auto_map" in stated:
            reason = "it brings code of its own (auto_map), which is not run"
        raise XprobeError(f"{file}: no image processor of transformers fits: {reason}") from error
    try:
        view = _view(processor, file)
    except (TypeError, ValueError) as error:
        raise XprobeError(f"{file}: a field has no usable value: {first_line(error)}") from error
    name = str(stated.get("image_processor_type") or type(processor).__name__)
    odd = [k for k, v in stated.items() if k not in _KNOWN and not k.startswith("_") and v]

    def see(image: Any) -> Any:
        seen = dict(processor(images=[image]))
        pixels = seen.pop("pixel_values")
        if seen:
            raise ValueError(f"the network is given {', '.join(seen)}, too")
        return pixels[0]

    check_view(view, see, str(file), odd or [f"image_processor_type {name}"])
    return view


def stated_preprocessing(folder: Path) -> tuple[Path, Fields]:
    """Return the file that counts for images, as transformers chooses it, and its fields.

    Raises:
        XprobeError: neither file is there, or one is not readable.
    """
    nested = _fields_if_any(folder / PROCESSOR).get("image_processor")
    plain = _fields_if_any(folder / PREPROCESSOR)
    if isinstance(nested, dict):
        if plain and any(plain.get(k, v) != v for k, v in nested.items()):
            warnings.warn(
                f"{folder}: the image_processor of {PROCESSOR} counts, as transformers reads it; "
                f"{PREPROCESSOR} says something else",
                XprobeWarning,
                stacklevel=2,
            )
        return folder / PROCESSOR, nested
    if not (folder / PREPROCESSOR).is_file():
        raise XprobeError(
            f"{folder}: the preprocessing is not known: there is no {PREPROCESSOR}, and no "
            f"{PROCESSOR} with an image_processor; save it: processor.save_pretrained(FOLDER)"
        )
    return folder / PREPROCESSOR, plain


def _fields_if_any(file: Path) -> Fields:
    return read_fields(file) if file.is_file() else {}


def _view(processor: Any, file: Path) -> View:
    resample = getattr(processor, "resample", None)
    interpolation = "bilinear" if resample is None else _RESAMPLE.get(int(resample))
    if interpolation is None:
        raise XprobeError(f"{file}: resample {resample} is no filter of Pillow")
    input_px, resize, resize_px = _geometry(processor, file)
    mean, std = _normalisation(processor, file)
    return View(
        input_px=input_px,
        resize=resize,
        interpolation=interpolation,
        mean=mean,
        std=std,
        resize_px=0 if (resize_px, resize_px) == input_px else resize_px,
        channels="bgr" if getattr(processor, "do_flip_channel_order", False) else "",
    )


def _geometry(processor: Any, file: Path) -> tuple[tuple[int, int], str, int]:
    """Return height and width, the mode of `images.resize.resize`, and the side before a cut."""
    size, cut = _sides(processor, "size", file), _sides(processor, "crop_size", file)
    edge, whole = size.get("shortest_edge"), _height_and_width(size)
    target = _height_and_width(cut) if getattr(processor, "do_center_crop", False) else None
    if not getattr(processor, "do_resize", False):
        if target is None:
            raise XprobeError(
                f"{file}: do_resize is false and do_center_crop too, so that images keep their "
                f"sizes; an encoder needs one size: state do_center_crop and crop_size"
            )
        return target, "crop", 0
    share = getattr(processor, "crop_pct", None)
    if edge and share and target is None:
        if edge >= _CONVNEXT_CUT_PX:
            return (edge, edge), "squash", 0
        return (edge, edge), "shortest-floor", int(edge / share)
    if edge and set(size) == {"shortest_edge"}:
        if target is None:
            raise XprobeError(
                f"{file}: size is {size} and do_center_crop is false, so that images keep their "
                f"shapes; an encoder needs one size: state do_center_crop and crop_size"
            )
        return target, "shortest-floor", edge
    if whole is None or (target not in (None, whole) and whole[0] != whole[1]):
        raise XprobeError(
            f"{file}: {type(processor).__name__.removesuffix('Pil')} with size {size} and "
            f"crop_size {cut or None} is not supported; embed with transformers and run 'xprobe "
            f"import-features FILE'"
        )
    return target or whole, "squash", whole[0] if target not in (None, whole) else 0


def _sides(processor: Any, field: str, file: Path) -> dict[str, int]:
    """Return the sides that a size states, those without a value left out."""
    size = getattr(processor, field, None)
    try:
        return {} if size is None else {k: int(v) for k, v in dict(size).items() if v}
    except (TypeError, ValueError) as error:
        raise XprobeError(f"{file}: {field} {size!r} is no size in pixels") from error


def _height_and_width(size: dict[str, int]) -> tuple[int, int] | None:
    return (size["height"], size["width"]) if {"height", "width"} <= set(size) else None


def _normalisation(processor: Any, file: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std that make of values from 0 to 1 what the network is given."""
    rescales = getattr(processor, "do_rescale", False)
    factor = 255 * float(processor.rescale_factor) if rescales else 255.0
    factor = 1.0 if math.isclose(factor, 1) else factor
    offset = 1.0 if rescales and getattr(processor, "rescale_offset", False) else 0.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    divisor: tuple[float, ...] = (1.0,) * 3
    if getattr(processor, "do_normalize", False):
        mean = _three(processor, "image_mean", file)
        std = _three(processor, "image_std", file)
    if getattr(processor, "include_top", False):  # EfficientNet divides by the std once more.
        divisor = _three(processor, "image_std", file)
    if 0 in (factor, *std, *divisor):
        raise XprobeError(f"{file}: rescale_factor or image_std is 0, which leaves nothing to see")
    return (
        tuple((m + offset) / factor for m in mean),
        tuple(s * d / factor for s, d in zip(std, divisor, strict=True)),
    )


def _three(processor: Any, field: str, file: Path) -> tuple[float, ...]:
    """Return the value of each channel of a field."""
    values: Any = getattr(processor, field, None)
    try:
        values = tuple(map(float, values)) if hasattr(values, "__len__") else (float(values),) * 3
    except (TypeError, ValueError) as error:
        raise XprobeError(
            f"{file}: {field} is {values!r}, which is no number a channel; state three"
        ) from error
    if len(values) != 3:
        raise XprobeError(f"{file}: {field} has {len(values)} numbers instead of three")
    return tuple(values)
