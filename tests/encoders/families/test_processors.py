"""Preprocessing of folders of transformers: that of its own processor, or refused by name."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.encoders.agreement import pixels_by
from xprobe.encoders.families.processors import PREPROCESSOR, PROCESSOR, read_view

CLIP = {
    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 40},
    "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_resize": True,
    "do_rescale": True, "do_normalize": True, "resample": 3, "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4],
}  # fmt: skip
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
MOBILEVIT = {
    "feature_extractor_type": "MobileViTFeatureExtractor", "size": 36, "crop_size": 32,
    "do_flip_channel_order": True, "resample": 2,
}  # fmt: skip
CONVNEXT = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}}
EFFICIENT = {
    "image_processor_type": "EfficientNetImageProcessor", "size": {"height": 32, "width": 32}
}  # fmt: skip

SUPPORTED: dict[str, dict[str, Any]] = {
    "CLIP": CLIP,
    "no normalisation": CLIP | {"do_normalize": False},
    "another factor": CLIP | {"rescale_factor": 1 / 127.5},
    "no rescaling": CLIP | {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [50] * 3},
    "neither": CLIP | {"do_rescale": False, "do_normalize": False},
    "no resizing": CLIP | {"do_resize": False},
    "no cut": CLIP | {"do_center_crop": False, "size": {"height": 30, "width": 50}},
    "a cut of another shape": CLIP | {"crop_size": {"height": 24, "width": 38}},
    "a cut larger than the image": CLIP | {"crop_size": {"height": 50, "width": 50}},
    "squashed, then cut": CLIP | {"size": {"height": 41, "width": 41}},
    "a filter of Pillow's": CLIP | {"resample": 4},
    "one number for all channels": CLIP | {"image_mean": 0.5, "image_std": 0.25},
    "of ViT without numbers": VIT,
    "of an old ViT": {"feature_extractor_type": "ViTFeatureExtractor", "size": 32},
    "of DeiT": {
        "feature_extractor_type": "DeiTFeatureExtractor", "size": 41, "crop_size": 32,
        "do_center_crop": True,
    },
    "of MobileViT": MOBILEVIT,
    "of MobileViT as it is": MOBILEVIT | {"do_flip_channel_order": False},
    "of ConvNeXt": CONVNEXT,
    "of ConvNeXt with another share": CONVNEXT | {"crop_pct": 0.7},
    "of a large ConvNeXt": CONVNEXT | {"size": {"shortest_edge": 384}},
    "of EfficientNet": EFFICIENT,
    "of EfficientNet with an offset": EFFICIENT
    | {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False},
    "fields of nobody": CLIP | {"my_note": "anything"},
}  # fmt: skip


def put(folder: Path, fields: object, name: str = PREPROCESSOR) -> Path:
    (folder / name).write_text(json.dumps(fields))
    return folder


@pytest.mark.parametrize("kind", SUPPORTED)
def test_the_pixels_are_those_of_transformers(
    kind: str, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    put(tmp_path, SUPPORTED[kind])
    view = read_view(tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    for picture in pictures:
        expected = np.asarray(processor(images=[picture])["pixel_values"][0])
        largest = np.abs(expected).max()
        np.testing.assert_allclose(pixels_by(view, picture), expected, atol=1e-5 * largest)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "images keep their sizes": (
        CLIP | {"do_resize": False, "do_center_crop": False}, "do_resize is false and do_center"
    ),
    "images keep their shapes": (CLIP | {"do_center_crop": False}, "size .*do_center_crop is fals"),
    "limits": (CLIP | {"size": {"shortest_edge": 40, "longest_edge": 60}}, "size .*longest_edge"),
    "a box": (CLIP | {"size": {"max_height": 40, "max_width": 40}}, "size .*max_height"),
    "padding": (
        VIT | {"do_pad": True, "pad_size": {"height": 48, "width": 48}}, r"do_pad, pad_size"
    ),
    "the shape kept": (
        {"image_processor_type": "DPTImageProcessor", "size": {"height": 32, "width": 32},
         "keep_aspect_ratio": True, "ensure_multiple_of": 8}, "keep_aspect_ratio"
    ),
    "another order": (
        {"image_processor_type": "LevitImageProcessor", "size": {"shortest_edge": 32}}, "Levit"
    ),
    "patches": (
        {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 16,
         "max_num_patches": 64}, "Siglip2ImageProcessor|patch_size"
    ),
    "two channels": (CLIP | {"image_mean": [0.5, 0.5]}, "image_mean has 2 numbers"),
    "words": (CLIP | {"image_std": ["a", "b", "c"]}, "image_std"),
    "no number": (CLIP | {"image_std": [0, 1, 1]}, "image_std is 0"),
    "no filter": (CLIP | {"resample": 9}, "resample"),
    "a filter by name": (CLIP | {"resample": "bicubic"}, "bicubic|resample"),
    "no factor": (CLIP | {"rescale_factor": "x"}, "."),
    "no size": (CLIP | {"size": "large"}, "."),
    "nobody's": ({"image_processor_type": "MyImageProcessor"}, "no image processor"),
    "code": (
        {"image_processor_type": "MyImageProcessor",
         "auto_map": {"AutoImageProcessor": "processing_my.MyImageProcessor"}}, "code of its own"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_view_cannot_say_is_refused_by_its_name(kind: str, tmp_path: Path) -> None:
    fields, named = REFUSED[kind]
    with pytest.raises(XprobeError, match=rf"{PREPROCESSOR}: .*({named})") as said:
        read_view(put(tmp_path, fields))
    assert "\n" not in str(said.value)


def test_the_processor_of_transformers_5_is_read(tmp_path: Path) -> None:
    view = read_view(put(tmp_path, {"image_processor": CLIP}, PROCESSOR))
    assert (view.mean, view.resize_px) == ((0.5, 0.4, 0.3), 40)
    put(tmp_path, CLIP | {"image_mean": [0.1] * 3})
    with pytest.warns(XprobeWarning, match=f"image_processor of {PROCESSOR} counts"):
        assert read_view(tmp_path) == view
    put(tmp_path, {"processor_class": "CLIPProcessor"}, PROCESSOR)
    with warnings.catch_warnings():
        warnings.simplefilter("error", XprobeWarning)
        assert read_view(tmp_path).mean == (0.1,) * 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("other.json", "{}", f"no {PREPROCESSOR}, and no {PROCESSOR}"),
        (PREPROCESSOR, "{", "not readable as JSON"),
        (PREPROCESSOR, "[]", "holds a list instead of fields"),
        (PROCESSOR, "[" * 100_000, "not readable as JSON"),
        (PROCESSOR, '{"image_processor": 3}', f"no {PREPROCESSOR}"),
    ],
)
def test_a_missing_or_damaged_file_is_named(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(XprobeError, match=said):
        read_view(tmp_path)
