"""Does every preset give its upstream library's own features, at full size and offline?

No weights are at hand, so they are random: for each preset of
`xprobe.encoders.presets.ENCODERS` the upstream library builds the architecture at full size, with
biases, norms and running statistics stirred so that every part of it counts. Its checkpoint
is written in the upstream file layout into an empty hub cache (torchvision: torch's cache) and
loaded twice with the network refused: by the upstream library's documented way, and by
`xprobe.encoders.load`. Both embed the same two images, one photograph and one of noise with odd
sides. The floors have no weights; they are computed here a second time, from their definition.

Read: ``feature`` is ‖a−b‖∞ / ‖b‖∞ of xprobe's features a and upstream's b, asked ≤ 1e-5;
``pixel`` the largest difference of what the two networks are given, asked ≤ 1e-6; ``contrast``
(JSON only) ‖b₁−b₂‖∞ / ‖b‖∞ of the two images, asked ≥ 1e-3, or the comparison would see nothing;
``dims`` those of the layers projected/pooled; ``params`` millions in the image tower. A row is also
a FAIL if the size, the dimension or the place of the weights is not what the listing says. Random
weights show that loading, preprocessing and the forward pass agree, not what published files hold.

One preset at a time, its checkpoint deleted before the next: at most 5 GB of disk (in TMPDIR).
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = os.environ["TORCH_HOME"] = tempfile.mkdtemp(prefix="check-presets-")

import numpy as np
import open_clip
import skimage.data
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from torchvision import models
from torchvision.transforms import functional

from xprobe.encoders import load as encoders
from xprobe.encoders.presets import ENCODERS, IMPORT_ONLY, Preset

CACHE = Path(os.environ["HF_HUB_CACHE"])
COMMIT = "0" * 40
QUICK = ("hog", "pixels", "resnet50")  # below 30 M parameters, 224 pixels
FEATURE, PIXEL, CONTRAST = 1e-5, 1e-6, 1e-3
LIBRARIES = (
    "xprobe", "numpy", "pillow", "scikit-image", "torch", "torchvision", "open_clip_torch", "timm",
    "transformers", "huggingface_hub",
)  # fmt: skip
HEADER = (
    f"{'preset':<24} {'dim':>5} {'px':>4} {'activation':<17} {'dims':>10} {'params':>7} "
    f"{'feature':>8} {'pixel':>8} {'s':>6}"
)

Pictures = list[Image.Image]
Seen = tuple[np.ndarray, np.ndarray]
"""What a network is given, (2, 3, height, width), and its features, (2, d)."""


def two_pictures() -> Pictures:
    noise = np.random.default_rng(0).integers(0, 256, (333, 517, 3), dtype=np.uint8)
    return [Image.fromarray(skimage.data.astronaut()[:, 37:480]), Image.fromarray(noise)]


def hub_folder(repository: str) -> Path:
    """Make a repository in the hub cache as a download leaves it; return its snapshot."""
    root = CACHE / f"models--{repository.strip('/').replace('/', '--')}"
    folder = root / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs/main").write_text(COMMIT)
    return folder


def stirred(model: Any, tower: Any = None) -> dict[str, torch.Tensor]:
    """Return the state of a model in whose image tower every part counts.

    As they begin, last norms are zero and layer scales 1e-5, so whole branches count for nothing;
    and with running statistics of 0 and 1 a deep network's output hardly depends on its input. The
    statistics become those of the two pictures. Variances exact to the last layer would make
    EfficientNet chaotic (rounding grows 100-fold); with a fifth more it is tame.
    """
    tower = model if tower is None else tower
    noise = torch.Generator().manual_seed(1)
    norms = [m for m in tower.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
        for norm in norms:
            norm.momentum = 1.0  # take the statistics of the next batch as they are
        if norms:
            small = [functional.resize(p, [224, 224]) for p in two_pictures()]
            tower.train()(torch.stack([functional.to_tensor(p) for p in small]) * 4 - 2)
        for norm in norms:
            norm.running_var.mul_(1.2)
    return {k: v.contiguous() for k, v in model.state_dict().items()}


def embed(given: list[torch.Tensor], forward: Callable[[torch.Tensor], torch.Tensor]) -> Seen:
    x = torch.stack(given)
    with torch.inference_mode():
        return x.numpy(), forward(x).numpy()


# --- upstream: write a checkpoint, load it the library's own way, embed ------------------------


def by_open_clip(rest: str, pictures: Pictures) -> Seen:
    name, _, tag = rest.partition("/")
    model = open_clip.create_model(name)
    state = stirred(model, model.visual)
    del model
    if tag.startswith("hub:"):  # RemoteCLIP, loaded as its README does
        repository, file = os.path.split(tag.removeprefix("hub:"))
        path = hub_folder(repository) / file
        torch.save(state, path)
        del state
        model, _, transform = open_clip.create_model_and_transforms(name)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    else:
        folder = hub_folder(open_clip.get_pretrained_cfg(name, tag)["hf_hub"])
        save_file(state, folder / "open_clip_model.safetensors")
        del state
        model, transform = open_clip.create_model_from_pretrained(name, tag)
    model.eval()
    return embed([transform(p) for p in pictures], _unscaled(model))


def _unscaled(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """CoCa's encode_image scales features to length 1 unless told; in xprobe the head does that."""
    return lambda x: model.encode_image(x, normalize=False)


