"""Encoders by name: weights loaded strictly, features those of the library they come from."""

from __future__ import annotations

import json
import socket
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
from xprobe.encoders import load as encoders
from xprobe.encoders import weights
from xprobe.encoders.families import open_clip as tower_open_clip
from xprobe.features import embed as extract
from xprobe.features.store import Store
from xprobe.images import read as manifest

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module", autouse=True)
def tiny_architecture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make open_clip know a model that takes milliseconds."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    return "tiny-clip"


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[torch.nn.Module, Path]:
    """Return a randomly initialised tiny model and the file of its weights."""
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-clip")
    file = tmp_path / "tiny.safetensors"
    save_file(model.state_dict(), file)
    return model.eval(), file


@pytest.fixture
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 90, (6, 2))
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


def test_features_are_those_of_open_clip(
    tiny: tuple[Any, Path], pictures: list[Image.Image]
) -> None:
    model, file = tiny
    encoder = encoders.load(f"open_clip:tiny-clip/{file}")
    transform = open_clip.image_transform(32, is_train=False)
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(p) for p in pictures])).numpy()
    features = encoder.forward(np.stack([encoder.preprocess(p) for p in pictures]))
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    assert encoder.spec.dim == 16
    assert (encoder.spec.mean, encoder.spec.std) == (
        open_clip.OPENAI_DATASET_MEAN,
        open_clip.OPENAI_DATASET_STD,
    )


def test_a_checkpoint_file_goes_through_embed_without_a_network(
    tiny: tuple[Any, Path], make_data: Callable[..., Path], tmp_path: Path
) -> None:
    name = f"open_clip:tiny-clip/{tiny[1]}"
    table = manifest.read(make_data())
    store = Store(tmp_path / "f", create=True)
    rows = []
    for batch_size, workers in ((8, 1), (8, 2)):
        store = Store(tmp_path / f"f{workers}", create=True)
        encoder = encoders.load(name)
        done = extract.embed(table, encoder, name, store, batch_size=batch_size, workers=workers)
        assert done.embedded == 24
        rows.append(store.read(store.find(name)[0], table)[0].x)
    np.testing.assert_array_equal(rows[0], rows[1])
    alone = encoder.forward(
        np.stack([encoder.preprocess(Image.open(table.path[3]).convert("RGB"))] * 8)
    )[0]
    np.testing.assert_array_equal(rows[0][3], alone)


def test_equal_weights_in_another_file_are_the_same_encoder(tiny: tuple[Any, Path]) -> None:
    model, file = tiny
    other = file.with_name("state.pt")
    torch.save({"state_dict": model.state_dict()}, other)
    keys = [encoders.load(f"open_clip:tiny-clip/{f}").spec.key for f in (file, other)]
    assert keys[0] == keys[1]
    with torch.no_grad():
        model.visual.proj += 1e-3
    save_file(model.state_dict(), file)
    assert encoders.load(f"open_clip:tiny-clip/{file}").spec.key != keys[0]


def test_precision_is_part_of_the_key(tiny: tuple[Any, Path]) -> None:
    keys = {
        encoders.load(f"open_clip:tiny-clip/{tiny[1]}", "cpu", p).spec.key for p in ("fp32", "bf16")
    }
    assert len(keys) == 2


