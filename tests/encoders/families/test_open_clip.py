"""open_clip: checkpoints with prefixes, of the image side alone, and what stands beside them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from xprobe.base.errors import XprobeError
from xprobe.encoders.load import load

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 2},
}
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("configs")
    (folder / "tiny-forms.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    return open_clip.create_model("tiny-forms").eval()


def upstream(model: Any, pictures: list[Image.Image]) -> np.ndarray:
    transform: Any = open_clip.image_transform(32, is_train=False)
    with torch.inference_mode():
        features: np.ndarray = model.encode_image(
            torch.stack([transform(p) for p in pictures])
        ).numpy()
    return features


def image_side(state: State) -> State:
    return {k: v for k, v in state.items() if k.startswith("visual.")}


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{k}": v for k, v in state.items()}


FORMS: dict[str, tuple[Callable[[State], Any], bool]] = {
    "plain": (lambda s: s, True),
    "compiled": (lambda s: prefixed(s, "_orig_mod."), True),
    "parallel": (lambda s: {"state_dict": prefixed(s, "module."), "epoch": 3}, True),
    "wrapped": (lambda s: prefixed(s, "model."), True),
    "beside numbers and settings": (
        lambda s: {"state_dict": s, "loss": np.float64(1), "args": argparse.Namespace(lr=1)}, True
    ),
    "numbers among the weights": (lambda s: {**s, "loss": np.float32(1)}, True),
    "image side": (image_side, False),
    "image side with a head": (
        lambda s: prefixed({**image_side(s), "fc.weight": torch.ones(6, 16)}, "module."), False
    ),
    "bare tower": (
        lambda s: {k.removeprefix("visual."): v for k, v in image_side(s).items()}, False
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_gives_the_features_of_its_tower(
    form: str,
    model: Any,
    tmp_path: Path,
    pictures: list[Image.Image],
    features: Callable[..., np.ndarray],
) -> None:
    change, has_text = FORMS[form]
    torch.save(change(dict(model.state_dict())), tmp_path / "w.pt")
    encoder = load(f"open_clip:tiny-forms/{tmp_path / 'w.pt'}")
    expected = upstream(model, pictures)
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)
    assert encoder.has_text == has_text
    if not has_text:
        with pytest.raises(XprobeError, match="images alone, no texts; leave out --prompts"):
            encoder.embed_text(["a"])


@pytest.mark.parametrize("form", ["image side", "bare tower", "plain"])
def test_a_tower_without_a_part_is_refused(form: str, model: Any, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    del state["visual.transformer.resblocks.1.mlp.c_fc.bias"]
    torch.save(FORMS[form][0](state), tmp_path / "w.pt")
    with pytest.raises(XprobeError, match=r"w\.pt: the weights do not fit the architecture"):
        load(f"open_clip:tiny-forms/{tmp_path / 'w.pt'}")


def test_a_text_side_without_a_part_is_refused(model: Any, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    del state["ln_final.weight"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(XprobeError, match=r"1 missing: ln_final\.weight"):
        load(f"open_clip:tiny-forms/{tmp_path / 'w.pt'}")


def put_folder(folder: Path, model: Any, **fields: Any) -> Path:
    config = {"model_cfg": TINY, "preprocess_cfg": fields}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.mark.parametrize(
    "fields",
    [
        {"resize_mode": "squash", "interpolation": "bilinear"},
        {"resize_mode": "longest", "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]},
        {"size": [32, 32]},
    ],
)
def test_the_preprocessing_of_a_folder_counts(
    fields: dict[str, Any], model: Any, tmp_path: Path, pictures: list[Image.Image],
    features: Callable[..., np.ndarray],
) -> None:  # fmt: skip
    put_folder(tmp_path, model, **fields)
    theirs, transform = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    theirs.eval()
    with torch.inference_mode():
        expected = theirs.encode_image(torch.stack([transform(p) for p in pictures])).numpy()
    encoder = load(f"open_clip:local-dir:{tmp_path}")
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"resize_mode": "longest", "fill_color": 128}, "fill_color 128"),
        ({"interpolation": "nearest"}, "interpolation|preprocess_cfg|cannot build"),
        ({"mode": "L"}, "cannot build|preprocess_cfg"),
        ({"mean": "x"}, "cannot build|preprocess_cfg"),
    ],
)
def test_preprocessing_that_a_view_cannot_say_is_refused_by_name(
    fields: dict[str, Any], said: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(XprobeError, match=said) as error:
        load(f"open_clip:local-dir:{put_folder(tmp_path, model, **fields)}")
    assert "\n" not in str(error.value)


def test_shards_of_a_folder_are_read_as_one(model: Any, tmp_path: Path) -> None:
    whole = load(f"open_clip:local-dir:{put_folder(tmp_path, model)}").spec
    (tmp_path / "open_clip_model.safetensors").unlink()
    state, names = model.state_dict(), {}
    for side in ("visual", "text"):
        part = {k: v for k, v in state.items() if k.startswith("visual.") == (side == "visual")}
        save_file(part, tmp_path / f"m-{side}.safetensors")
        names |= dict.fromkeys(part, f"m-{side}.safetensors")
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert load(f"open_clip:local-dir:{tmp_path}").spec == whole


@pytest.mark.parametrize("text", ["[]", "{", '{"preprocess_cfg": {}}', '{"model_cfg": 3}'])
def test_a_damaged_configuration_is_named(text: str, model: Any, tmp_path: Path) -> None:
    (put_folder(tmp_path, model) / "open_clip_config.json").write_text(text)
    with pytest.raises(XprobeError, match=r"open_clip_config\.json: "):
        load(f"open_clip:local-dir:{tmp_path}")
