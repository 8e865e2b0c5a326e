"""Image towers of every family: strict, offline from a hub cache, and equal to upstream's own."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from makers import Net
from PIL import Image
from safetensors.torch import load_file, save_file

from xprobe.base.errors import XprobeError
from xprobe.encoders import load as encoders
from xprobe.encoders.base import Encoder
from xprobe.encoders.network import Network
from xprobe.encoders.tower import Tower, View

COMMIT = "0" * 40
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}
TINY_RESNET = {
    **TINY,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
}


@pytest.fixture(scope="module", autouse=True)
def tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configs")
    for name, config in (("tiny-vit", TINY), ("tiny-rn", TINY_RESNET)):
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """``hub("org/name")``: the folder of a repository in a local hub cache, and no network."""
    from huggingface_hub import constants

    def no_network(*_: object) -> bool:
        raise AssertionError("asked the network")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("xprobe.base.network.is_reachable", no_network)

    def repository(name: str) -> Path:
        root = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs/main").write_text(COMMIT)
        folder = root / "snapshots" / COMMIT
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return repository


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Odd sizes: the geometry of resizing and cutting shows in every pixel."""
    rng = np.random.default_rng(0)
    sizes = [(301, 200), (200, 301), (37, 90), (224, 224), (513, 333), (64, 65), (75, 64), (64, 75)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def features(encoder: Encoder, pictures: list[Image.Image]) -> np.ndarray:
    return encoder.forward(np.stack([encoder.preprocess(p) for p in pictures]))


def seen(encoder: Encoder, picture: Image.Image) -> np.ndarray:
    """What the network is given, (3, height, width)."""
    pixels = encoder.preprocess(picture).astype(np.float32) / 255
    return ((pixels - encoder.spec.mean) / encoder.spec.std).transpose(2, 0, 1)


# --- timm --------------------------------------------------------------------------------


def timm_model(name: str, folder: Path) -> Any:
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False)
    save_file(model.state_dict(), folder / "model.safetensors")
    model.reset_classifier(0)
    return model.eval()


@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_resnet.r160_in1k"])
def test_timm_features_and_pixels_are_timms(
    name: str, hub: Callable[[str], Path], pictures: list[Image.Image]
) -> None:
    model = timm_model(name, hub(f"timm/{name}"))
    encoder = encoders.load(f"timm:{name}")
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)
    given = torch.stack([transform(p) for p in pictures])
    for picture, expected in zip(pictures, given, strict=True):
        np.testing.assert_allclose(seen(encoder, picture), expected.numpy(), atol=1e-5)
    with torch.inference_mode():
        expected = model(given).numpy()
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)
    assert encoder.spec.source == f"timm:{name}"
    assert encoder.spec.layer == "pooled"


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape", "pos_embed"])
def test_timm_weights_that_do_not_fit_are_refused_by_name(
    fault: str, hub: Callable[[str], Path]
) -> None:
    folder = hub("timm/test_vit.r160_in1k")
    timm_model("test_vit.r160_in1k", folder)
    state = load_file(folder / "model.safetensors")
    key = {"shape": "norm.weight", "pos_embed": "pos_embed"}.get(fault, "blocks.0.norm1.weight")
    if fault == "missing":
        del state[key]
    elif fault == "unexpected":
        key = "extra.weight"
        state[key] = torch.zeros(2)
    elif fault == "shape":
        state[key] = torch.zeros(3)
    else:  # timm would resample it without a word
        state[key] = torch.zeros(1, 5, state[key].shape[-1])
    save_file(state, folder / "model.safetensors")
    with pytest.raises(XprobeError, match=rf"do not fit the architecture.*{key}"):
        encoders.load("timm:test_vit.r160_in1k")


def test_timm_weights_from_a_file(tmp_path: Path, hub: Callable[[str], Path]) -> None:
    timm_model("test_vit.r160_in1k", hub("timm/test_vit.r160_in1k"))
    timm_model("test_vit.r160_in1k", tmp_path)
    named = encoders.load("timm:test_vit.r160_in1k")
    filed = encoders.load(f"timm:test_vit.r160_in1k/{tmp_path / 'model.safetensors'}")
    assert named.spec == filed.spec
    with pytest.raises(XprobeError, match="no checkpoint file"):
        encoders.load(f"timm:test_vit.r160_in1k/{tmp_path / 'none.safetensors'}")


