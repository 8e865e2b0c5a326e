"""Image towers of transformers: ``hf:<org/repository or folder>``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, did_you_mean, first_few, first_line
from xprobe.encoders.base import TextSide
from xprobe.encoders.checkpoints import INDEX, locate_weights, read_checkpoint, shards_of
from xprobe.encoders.families.folders import Fields, read_fields
from xprobe.encoders.families.libraries import import_transformers
from xprobe.encoders.families.open_clip import Source, build
from xprobe.encoders.families.processors import PREPROCESSOR, PROCESSOR, read_view
from xprobe.encoders.families.timm import load_folder
from xprobe.encoders.presets import ENCODERS, canonical
from xprobe.encoders.states import State, check_tensors, pick_state
from xprobe.encoders.tower import Tower, View, Wish, check_layer
from xprobe.encoders.weights import TIMM_FILES, hub_file, refuse_misfit

# Heads that a checkpoint may bring along and an encoder has no use for.
_HEADS = ("classifier.", "decoder.", "head.", "cls_classifier.", "distillation_classifier.")

_ADAPTER = "adapter_config.json"

# The layers by which networks with a text side project an image's feature.
_PROJECTIONS = ("visual_projection", "vision_projection")


def load(name: str, wish: Wish) -> Tower:
    """Return the image tower of a transformers repository or folder.

    A folder whose config.json names an open_clip model (MVRL's RemoteCLIP) or a timm model is
    loaded as that.

    Raises:
        XprobeError: no such folder or repository, code that it brings along, preprocessing that is
            not supported, weights that are nowhere or do not fit.
    """
    folder, checkpoint = _locate_files(name, with_weights=not wish.random)
    config = read_fields(folder / "config.json")
    if "model_type" not in config and "model_name" in config:
        return _wrapped_open_clip(config["model_name"], checkpoint, wish)
    if config.get("model_type") in (None, "timm_wrapper") and "architecture" in config:
        return load_folder(folder, wish, checkpoint)
    _refuse_unusable(folder, config)
    view = read_view(folder)
    return _load_tower(folder, checkpoint, view, wish, canonical(f"hf:{name}"))


def _locate_files(name: str, with_weights: bool) -> tuple[Path, Path | None]:
    """Return the folder of the configuration and the weights file, or the index of its shards."""
    path = Path(name).expanduser()
    if path.is_dir():
        _refuse_adapter(path)
        if not (path / "config.json").is_file():
            raise XprobeError(f"hf:{name}: no file {path / 'config.json'}")
        if not with_weights:
            return path, None
        if (file := locate_weights(path, TIMM_FILES)) is not None:
            return path, file
        raise XprobeError(f"hf:{name}: no weights in {path}; it needs {' or '.join(TIMM_FILES)}")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith((".", "/", "~")):
        raise XprobeError(f"hf:{name}: no such folder, and not a repository's org/name either")
    label = canonical(f"hf:{name}")
    config = hub_file(name, ["config.json"], label, "hf:")
    checkpoint = None
    if with_weights:
        files = [*TIMM_FILES, *(f"{file}{INDEX}" for file in TIMM_FILES)]
        checkpoint = hub_file(name, files, label, "hf:")
        if checkpoint.name.endswith(INDEX):
            for shard in shards_of(checkpoint):
                hub_file(name, [shard], label, "hf:")
    if "model_type" in read_fields(config):
        stated = hub_file(name, [PROCESSOR, PREPROCESSOR], label, "hf:")
        if stated.name == PROCESSOR and "image_processor" not in stated.read_text(encoding="utf-8"):
            hub_file(name, [PREPROCESSOR], label, "hf:")
    return config.parent, checkpoint


def _refuse_adapter(folder: Path) -> None:
    if not (folder / _ADAPTER).is_file():
        return
    base = read_fields(folder / _ADAPTER).get("base_model_name_or_path") or "its base"
    raise XprobeError(
        f"{folder}: an adapter ({_ADAPTER}) of {base}, not a network; merge it with peft: "
        f"PeftModel.from_pretrained(base, FOLDER).merge_and_unload().save_pretrained(NEW), copy "
        f"{PREPROCESSOR} of the base beside it, and name hf:NEW"
    )


def _refuse_unusable(folder: Path, config: Fields) -> None:
    """Refuse a folder whose network needs code that it brings along, or is quantised."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        scripts = sorted(file.name for file in folder.glob("*.py"))
        if "auto_map" in config or scripts:
            raise XprobeError(
                f"{folder}: it brings code of its own ({first_few(scripts) or 'auto_map'}), which "
                f"xprobe does not run; embed with it elsewhere and run 'xprobe import-features "
                f"FILE'"
            )
        version = import_transformers().__version__
        raise XprobeError(
            f"{folder / 'config.json'}: transformers {version} knows no model_type {kind!r}"
        )
    if config.get("quantization_config"):
        raise XprobeError(
            f"{folder / 'config.json'}: quantization_config: quantised weights are not supported; "
            f"save the network in float32 or bfloat16"
        )


def _wrapped_open_clip(model_name: str, checkpoint: Path | None, wish: Wish) -> Tower:
    import open_clip

    if model_name not in open_clip.list_models():
        known = open_clip.list_models()
        raise XprobeError(f"open_clip has no model {model_name!r}{did_you_mean(model_name, known)}")
    return build(Source(model_name, checkpoint, {}), wish)


def _load_tower(folder: Path, checkpoint: Path | None, view: View, wish: Wish, name: str) -> Tower:
    """Build a network, load its weights strictly, and take its image tower."""
    import torch

    transformers = import_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if config.model_type == "vit_mae":
            config.mask_ratio = 0.0  # By default 75 % of the image is masked.
        kind, named = _class_of_config(config)
        torch.manual_seed(0)
        if checkpoint is None:
            model, info = kind._from_config(config), {}
        else:
            state = _read_weights(kind, config, checkpoint)
            model, info = kind.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True,
                dtype=torch.float32,
            )  # fmt: skip
    except XprobeError:
        raise
    except Exception as error:  # A wrong configuration meets a dozen types of errors.
        raise XprobeError(f"{folder}: {first_line(error)}") from error
    missing = set(info.get("missing_keys", ()))
    if _takes_class_token(config.model_type) and any(k.startswith("pooler.") for k in missing):
        model.pooler = None  # No feature depends on it, so its random weights must not be digested.
    tower, layer, needed = _image_tower(model, wish, view)
    if checkpoint is not None:
        # What the class that was saved has beside the one that is loaded is its head.
        saved = _weights_of(named, config) if named is not None else {}
        heads = {k.removeprefix(f"{kind.base_model_prefix}.") for k in saved} | saved.keys()
        refuse_misfit(
            {
                "missing": sorted(missing & needed),
                "unexpected": [
                    k for k in sorted(info["unexpected_keys"])
                    if not k.startswith(_HEADS) and k not in heads
                ],
            },
            checkpoint,
        )  # fmt: skip
    has_text = hasattr(model, "get_text_features") and not missing - needed
    text = _text_side(model, name, folder) if has_text else None
    source = model.config.to_dict()
    activation = str((source.get("vision_config") or source).get("hidden_act") or "")
    return Tower(tower, f"hf:{model.config.model_type}", layer, view, activation, wish.random, text)