def test_a_folder_with_its_own_configuration_is_loaded(tiny: tuple[Any, Path]) -> None:
    _model, file = tiny
    folder = file.parent / "model"
    folder.mkdir()
    file.rename(folder / "open_clip_model.safetensors")
    half = [0.5] * 3
    config = {"model_cfg": TINY, "preprocess_cfg": {"mean": half, "std": half}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    spec = encoders.load(f"open_clip:local-dir:{folder}").spec
    assert spec.mean == (0.5, 0.5, 0.5)
    elsewhere = folder.rename(file.parent / "elsewhere")
    assert encoders.load(f"open_clip:local-dir:{elsewhere}").spec == spec


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(tiny: tuple[Any, Path], fault: str) -> None:
    model, file = tiny
    state = dict(model.state_dict())
    if fault == "missing":
        del state["visual.proj"]
    elif fault == "unexpected":
        state["visual.extra"] = torch.zeros(2)
    else:
        state["visual.positional_embedding"] = torch.zeros(5, 32)
    save_file(state, file)
    named = {"missing": "visual.proj", "unexpected": "visual.extra"}.get(
        fault, "visual.positional_embedding"
    )
    with pytest.raises(XprobeError, match=f"do not fit the architecture: 1 .*{named}"):
        encoders.load(f"open_clip:tiny-clip/{file}")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    file = tmp_path / "weights.pt"
    torch.save({"visual.proj": Trap()}, file)
    with pytest.raises(XprobeError, match="not readable as weights"):
        encoders.load(f"open_clip:tiny-clip/{file}")
    assert not (tmp_path / "sprung").exists()


def test_siglip_weights_from_a_file_keep_siglips_preprocessing() -> None:
    """open_clip itself falls back to CLIP's mean and crop here."""
    preprocessing = tower_open_clip._preprocess_of("ViT-B-16-SigLIP")
    assert preprocessing["mean"] == (0.5, 0.5, 0.5)
    assert preprocessing["resize_mode"] == "squash"


def test_plain_gelu_with_quickgelu_weights_is_refused() -> None:
    with pytest.raises(XprobeError, match="use open_clip:ViT-B-32-quickgelu/openai"):
        encoders.load("open_clip:ViT-B-32/openai")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hgo", "did you mean hog"),
        ("clip-vit-b3", "did you mean clip-vit-b32"),
        ("timm:resnet51", "timm has no model"),
        ("timm:resnet50.nonsense", "timm has no weights"),
        ("torchvision:alexnot/X", "did you mean alexnet"),
        ("torchvision:alexnet/X", "there are: IMAGENET1K_V1"),
        ("hf:/no/such/folder", "no such folder"),
        ("hf:nonsense", "no such folder"),
        ("skysense-o", "import-features FILE"),
        ("builtin:nothing", "unknown encoder"),
        ("open_clip:ViT-B-33/openai", "did you mean ViT-B-32"),
        ("open_clip:ViT-B-32-quickgelu/opennai", "did you mean openai"),
        ("open_clip:ViT-B-32", "needs weights"),
        ("open_clip:ViT-B-32//no/such/file.pt", "no checkpoint file"),
        ("open_clip:local-dir:/no/such/folder", "open_clip_config.json"),
    ],
)
def test_a_wrong_name_is_answered_with_what_to_write(name: str, said: str) -> None:
    with pytest.raises(XprobeError, match=said):
        encoders.load(name)


def test_missing_weights_without_a_network_are_answered_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(weights, "cached_file", lambda *_: None)
    monkeypatch.setattr(encoders, "cached_file", lambda *_: None)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with pytest.raises(
        XprobeError, match=r"clip-vit-b32: open_clip_model.safetensors of .*'--encoder hog'"
    ):
        encoders.load("clip-vit-b32")
    assert not encoders.is_local("clip-vit-b32")