@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_resnet.r160_in1k"])
def test_timm_at_another_size(
    name: str, hub: Callable[[str], Path], pictures: list[Image.Image]
) -> None:
    timm_model(name, hub(f"timm/{name}"))
    encoder = encoders.load(f"timm:{name}@64")
    assert encoder.spec.input_px == (64, 64)
    assert features(encoder, pictures).shape[1] == encoders.load(f"timm:{name}").spec.dim
    if "resnet" in name:  # the weights are the same, so are the features of what it sees
        model = timm.create_model(name, pretrained=False, num_classes=0)
        full = load_file(hub(f"timm/{name}") / "model.safetensors")
        model.load_state_dict({k: v for k, v in full.items() if not k.startswith("fc.")})
        x = torch.stack([torch.from_numpy(seen(encoder, p)).float() for p in pictures])
        with torch.inference_mode():
            expected = model.eval()(x).numpy()
        np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["", "x", "0", "64x64"])
def test_a_size_is_a_number_of_pixels(side: str) -> None:
    with pytest.raises(XprobeError, match="after @ comes the side of the images in pixels"):
        encoders.load(f"timm:test_resnet@{side}", random_weights=True)


def test_a_size_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(XprobeError, match=r"cannot take images of 17 pixels"):
        encoders.load("timm:test_vit@17", random_weights=True)


# --- torchvision ---------------------------------------------------------------------------


def test_torchvision_features_and_pixels_are_torchvisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[Image.Image]
) -> None:
    from torchvision import models

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    file = tmp_path / "hub/checkpoints" / published.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    model = models.shufflenet_v2_x0_5()
    torch.save(model.state_dict(), file)
    encoder = encoders.load("torchvision:shufflenet_v2_x0_5/IMAGENET1K_V1")
    model.fc = torch.nn.Identity()
    given = torch.stack([published.transforms()(p) for p in pictures])
    for picture, expected in zip(pictures, given, strict=True):
        np.testing.assert_allclose(seen(encoder, picture), expected.numpy(), atol=1e-5)
    with torch.inference_mode():
        expected = model.eval()(given).numpy()
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)


# --- transformers --------------------------------------------------------------------------


def processor(folder: Path, **fields: Any) -> Any:
    half = [0.5, 0.4, 0.3]
    config = {"image_mean": half, "image_std": half, "do_rescale": True, "do_normalize": True}
    config |= {"rescale_factor": 1 / 255, "do_resize": True, "resample": 3, **fields}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")


SQUASH = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
CUT = {
    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 40},
    "do_center_crop": True, "crop_size": {"height": 32, "width": 32},
}  # fmt: skip


def vision(config: type, **fields: Any) -> Any:
    return config(**{**SMALL, "intermediate_size": 48, "patch_size": 8, **fields})


def class_token(output: Any) -> Any:
    return output.last_hidden_state[:, 0]


def pooled(output: Any) -> Any:
    return output.pooler_output.flatten(1)