def _class_of_config(config: Any) -> tuple[Any, Any]:
    """Return the class to load a network as, and the class that it was saved as, if it is known.

    The first is that of AutoModel, unless the network was saved without the text side that this
    has, or with a projection that it lacks.
    """
    transformers = import_transformers()
    try:
        general = transformers.MODEL_MAPPING[type(config)]
    except KeyError:
        raise XprobeError(
            f"hf:{config.model_type}: transformers has no network of this kind that embeds images"
        ) from None
    general = general[0] if isinstance(general, (tuple, list)) else general
    named = getattr(transformers, str((config.architectures or [""])[0]), None)
    if not isinstance(named, type) or getattr(named, "config_class", None) is not type(config):
        return general, None
    is_dual = hasattr(general, "get_image_features")
    lacks_text = is_dual and not hasattr(named, "get_image_features")
    projects = not is_dual and named.__name__.endswith("WithProjection")
    return (named if lacks_text or projects else general), named


def _weights_of(kind: Any, config: Any) -> State:
    """Return the weights of a class of networks, without values."""
    import torch

    with torch.device("meta"):
        weights: State = kind(config).state_dict()
    return weights


def _read_weights(kind: Any, config: Any, checkpoint: Path) -> State:
    """Return the weights of a checkpoint under the names that transformers knows or converts."""
    weights = _weights_of(kind, config)
    state = pick_state(read_checkpoint(checkpoint), weights, checkpoint)
    check_tensors(state, weights, checkpoint)
    reshaped = [k for k, v in state.items() if k in weights and weights[k].shape != v.shape]
    refuse_misfit({"of another shape": reshaped}, checkpoint)
    return state