def test_cached_weights_are_used_without_asking_the_network(
    tiny: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr("xprobe.base.network.is_reachable", no_network)
    monkeypatch.setattr(weights, "cached_file", lambda *_: tiny[1])
    assert weights.hub_file("org/name", ["weights"], "clip-vit-b32") == tiny[1]


def of_scheme(*schemes: str) -> list[str]:
    return [n for n, p in encoders.ENCODERS.items() if p.source.partition(":")[0] in schemes]


@pytest.mark.parametrize("name", of_scheme("builtin"))
def test_the_floors_are_as_listed(name: str) -> None:
    preset, spec = encoders.ENCODERS[name], encoders.load(name).spec
    assert (spec.dim, spec.input_px) == (preset.dim, (preset.input_px,) * 2)
    assert encoders.is_local(name)


@pytest.mark.parametrize("name", of_scheme("open_clip"))
def test_every_open_clip_preset_says_what_the_library_says(name: str) -> None:
    preset = encoders.ENCODERS[name]
    model, _, tag = preset.source.removeprefix("open_clip:").partition("/")
    config = open_clip.get_model_config(model)
    assert config is not None
    assert config["embed_dim"] == preset.dim
    quick = bool(config.get("quick_gelu", False))
    assert preset.activation == ("quick_gelu" if quick else "gelu")
    with torch.device("meta"):
        built = open_clip.create_model(
            model, load_weights=False, pretrained_text=False, device="meta"
        )
    visual: Any = built.visual
    if getattr(visual, "proj", None) is not None:
        assert preset.dim_pooled == visual.proj.shape[0]
    elif hasattr(visual, "attnpool"):
        assert preset.dim_pooled == visual.attnpool.c_proj.in_features
    else:  # a timm tower without a projection
        assert preset.dim_pooled == preset.dim
    size = config["vision_cfg"].get("image_size", config["vision_cfg"].get("timm_model_img_size"))
    assert (size or 224) == preset.input_px
    if tag.startswith("hub:"):
        assert tag == f"hub:{preset.hub}/{preset.file}"
        return
    assert tag in open_clip.list_pretrained_tags_by_model(model)
    published = open_clip.get_pretrained_cfg(model, tag)
    assert bool(config.get("quick_gelu", False)) == bool(published.get("quick_gelu", False))
    assert published["hf_hub"] == f"{preset.hub}/"


@pytest.mark.parametrize("name", of_scheme("timm"))
def test_every_timm_preset_says_what_the_library_says(name: str) -> None:
    import timm

    preset = encoders.ENCODERS[name]
    full = preset.source.removeprefix("timm:")
    config = timm.get_pretrained_cfg(full)
    assert config is not None
    assert config.hf_hub_id == preset.hub
    assert config.input_size[1] == preset.input_px
    assert config.hf_hub_filename is None
    assert preset.licence.lower() in str(config.license)
    with torch.device("meta"):
        model = timm.create_model(full, num_classes=0)
    assert model.head_hidden_size == preset.dim


def test_the_torchvision_preset_says_what_the_library_says() -> None:
    from torchvision import models

    preset = encoders.ENCODERS["alexnet"]
    published = models.AlexNet_Weights.IMAGENET1K_V1
    assert published.url.endswith(f"/{preset.file}")
    assert preset.source == "torchvision:alexnet/IMAGENET1K_V1"
    with torch.device("meta"):
        assert models.alexnet().classifier[-1].in_features == preset.dim


@pytest.mark.parametrize("name", ["hog", "pixels"])
def test_weight_free_encoders_give_each_image_its_own_finite_row(
    name: str, pictures: list[Image.Image]
) -> None:
    encoder = encoders.load(name)
    flat = Image.new("RGB", (10, 10), (7, 7, 7))
    pixels = np.stack([encoder.preprocess(p) for p in [*pictures, flat]])
    together = encoder.forward(pixels)
    assert together.shape == (7, encoder.spec.dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for i in range(len(pixels)):
        np.testing.assert_array_equal(encoder.forward(pixels[i : i + 1])[0], together[i])


def test_hog_sees_shape_and_colour_apart() -> None:
    encoder = encoders.load("hog")
    _yy, xx = np.mgrid[:64, :64]
    stripes = np.uint8(255 * (xx // 8 % 2))
    red = np.stack([stripes, stripes * 0, stripes * 0], axis=-1)
    rotated = np.transpose(red, (1, 0, 2))
    a, b = encoder.forward(np.stack([red, np.ascontiguousarray(rotated)]))
    np.testing.assert_allclose(a[324:], b[324:])
    assert np.linalg.norm(a[:324] - b[:324]) > 0.5
    np.testing.assert_allclose(np.linalg.norm(a[:324]), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(a[324:]), 1, rtol=1e-5)


def test_fp16_of_a_weight_free_encoder_is_refused() -> None:
    with pytest.raises(XprobeError, match="fp32 only"):
        encoders.load("hog", "cpu", "bf16")


def test_an_unusable_device_is_answered_with_one_that_works(tiny: tuple[Any, Path]) -> None:
    with pytest.raises(XprobeError, match="try cpu"):
        encoders.load(f"open_clip:tiny-clip/{tiny[1]}", "nonsense")


def test_the_long_form_of_a_preset_is_the_preset() -> None:
    assert encoders.canonical("open_clip:ViT-B-32-quickgelu/openai") == "clip-vit-b32"
    assert encoders.canonical("open_clip:ViT-B-32/x.pt") == "open_clip:ViT-B-32/x.pt"


def test_a_model_of_timm_is_told_its_prefix() -> None:
    meant = r"unknown encoder 'tf_efficientnet_lite0' \(did you mean timm:tf_efficientnet_lite0\?\)"
    with pytest.raises(XprobeError, match=meant):
        encoders.check_name("tf_efficientnet_lite0")
    with pytest.raises(XprobeError, match=r"did you mean clip-vit-b32"):
        encoders.check_name("clip-vit-b23")
    assert not encoders.has_network("tf_efficientnet_lite0")


def test_a_list_of_encoders_is_split_where_all_parts_are_encoders() -> None:
    path = "timm:resnet18/my,weights.safetensors"
    assert encoders.split_encoders(["hog, pixels", "hog"]) == ("hog", "pixels")
    assert encoders.split_encoders([path, "hog"]) == (path, "hog")
    long = "timm:resnet18/a.pt,hf:owner/name,hog"
    assert encoders.split_encoders([long]) == tuple(long.split(","))
    assert encoders.split_encoders(["hog,pixles"]) == ("hog", "pixles")