FAMILIES: dict[str, tuple[Callable[[], Any], Any, dict[str, Any]]] = {
    "vit": (
        lambda: transformers.ViTForImageClassification(vision(transformers.ViTConfig)),
        class_token, SQUASH,
    ),
    "dinov2": (
        lambda: transformers.Dinov2Model(vision(transformers.Dinov2Config)), pooled, CUT,
    ),
    "resnet": (
        lambda: transformers.ResNetModel(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        ),
        pooled, CUT,
    ),
    "swin": (
        lambda: transformers.SwinModel(
            transformers.SwinConfig(
                image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2],
                window_size=4,
            )
        ),
        pooled, SQUASH,
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_features_and_pixels_are_transformers(
    family: str, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    make, take, fields = FAMILIES[family]
    torch.manual_seed(0)
    model = make().eval()
    model.save_pretrained(tmp_path)
    process = processor(tmp_path, **fields)
    encoder = encoders.load(f"hf:{tmp_path}")
    given = torch.stack([process(p, return_tensors="pt").pixel_values[0] for p in pictures])
    for picture, expected in zip(pictures, given, strict=True):
        np.testing.assert_allclose(seen(encoder, picture), expected.numpy(), atol=1e-5)
    base = getattr(model, "vit", model)
    with torch.inference_mode():
        expected = take(base(pixel_values=given)).numpy()
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(XprobeError, match="--layer pooled"):
        encoders.load(f"hf:{tmp_path}", layer="projected")


def text(config: type) -> Any:
    return config(**{**SMALL, "intermediate_size": 48, "vocab_size": 99})


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_vision_side_of_a_dual_encoder_is_taken(
    kind: str, hub: Callable[[str], Path], pictures: list[Image.Image]
) -> None:
    """As Git-RSCLIP is published: through AutoModel, from a repository."""
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPConfig(
            text_config=text(transformers.CLIPTextConfig).to_dict(),
            vision_config=vision(transformers.CLIPVisionConfig).to_dict(), projection_dim=24,
        )  # fmt: skip
        model = transformers.CLIPModel(config).eval()
    else:
        config = transformers.SiglipConfig(
            text_config=text(transformers.SiglipTextConfig).to_dict(),
            vision_config=vision(transformers.SiglipVisionConfig).to_dict(),
        )
        model = transformers.SiglipModel(config).eval()
    folder = hub("org/dual")
    model.save_pretrained(folder)
    process = processor(folder, **SQUASH)
    encoder = encoders.load("hf:org/dual")
    given = torch.stack([process(p, return_tensors="pt").pixel_values[0] for p in pictures])
    with torch.inference_mode():
        output = model.get_image_features(pixel_values=given)
    expected = getattr(output, "pooler_output", output)
    np.testing.assert_allclose(features(encoder, pictures), expected, rtol=1e-4, atol=1e-5)
    assert encoder.spec.layer == "projected"
    before = encoders.load("hf:org/dual", layer="pooled")
    assert before.spec.dim == 32
    assert before.spec.key != encoder.spec.key


def test_mae_does_not_mask_when_embedding(tmp_path: Path, pictures: list[Image.Image]) -> None:
    config = vision(
        transformers.ViTMAEConfig, decoder_hidden_size=16, decoder_intermediate_size=16,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ViTMAEForPreTraining(config).save_pretrained(tmp_path)
    processor(tmp_path, **SQUASH)
    encoder = encoders.load(f"hf:{tmp_path}")
    first, second = features(encoder, pictures), features(encoder, pictures)
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert encoder.spec.dim == 32


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape"])
def test_transformers_weights_that_do_not_fit_are_refused_by_name(
    fault: str, tmp_path: Path
) -> None:
    """transformers itself only logs them and goes on with random ones."""
    transformers.Dinov2Model(vision(transformers.Dinov2Config)).save_pretrained(tmp_path)
    processor(tmp_path, **CUT)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    key = "layernorm.weight"
    if fault == "missing":
        del state[key]
    elif fault == "unexpected":
        key = "extra.weight"
        state[key] = torch.zeros(2)
    else:
        state[key] = torch.zeros(7)
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(XprobeError, match=rf"(do not fit|mismatch).*|{key}"):
        encoders.load(f"hf:{tmp_path}")


def test_a_repository_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(XprobeError, match="no weights in"):
        encoders.load(f"hf:{tmp_path}")


# --- open_clip and RemoteCLIP ----------------------------------------------------------------


def test_remoteclip_loads_from_both_of_its_publications(
    hub: Callable[[str], Path], pictures: list[Image.Image]
) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-vit").eval()
    torch.save(model.state_dict(), hub("chendelong/RemoteCLIP") / "RemoteCLIP-tiny.pt")
    other = hub("MVRL/remote-clip-tiny")
    (other / "config.json").write_text(json.dumps({"model_name": "tiny-vit"}))
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    save_file(state, other / "model.safetensors")
    one = encoders.load("open_clip:tiny-vit/hub:chendelong/RemoteCLIP/RemoteCLIP-tiny.pt")
    two = encoders.load("hf:MVRL/remote-clip-tiny")
    assert one.spec == two.spec
    assert one.spec.activation == "gelu"
    transform = open_clip.image_transform(32, is_train=False)
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(p) for p in pictures])).numpy()
    np.testing.assert_allclose(features(two, pictures), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "before", "after"), [("tiny-vit", 32, 16), ("tiny-rn", 256, 16)])