def _takes_class_token(model_type: str) -> bool:
    """Return whether the feature is the class token, as the pooler was often never trained."""
    return model_type in ("vit", "vit_mae", "deit", "beit", "data2vec-vision", "vit_msn")


def _image_tower(model: Any, wish: Wish, view: View) -> tuple[Any, str, set[str]]:
    """Return the image tower of a network, its layer, and the names of its weights in the network.

    Raises:
        XprobeError: the network has no image side, or no such layer.
    """
    import torch

    kind = model.config.model_type
    dual = hasattr(model, "get_image_features")
    projection = next((getattr(model, p) for p in _PROJECTIONS if hasattr(model, p)), None)
    # The text side decides no feature, so it must not decide the digest either.
    is_part = dual or projection is not None or hasattr(model.config, "vision_config")
    vision = getattr(model, "vision_model", None) if is_part else model
    if vision is None or getattr(vision, "main_input_name", "pixel_values") != "pixel_values":
        raise XprobeError(f"hf:{kind}: {type(model).__name__} has no image tower that is known")
    layer = check_layer(f"hf:{kind}", wish.layer, has_projection=dual or projection is not None)
    extra = _unmasked(vision) if kind == "vit_mae" else lambda _: {}

    class Image(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vision: Any = vision
            self.projection = projection

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flip(1) if view.channels == "bgr" else x
            output = self.vision(pixel_values=x, **extra(x))
            if _takes_class_token(kind):
                first: torch.Tensor = output.last_hidden_state[:, 0]
                return first
            feature: torch.Tensor = output.pooler_output.flatten(1)
            if layer == "projected" and self.projection is not None:
                feature = self.projection(feature)
            return feature

    tower = Image()
    if dual and layer == "projected":
        _check_projection(model, tower.eval(), view)
    parts = {id(v) for v in tower.state_dict(keep_vars=True).values()}
    needed = {k for k, v in model.state_dict(keep_vars=True).items() if id(v) in parts}
    return tower, layer, needed


def _check_projection(model: Any, tower: Any, view: View) -> None:
    """Refuse a network whose image feature is made in another way than by its known projection."""
    import torch

    if model.config.model_type in ("clip", "siglip"):
        return  # Most networks are of these two, and a forward pass may take seconds.
    noise = torch.randn(1, 3, *view.input_px, generator=torch.Generator().manual_seed(0))
    model.eval()
    try:
        with torch.inference_mode():
            output = model.get_image_features(pixel_values=noise)
            expected, feature = getattr(output, "pooler_output", output), tower(noise)
    except Exception as error:  # Every network refuses what it cannot take in its own way.
        raise XprobeError(f"hf:{model.config.model_type}: {first_line(error)}") from error
    if feature.shape != expected.shape or not torch.allclose(feature, expected, rtol=1e-3):
        raise XprobeError(
            f"hf:{model.config.model_type}: its projection is of a kind that is not known; use "
            f"--layer pooled"
        )


def _unmasked(vision: Any) -> Callable[[Any], dict[str, Any]]:
    """Return the argument by which a masked autoencoder keeps all patches, in their order."""
    import torch

    n = vision.embeddings.patch_embeddings.num_patches

    def order(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"noise": torch.arange(float(n), device=x.device).expand(len(x), n)}

    return order


def _text_side(model: Any, name: str, folder: Path) -> TextSide:
    def embed(texts: Sequence[str]) -> tuple[Any, float]:
        transformers = import_transformers()
        if not Path(name.removeprefix("hf:")).is_dir():
            repository = ENCODERS[name].hub if name in ENCODERS else name.removeprefix("hf:")
            hub_file(repository, ["tokenizer_config.json"], name, "hf:")
            hub_file(repository, ["tokenizer.json", "spiece.model", "vocab.json"], name, "hf:")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError) as error:
            raise XprobeError(f"{name}: no tokenizer: {str(error).splitlines()[0]}") from error
        # SigLIP was trained on texts that are padded to the full length.
        longest = model.config.text_config.max_position_embeddings
        tokens = tokenizer(
            list(texts), padding="max_length", max_length=longest, truncation=True,
            return_tensors="pt",
        )  # fmt: skip
        known = {k: v for k, v in tokens.items() if k in ("input_ids", "attention_mask")}
        if model.config.model_type == "siglip":
            known.pop("attention_mask", None)
        output = model.get_text_features(**known)
        return getattr(output, "pooler_output", output), model.logit_scale.exp().item()

    return embed
