"""transformers: networks as people save them, and folders that must not be loaded."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from xprobe.base.errors import XprobeError
from xprobe.encoders.load import load

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
}  # fmt: skip
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
TEXT = {**SMALL, "vocab_size": 99, "max_position_embeddings": 16}
SEEN = {
    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_resize": True,
}  # fmt: skip
CLIP = transformers.CLIPConfig(
    text_config=TEXT, vision_config=VISION, projection_dim=24, num_labels=6
)
SIGLIP = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION, num_labels=6)


def of_clip_vision() -> Any:
    config = transformers.CLIPVisionConfig(**VISION, projection_dim=24)
    return transformers.CLIPVisionModelWithProjection(config)


def pooled(model: Any, x: torch.Tensor) -> torch.Tensor:
    pooled: torch.Tensor = model(pixel_values=x).pooler_output
    return pooled


def class_token(model: Any, x: torch.Tensor) -> torch.Tensor:
    token: torch.Tensor = model(pixel_values=x).last_hidden_state[:, 0]
    return token


MODELS: dict[str, tuple[Callable[[], Any], Callable[[Any, torch.Tensor], Any]]] = {
    "CLIPForImageClassification": (
        lambda: transformers.CLIPForImageClassification(CLIP),
        lambda m, x: pooled(m.vision_model, x),
    ),
    "CLIPVisionModelWithProjection": (of_clip_vision, lambda m, x: m(pixel_values=x).image_embeds),
    "CLIPVisionModel": (
        lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**VISION)), pooled
    ),
    "CLIPModel": (
        lambda: transformers.CLIPModel(CLIP),
        lambda m, x: m.get_image_features(pixel_values=x).pooler_output,
    ),
    "SiglipForImageClassification": (
        lambda: transformers.SiglipForImageClassification(SIGLIP),
        lambda m, x: pooled(m.vision_model, x),
    ),
    "SiglipVisionModel": (
        lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**VISION)), pooled
    ),
    "Dinov2ForImageClassification": (
        lambda: transformers.Dinov2ForImageClassification(
            transformers.Dinov2Config(**VISION, num_labels=6)
        ),
        lambda m, x: pooled(m.dinov2, x),
    ),
    "BeitForImageClassification": (
        lambda: transformers.BeitForImageClassification(
            transformers.BeitConfig(**VISION, num_labels=6)
        ),
        lambda m, x: class_token(m.beit, x),
    ),
    "Data2VecVisionForImageClassification": (
        lambda: transformers.Data2VecVisionForImageClassification(
            transformers.Data2VecVisionConfig(**VISION, num_labels=6)
        ),
        lambda m, x: class_token(m.data2vec_vision, x),
    ),
    "ViTForImageClassification": (
        lambda: transformers.ViTForImageClassification(
            transformers.ViTConfig(**VISION, num_labels=6)
        ),
        lambda m, x: class_token(m.vit, x),
    ),
}  # fmt: skip


def put(folder: Path, model: Any, **fields: Any) -> Path:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**SEEN, **fields}))
    return folder


def given(folder: Path, pictures: list[Image.Image]) -> torch.Tensor:
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels: torch.Tensor = processor(pictures, return_tensors="pt").pixel_values
    return pixels


@pytest.mark.parametrize("name", MODELS)
def test_a_network_gives_the_features_of_its_image_tower(
    name: str, tmp_path: Path, pictures: list[Image.Image], features: Callable[..., np.ndarray]
) -> None:
    make, take = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    put(tmp_path, model)
    with torch.inference_mode():
        expected = take(model, given(tmp_path, pictures)).numpy()
    encoder = load(f"hf:{tmp_path}")
    np.testing.assert_allclose(
        features(encoder, pictures), expected, atol=1e-5 * np.abs(expected).max()
    )
    assert load(f"hf:{tmp_path}").spec == encoder.spec


def test_a_network_that_sees_blue_first_is_given_it(
    tmp_path: Path, pictures: list[Image.Image], features: Callable[..., np.ndarray]
) -> None:
    config = transformers.MobileViTConfig(
        hidden_sizes=[16, 20, 24], neck_hidden_sizes=[8, 8, 12, 12, 16, 16, 32],
        num_attention_heads=2, image_size=64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.MobileViTModel(config).eval()
    model.save_pretrained(tmp_path)
    seen = {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 72, "crop_size": 64}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(seen))
    with torch.inference_mode():
        expected = pooled(model, given(tmp_path, pictures)).numpy()
    encoder = load(f"hf:{tmp_path}")
    assert (encoder.spec.channels, encoder.spec.mean) == ("bgr", (0.0,) * 3)
    np.testing.assert_allclose(
        features(encoder, pictures), expected, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("is_safe", [True, False])
def test_shards_are_the_same_encoder(is_safe: bool, tmp_path: Path) -> None:
    model = transformers.CLIPModel(CLIP)
    whole = load(f"hf:{put(tmp_path / 'whole', model)}").spec
    folder = put(tmp_path / "shards", model)
    model.save_pretrained(folder, max_shard_size="40KB")
    (folder / "model.safetensors").unlink()
    if not is_safe:
        index = folder / "model.safetensors.index.json"
        names = json.loads(index.read_text())["weight_map"]
        for file in folder.glob("*.safetensors"):
            torch.save(load_file(file), file.with_suffix(".bin"))
            file.unlink()
        text = json.dumps({"weight_map": {k: f"{v[:-12]}.bin" for k, v in names.items()}})
        (folder / "pytorch_model.bin.index.json").write_text(text)
        index.unlink()
    assert load(f"hf:{folder}").spec == whole


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
def test_prefixes_of_training_are_taken_away(prefix: str, tmp_path: Path) -> None:
    folder = put(tmp_path, transformers.CLIPModel(CLIP))
    before = load(f"hf:{folder}").spec
    change_weights(folder, lambda state: {f"{prefix}{k}": v for k, v in state.items()})
    assert load(f"hf:{folder}").spec == before


def test_the_image_side_alone_has_no_text(tmp_path: Path) -> None:
    folder = put(tmp_path, transformers.CLIPModel(CLIP))
    before = load(f"hf:{folder}")
    change_weights(
        folder,
        lambda state: {k: v for k, v in state.items() if k.startswith(("vision", "visual"))},
    )
    after = load(f"hf:{folder}")
    assert after.spec == before.spec
    assert before.has_text
    assert not after.has_text


def without(name: str) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda state: {k: v for k, v in state.items() if k != name}


LAYER = "vision_model.encoder.layers.1.mlp.fc2.weight"
FAULTS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "a layer is missing": (without(LAYER), f"1 missing: {LAYER}"),
    "the projection is missing": (
        without("visual_projection.weight"),
        "1 missing: visual_projection.weight",
    ),
    "a weight too many": (lambda s: {**s, "extra": torch.ones(2)}, "1 unexpected: extra"),
    "an integer": (lambda s: {**s, LAYER: s[LAYER].to(torch.int8)}, f"{LAYER} is of dtype int8"),
    "NaN": (lambda s: {**s, LAYER: s[LAYER] * float("nan")}, f"{LAYER} holds NaN"),
    "another shape": (lambda s: {**s, LAYER: torch.ones(3, 3)}, f"1 of another shape: {LAYER}"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["CLIPModel", "CLIPVisionModelWithProjection"])
def test_weights_that_are_not_the_towers_are_refused(fault: str, name: str, tmp_path: Path) -> None:
    folder = put(tmp_path, MODELS[name][0]())
    change, said = FAULTS[fault]
    change_weights(folder, change)
    with pytest.raises(XprobeError, match=said) as error:
        load(f"hf:{folder}")
    assert "\n" not in str(error.value)


def test_a_masked_autoencoder_gives_one_feature_to_the_last_bit(
    tmp_path: Path, pictures: list[Image.Image], features: Callable[..., np.ndarray]
) -> None:
    config = transformers.ViTMAEConfig(
        **VISION, decoder_hidden_size=16, decoder_intermediate_size=16,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
    )  # fmt: skip
    folder = put(tmp_path, transformers.ViTMAEForPreTraining(config))
    encoder = load(f"hf:{folder}")
    np.testing.assert_array_equal(features(encoder, pictures), features(encoder, pictures))


# --- folders that must not be loaded ----------------------------------------------------------


def with_fields(folder: Path, **fields: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


CODE = (
    "from pathlib import Path\nPath('ran').touch()\nfrom transformers import CLIPConfig\n"
    "class MyConfig(CLIPConfig):\n    model_type = 'my_clip'\n"
)


@pytest.mark.parametrize("states_it", [True, False])
def test_a_folder_with_code_is_refused_and_nothing_is_asked(
    states_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    stdin = io.StringIO("y\n" * 9)
    monkeypatch.setattr(sys, "stdin", stdin)
    folder = with_fields(put(tmp_path / "m", transformers.CLIPModel(CLIP)), model_type="my_clip")
    (folder / "configuration_my.py").write_text(CODE)
    if states_it:
        with_fields(folder, auto_map={"AutoConfig": "configuration_my.MyConfig"})
    with pytest.raises(XprobeError, match=r"code of its own \(configuration_my\.py\)"):
        load(f"hf:{folder}")
    assert stdin.tell() == 0
    assert capfd.readouterr().out == ""
    assert not Path("ran").exists()


def test_a_known_network_needs_none_of_the_code_beside_it(tmp_path: Path) -> None:
    folder = put(tmp_path, transformers.CLIPModel(CLIP))
    before = load(f"hf:{folder}").spec
    (folder / "modeling_my.py").write_text("raise SystemExit('ran')")
    with_fields(folder, auto_map={"AutoModel": "modeling_my.MyModel"})
    assert load(f"hf:{folder}").spec == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_type": "my_clip"}, "knows no model_type 'my_clip'"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantization_config"),
        ({"vision_config": {**VISION, "patch_size": "x"}}, ""),
        ({"vision_config": 3}, ""),
    ],
)
def test_a_configuration_that_is_not_supported_is_named(
    fields: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = with_fields(put(tmp_path, transformers.CLIPModel(CLIP)), **fields)
    with pytest.raises(XprobeError, match=rf"{tmp_path}.*: .*{said}") as error:
        load(f"hf:{folder}")
    assert "\n" not in str(error.value)


def test_an_adapter_is_answered_with_how_to_merge_it(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    with pytest.raises(XprobeError, match=r"an adapter .* of org/base.*merge_and_unload"):
        load(f"hf:{tmp_path}")


def test_a_network_that_cannot_take_its_own_images_is_refused_in_one_line(tmp_path: Path) -> None:
    cut = {"crop_size": {"height": 24, "width": 24}}
    folder = put(tmp_path, transformers.ViTModel(transformers.ViTConfig(**VISION)), **cut)
    with pytest.raises(XprobeError, match=r"cannot embed .* images of 24 x 24 pixels") as error:
        load(f"hf:{folder}")
    assert "\n" not in str(error.value)


def test_no_progress_is_drawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = put(tmp_path, transformers.CLIPModel(CLIP))
    capfd.readouterr()
    load(f"hf:{folder}")
    assert capfd.readouterr() == ("", "")


def test_a_projection_of_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision = {k: v for k, v in VISION.items() if k != "num_labels"}
    config = transformers.ChineseCLIPConfig(
        text_config={**TEXT, "num_attention_heads": 2}, vision_config=vision, projection_dim=24
    )
    torch.manual_seed(0)
    folder = put(tmp_path, transformers.ChineseCLIPModel(config))
    assert load(f"hf:{folder}").spec.dim == 24

    def twice(self: Any, pixel_values: torch.Tensor) -> torch.Tensor:
        return 2 * self.visual_projection(self.vision_model(pixel_values=pixel_values)[1])

    monkeypatch.setattr(transformers.ChineseCLIPModel, "get_image_features", twice)
    with pytest.raises(XprobeError, match="use --layer pooled"):
        load(f"hf:{folder}")
    assert load(f"hf:{folder}", layer="pooled").spec.dim == 32