def by_timm(name: str, pictures: Pictures) -> Seen:
    state = stirred(timm.create_model(name, pretrained=False))
    hub = timm.get_pretrained_cfg(name).hf_hub_id
    save_file(state, hub_folder(hub) / "model.safetensors")
    del state
    model = timm.create_model(name, pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    return embed(
        [transform(p) for p in pictures],
        lambda x: model.forward_head(model.forward_features(x), pre_logits=True),
    )


def by_torchvision(rest: str, pictures: Pictures) -> Seen:
    name, _, weights = rest.partition("/")
    published = models.get_model_weights(name)[weights]
    folder = CACHE / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(stirred(models.get_model(name)), folder / published.url.rpartition("/")[2])
    model = models.get_model(name, weights=published).eval()
    before_last: list[torch.Tensor] = []
    last = list(model.modules())[-1]
    last.register_forward_pre_hook(lambda _module, inputs: before_last.append(inputs[0]))

    def forward(x: torch.Tensor) -> torch.Tensor:
        model(x)
        return before_last[-1]

    return embed([published.transforms()(p) for p in pictures], forward)


def by_transformers(repository: str, pictures: Pictures) -> Seen:
    folder = hub_folder(repository)
    if repository.startswith("MVRL/"):
        return _wrapped(folder, pictures)
    tower = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    tower |= {"num_attention_heads": 12}
    side = 224
    if not repository.endswith("-base"):
        tower = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
        tower |= {"num_attention_heads": 16}
        side = 256
    config = transformers.SiglipConfig(
        text_config={**tower, "vocab_size": 32000, "max_position_embeddings": 64},
        vision_config={**tower, "image_size": side, "patch_size": 16},
    )
    built = transformers.SiglipModel(config)
    stirred(built)
    built.save_pretrained(folder)
    del built
    said = {  # as google/siglip-* publishes it
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3,
        "image_processor_type": "SiglipImageProcessor", "image_std": [0.5] * 3,
        "processor_class": "SiglipProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"height": side, "width": side},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    process = transformers.AutoImageProcessor.from_pretrained(repository, backend="pil")
    model = transformers.AutoModel.from_pretrained(repository).eval()
    return embed(
        [process(p, return_tensors="pt").pixel_values[0] for p in pictures],
        lambda x: model.get_image_features(pixel_values=x).pooler_output,
    )


def _wrapped(folder: Path, pictures: Pictures) -> Seen:
    """MVRL's RemoteCLIP: an open_clip model inside another module, with its name for a config."""
    name = "ViT-B-32"
    model, _, transform = open_clip.create_model_and_transforms(name)
    state = {f"model.{k}": v for k, v in stirred(model).items()}
    (folder / "config.json").write_text(json.dumps({"model_name": name}))
    save_file(state, folder / "model.safetensors")
    model.eval()
    return embed([transform(p) for p in pictures], _unscaled(model))


def by_definition(name: str, pictures: Pictures) -> Seen:
    side = {"hog": 64, "pixels": 16}[name]
    bicubic = functional.InterpolationMode.BICUBIC
    small = [np.asarray(functional.resize(p, [side, side], bicubic)) for p in pictures]
    given = np.stack([image.transpose(2, 0, 1) / 255.0 for image in small])
    if name == "pixels":
        return given, np.stack([image.ravel() / 255.0 for image in small])
    return given, np.stack([_hog(image.astype(np.float64)) for image in small])


def _hog(image: np.ndarray) -> np.ndarray:
    """Dalal & Triggs' histograms of oriented gradients, then of colour, by loops."""
    gray = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    down, right = np.zeros((64, 64)), np.zeros((64, 64))
    down[1:-1] = gray[2:] - gray[:-2]
    right[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    angle = np.rad2deg(np.arctan2(down, right)) % 180
    cells = np.zeros((4, 4, 9))
    for row, column in np.ndindex(64, 64):
        strength = np.hypot(down[row, column], right[row, column]) / 256
        cells[row // 16, column // 16, int(angle[row, column] // 20)] += strength
    blocks = []
    for row, column in np.ndindex(3, 3):
        block = cells[row : row + 2, column : column + 2].ravel()
        for limit in (0.2, np.inf):  # L2-Hys: normalise, clip, normalise
            block = np.minimum(block / np.sqrt((block**2).sum() + 1e-10), limit)
        blocks.append(block)
    shape = np.concatenate(blocks)
    colour = [
        np.histogram(image[r : r + 32, c : c + 32, channel], 8, (0, 256))[0] / 1024
        for r in (0, 32) for c in (0, 32) for channel in range(3)
    ]  # fmt: skip
    return np.concatenate([shape / np.linalg.norm(shape), np.sqrt(np.concatenate(colour) / 12)])


UPSTREAM: dict[str, Callable[[str, Pictures], Seen]] = {
    "open_clip": by_open_clip,
    "timm": by_timm,
    "torchvision": by_torchvision,
    "hf": by_transformers,
    "builtin": by_definition,
}


# --- xprobe -----------------------------------------------------------------------------------


def by_xprobe(encoder: Any, pictures: Pictures) -> Seen:
    """Embed as `xprobe embed` does, and listen at the network's door."""
    pixels = np.stack([encoder.preprocess(p) for p in pictures])
    if not hasattr(encoder, "_module"):
        return pixels.transpose(0, 3, 1, 2) / 255.0, encoder.forward(pixels)
    heard: list[torch.Tensor] = []
    hook = encoder._module.register_forward_pre_hook(lambda _module, x: heard.append(x[0].clone()))
    features = encoder.forward(pixels)
    hook.remove()
    return heard[-1].numpy(), features


def measure(name: str, preset: Preset, pictures: Pictures) -> dict[str, Any]:
    """Return a preset's row."""
    start = time.perf_counter()
    scheme, _, rest = preset.source.partition(":")
    torch.manual_seed(0)
    given, expected = UPSTREAM[scheme](rest, pictures)
    gc.collect()
    encoder = encoders.load(name, device="cpu")
    spec = encoder.spec
    seen, features = by_xprobe(encoder, pictures)
    tower = getattr(encoder, "_module", None)
    params = 0 if tower is None else sum(p.numel() for p in tower.parameters())
    dims = [spec.dim]
    del encoder, tower
    gc.collect()
    if spec.layer == "projected":
        dims.append(encoders.load(name, device="cpu", layer="pooled").spec.dim)
    scale = float(np.abs(expected).max())
    row = {
        "preset": name,
        "source": preset.source,
        "dim": spec.dim,
        "input_px": spec.input_px[0],
        "activation": spec.activation,
        "layer": spec.layer,
        "layer_dims": dims,
        "params_m": round(params / 1e6, 1),
        "feature": _largest(features, expected) / scale,
        "pixel": _largest(seen, given),
        "contrast": float(np.abs(expected[0] - expected[1]).max()) / scale,
        "seconds": round(time.perf_counter() - start, 1),
    }
    row["faults"] = [
        said
        for said, wrong in (
            ("features", not row["feature"] <= FEATURE),  # not a number is a fault
            ("pixels", not row["pixel"] <= PIXEL),
            ("no contrast", not row["contrast"] >= CONTRAST),
            (f"dim, listed as {preset.dim}", spec.dim != preset.dim),
            (f"px, listed as {preset.input_px}", spec.input_px != (preset.input_px,) * 2),
            ("listed as not on this machine", not encoders.is_local(name)),
        )
        if wrong
    ]
    return row


def _largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape:
        raise ValueError(f"shape {ours.shape}, upstream's is {theirs.shape}")
    return float(np.abs(ours.astype(np.float64) - theirs).max())


def show(row: dict[str, Any]) -> None:
    verdict = f"FAIL: {'; '.join(row['faults'])}" if row["faults"] else "ok"
    if "dim" not in row:
        print(f"{row['preset']:<24} {verdict}", flush=True)
        return
    params = f"{row['params_m']:.1f}" if row["params_m"] else "none"
    print(
        f"{row['preset']:<24} {row['dim']:>5} {row['input_px']:>4} {row['activation'] or '-':<17} "
        f"{'/'.join(map(str, row['layer_dims'])):>10} {params:>7} {row['feature']:>8.1e} "
        f"{row['pixel']:>8.1e} {row['seconds']:>6.1f} {verdict}",
        flush=True,
    )


def check(names: list[str]) -> list[dict[str, Any]]:
    """Print and return a row each, with an empty cache for every preset."""
    pictures = two_pictures()
    rows = []
    print(HEADER, flush=True)
    for name in names:
        try:
            row = measure(name, ENCODERS[name], pictures)
        except Exception as error:  # one preset must not hide the others
            row = {"preset": name, "faults": [f"{type(error).__name__}: {error}"]}
        show(row)
        rows.append(row)
        gc.collect()
        for part in CACHE.iterdir():
            shutil.rmtree(part)
    return rows


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    failed = sum(bool(row["faults"]) for row in rows)
    found = [{"name": f"presets that fail, of {len(rows)}", "asked": 0, "measured": failed}]
    for key, limit in (("feature", FEATURE), ("pixel", PIXEL)):
        worst = max((row[key] for row in rows if key in row), default=None)
        found.append({"name": f"largest {key} difference", "asked": limit, "measured": worst})
    return [
        {**each, "met": each["measured"] is not None and each["measured"] <= each["asked"]}
        for each in found
    ]


def no_network(*_: object) -> None:
    raise OSError("asked the network")


def main() -> int:
    known = [name for name, preset in ENCODERS.items() if preset.source != IMPORT_ONLY]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=known, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="the small ones and the floors")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # delete the folder then, too
    socket.socket.connect = no_network
    logging.getLogger().setLevel(logging.ERROR)  # of weights that are random: they are meant to be
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    rows = check(chosen.only or [n for n in known if n in QUICK or not chosen.quick])
    met = targets(rows)
    document = {
        "question": __doc__.splitlines()[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, two threads",
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "rows": rows,
        "targets": met,
    }
    print(json.dumps(document))
    return int(not all(each["met"] for each in met))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    finally:
        shutil.rmtree(CACHE)
