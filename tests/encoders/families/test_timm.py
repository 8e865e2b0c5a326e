"""timm: fine-tuned checkpoints in the forms that people have, and folders of its hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.encoders.load import load

NAME = "test_vit.r160_in1k"
State = dict[str, torch.Tensor]
ONE = torch.ones(1)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return timm.create_model(NAME, pretrained=False, num_classes=0).eval()


def upstream(model: Any, pictures: list[Image.Image]) -> np.ndarray:
    transform: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        features: np.ndarray = model(torch.stack([transform(p) for p in pictures])).numpy()
    return features


def with_head(state: State, classes: int) -> State:
    return {**state, "head.weight": torch.ones(classes, 64), "head.bias": torch.ones(classes)}


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{k}": v for k, v in state.items()}


FORMS: dict[str, Callable[[State], Any]] = {
    "no classifier": lambda s: s,
    "six classes": lambda s: with_head(s, 6),
    "a thousand classes": lambda s: with_head(s, 1000),
    "a deeper head": lambda s: {**s, "head.0.weight": torch.ones(3, 64), "head.2.bias": ONE},
    "Lightning": lambda s: {
        "state_dict": {**prefixed(with_head(s, 6), "model."), "loss.weight": torch.ones(6)},
        "epoch": 3, "hyper_parameters": {"lr": 0.1},
    },
    "compiled": lambda s: prefixed(with_head(s, 6), "_orig_mod."),
    "compiled and parallel": lambda s: {"model": prefixed(s, "module._orig_mod."), "epoch": 1},
    "a backbone": lambda s: {"net": {**prefixed(s, "encoder."), "fc.weight": torch.ones(6, 64)}},
    "bfloat16": lambda s: {k: v.bfloat16() for k, v in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_fine_tuned_checkpoint_gives_the_features_of_its_tower(
    form: str,
    model: Any,
    tmp_path: Path,
    pictures: list[Image.Image],
    features: Callable[..., np.ndarray],
) -> None:
    state = {k: v.clone() for k, v in model.state_dict().items()}
    if form == "bfloat16":
        state = {k: v.bfloat16().float() for k, v in state.items()}
    torch.save(FORMS[form](state), tmp_path / "w.pth")
    encoder = load(f"timm:{NAME}/{tmp_path / 'w.pth'}")
    plain = timm.create_model(NAME, pretrained=False, num_classes=0).eval()
    plain.load_state_dict(state)
    expected = upstream(plain, pictures)
    np.testing.assert_allclose(
        features(encoder, pictures), expected, atol=1e-5 * np.abs(expected).max()
    )


def test_heads_do_not_make_another_encoder(model: Any, tmp_path: Path) -> None:
    keys = set()
    for classes in (0, 6, 1000):
        state = model.state_dict()
        save_file(
            with_head(state, classes) if classes else state, tmp_path / f"{classes}.safetensors"
        )
        keys.add(load(f"timm:{NAME}/{tmp_path / f'{classes}.safetensors'}").spec.key)
    assert len(keys) == 1


def test_the_average_is_taken_as_timm_takes_it_and_said(
    model: Any, tmp_path: Path, pictures: list[Image.Image], features: Callable[..., np.ndarray]
) -> None:
    state = model.state_dict()
    other = {k: v + 0.1 for k, v in state.items()}
    torch.save({"state_dict": other, "state_dict_ema": state}, tmp_path / "run.pth")
    with pytest.warns(XprobeWarning, match=r"several sets of weights; state_dict_ema is used"):
        encoder = load(f"timm:{NAME}/{tmp_path / 'run.pth'}")
    np.testing.assert_allclose(
        features(encoder, pictures), upstream(model, pictures), rtol=1e-4, atol=1e-5
    )


FAULTS: dict[str, tuple[Callable[[State], Any], str]] = {
    "a block is missing": (
        lambda s: {k: v for k, v in s.items() if k != "blocks.1.mlp.fc2.weight"},
        r"1 missing: blocks\.1\.mlp\.fc2\.weight",
    ),
    "a block is missing under a prefix": (
        lambda s: prefixed({k: v for k, v in s.items() if k != "norm.bias"}, "model."),
        r"1 missing: norm\.bias",
    ),
    "a layer too many": (
        lambda s: {**s, "blocks.9.norm1.weight": s["norm.weight"]},
        r"1 unexpected: blocks\.9\.norm1\.weight",
    ),
    "teacher and student": (
        lambda s: {"student": s, "teacher": {k: v + 1 for k, v in s.items()}}, "student, teacher"
    ),
    "complex": (lambda s: {k: torch.complex(v, v) for k, v in s.items()}, "complex64"),
    "integers": (lambda s: {k: v.to(torch.int32) for k, v in s.items()}, "int32"),
    "an odd name": (lambda s: {**s, 3: torch.zeros(2)}, "named 3"),
    "another network": (lambda s: {f"x{k}": v for k, v in s.items()}, "do not fit the architec"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_are_not_the_towers_are_refused_in_one_line(
    fault: str, model: Any, tmp_path: Path
) -> None:
    change, said = FAULTS[fault]
    torch.save(change(dict(model.state_dict())), tmp_path / "w.pth")
    with pytest.raises(XprobeError, match=rf"w\.pth: .*{said}") as error:
        load(f"timm:{NAME}/{tmp_path / 'w.pth'}")
    assert "Error(s) in loading" not in str(error.value)
    assert "\n" not in str(error.value)


# --- folders of the hub ----------------------------------------------------------------------


def put_folder(folder: Path, model: Any, **fields: Any) -> Path:
    config = {
        "architecture": "test_vit", "num_classes": 0,
        "pretrained_cfg": {
            "input_size": [3, 160, 160], "fixed_input_size": True, "interpolation": "bicubic",
            "crop_pct": 0.95, "crop_mode": "center", "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.3, 0.4], "classifier": "head", **fields,
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "fields",
    [{}, {"crop_pct": 1.0, "crop_mode": "squash"}, {"interpolation": "bilinear", "crop_pct": 0.7}],
)
def test_the_preprocessing_of_a_folder_counts(
    fields: dict[str, Any], model: Any, tmp_path: Path, pictures: list[Image.Image],
    features: Callable[..., np.ndarray],
) -> None:  # fmt: skip
    put_folder(tmp_path, model, **fields)
    theirs: Any = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    expected = upstream(theirs, pictures)
    encoder = load(f"timm:local-dir:{tmp_path}")
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)
    assert load(f"hf:{tmp_path}").spec == encoder.spec


def test_a_folder_that_transformers_wrote_of_a_timm_model_is_loaded(
    model: Any, tmp_path: Path, pictures: list[Image.Image], features: Callable[..., np.ndarray]
) -> None:
    put_folder(tmp_path, model, num_classes=0)
    wrapped = transformers.TimmWrapperModel.from_pretrained(tmp_path)
    wrapped.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/config.json").read_text())["model_type"] == "timm_wrapper"
    encoder = load(f"hf:{tmp_path / 'saved'}")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "saved")
    with torch.inference_mode():
        pixels = processor(pictures, return_tensors="pt").pixel_values
        expected = wrapped.eval()(pixel_values=pixels).pooler_output.numpy()
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"crop_mode": "border"}, "crop_mode 'border'"),
        ({"input_size": [3, 160, 128], "fixed_input_size": False}, "input_size|pos_embed"),
        ({"interpolation": "random"}, "interpolation 'random'"),
    ],
)
def test_preprocessing_that_a_view_cannot_say_is_refused_by_name(
    fields: dict[str, Any], said: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(XprobeError, match=said):
        load(f"timm:local-dir:{put_folder(tmp_path, model, **fields)}")


def test_a_folder_without_configuration_or_weights_is_answered(tmp_path: Path, model: Any) -> None:
    with pytest.raises(XprobeError, match="no weights in it"):
        load(f"timm:local-dir:{tmp_path}")
    put_folder(tmp_path, model)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(XprobeError, match=r"config\.json: .*list"):
        load(f"timm:local-dir:{tmp_path}")
    (tmp_path / "config.json").write_text('{"pretrained_cfg": 3}')
    with pytest.raises(XprobeError, match=r"config\.json: .*timm"):
        load(f"timm:local-dir:{tmp_path}")
    (tmp_path / "config.json").write_text('{"architecture": "test_vti", "pretrained_cfg": {}}')
    with pytest.raises(XprobeError, match="did you mean test_vit"):
        load(f"timm:local-dir:{tmp_path}")