def test_the_layer_before_the_projection_is_the_other_ones_input(
    name: str, before: int, after: int, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    long = f"open_clip:{name}/{tmp_path / 'w.safetensors'}"
    pooled_, projected = encoders.load(long, layer="pooled"), encoders.load(long)
    assert (pooled_.spec.dim, projected.spec.dim) == (before, after)
    assert (pooled_.spec.layer, projected.spec.layer) == ("pooled", "projected")
    x = torch.from_numpy(features(pooled_, pictures))
    with torch.inference_mode():
        visual: Any = model.visual
        y = x @ visual.proj if hasattr(visual, "proj") else visual.attnpool.c_proj(x)
    np.testing.assert_allclose(features(projected, pictures), y.numpy(), rtol=1e-4, atol=1e-5)


def test_open_clip_from_a_hub_repository(hub: Callable[[str], Path]) -> None:
    folder = hub("org/clip")
    config = {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(AssertionError, match="asked the network"):  # not random weights
        encoders.load("open_clip:hf-hub:org/clip")
    save_file(
        open_clip.create_model("tiny-vit").state_dict(), folder / "open_clip_model.safetensors"
    )
    assert encoders.load("open_clip:hf-hub:org/clip").spec.mean == (0.5, 0.5, 0.5)


def test_a_folder_without_weights_is_not_embedded_with_random_ones(tmp_path: Path) -> None:
    """open_clip itself builds a randomly initialised model here and only logs it."""
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    with pytest.raises(XprobeError, match="no weights in it"):
        encoders.load(f"open_clip:local-dir:{tmp_path}")


def test_the_network_is_embedded_in_evaluation_mode(
    tmp_path: Path, pictures: list[Image.Image]
) -> None:
    """open_clip hands it over in training mode, where a batch norm mixes the images of a batch."""
    torch.manual_seed(0)
    save_file(open_clip.create_model("tiny-rn").state_dict(), tmp_path / "w.safetensors")
    encoder = encoders.load(f"open_clip:tiny-rn/{tmp_path / 'w.safetensors'}")
    together = features(encoder, pictures)
    alone = features(encoder, [pictures[0]] * len(pictures))
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-4, atol=1e-6)


def test_a_network_on_a_device_can_be_sent_to_another_process() -> None:
    torch.manual_seed(0)
    view = View((12, 10), "squash", "bicubic", (0.5,) * 3, (0.25,) * 3)
    tower = Tower(Net(), "test:net", "pooled", view)
    network = Network(tower, "meta", "bf16", trainable=True)  # no CPU, and everywhere
    assert pickle.loads(pickle.dumps(network)).spec == network.spec


def test_a_missing_tokenizer_is_answered_with_the_encoder_to_fetch(
    hub: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**TINY, "text_cfg": {**TINY["text_cfg"], "hf_tokenizer_name": "org/tokenizer"}}  # type: ignore[dict-item]
    file = tmp_path / "w.safetensors"
    save_file(open_clip.create_model("tiny-vit").state_dict(), file)
    encoder = encoders.load(f"open_clip:tiny-vit/{file}")
    assert encoder.has_text
    monkeypatch.setattr(open_clip, "get_model_config", lambda _name: config)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(XprobeError, match=r"fetch open_clip:tiny-vit/.*w\.safetensors'"):
        encoder.embed_text(["a photo"])


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scripted.pt"
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(file))
    with pytest.raises(XprobeError, match="not readable as weights"):
        encoders.load(f"open_clip:tiny-vit/{file}")


def test_a_corrupt_checkpoint_is_refused(tmp_path: Path) -> None:
    for name in ("corrupt.safetensors", "corrupt.pt"):
        (tmp_path / name).write_bytes(b"\x80\x02nonsense" * 9)
        with pytest.raises(XprobeError, match="not readable as weights"):
            encoders.load(f"open_clip:tiny-vit/{tmp_path / name}")


# --- your own -------------------------------------------------------------------------------
