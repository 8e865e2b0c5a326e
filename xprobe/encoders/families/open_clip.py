"""Image towers of open_clip: ``open_clip:<model>/<tag, file or hub:org/repo/file>``."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xprobe.base.arrays import digest_of
from xprobe.base.errors import XprobeError, did_you_mean, first_few, first_line
from xprobe.encoders.agreement import check_view
from xprobe.encoders.base import TextSide
from xprobe.encoders.checkpoints import INDEX, read_checkpoint, shards_of
from xprobe.encoders.families.folders import Fields, read_fields
from xprobe.encoders.families.libraries import import_transformers
from xprobe.encoders.presets import canonical
from xprobe.encoders.states import check_tensors, pick_state
from xprobe.encoders.tower import Tower, View, Wish, check_layer, first_feature
from xprobe.encoders.weights import OPEN_CLIP_FILES, SCALARS, hub_file, load_strictly

if TYPE_CHECKING:
    import torch

CONFIG = "open_clip_config.json"

# The keys of a checkpoint under which open_clip looks for the weights.
_SETS = ("state_dict",)


def load(name: str, wish: Wish) -> Tower:
    """Return the image tower of an open_clip name (without the scheme).

    Raises:
        XprobeError: an unknown model or tag, weights that are nowhere or do not fit.
    """
    if wish.random:
        model = name if name.startswith("local-dir:") else _checked_model(name.partition("/")[0])
        return build(Source(model, None, _preprocess_of(model)), wish)
    source = replace(_source_of_name(name), label=canonical(f"open_clip:{name}"))
    return build(source, wish)


def _checked_model(model: str) -> str:
    import open_clip

    known = open_clip.list_models()
    if model not in known:
        raise XprobeError(f"open_clip has no model {model!r}{did_you_mean(model, known)}")
    return model


@dataclass(frozen=True)
class Source:
    """A network to build, its weights, and the preprocessing that its publisher states.

    Attributes:
        model: name in open_clip, or ``local-dir:<folder>``.
        checkpoint: file of weights; None: random ones.
        preprocess: fields of open_clip's preprocessing that differ from its default.
        label: what the user calls the encoder, for errors.
    """

    model: str
    checkpoint: Path | None
    preprocess: Fields
    label: str = "open_clip"

    @property
    def architecture(self) -> str:
        """The model's name, or for a folder a digest of its configuration."""
        if not self.model.startswith("local-dir:"):
            return self.model
        file = Path(self.model.removeprefix("local-dir:")) / CONFIG
        config = _read_config(file)["model_cfg"]
        return f"config-{digest_of({k: v for k, v in config.items() if k != 'text_cfg'})[:16]}"


def build(source: Source, wish: Wish) -> Tower:
    """Build an architecture, load its weights, if it has any, and take its image tower.

    Raises:
        XprobeError: weights that do not fit, or preprocessing that is not supported.
    """
    import torch
    from open_clip import factory

    model_name = source.model
    torch.manual_seed(0)  # Weights are random until they are loaded, or stay so on demand.
    import_transformers()  # open_clip may take a text side from it.
    logging.disable(logging.WARNING)  # open_clip warns of random weights.
    try:
        model = factory.create_model(model_name, load_weights=False, pretrained_text=False)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise XprobeError(
            f"{source.label}: open_clip cannot build {model_name}: {first_line(error)}"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    has_text = source.checkpoint is None or _load_weights(model, source.checkpoint)
    layer = check_layer(model_name, wish.layer, has_projection=True)
    if layer == "pooled":
        _remove_projection(model.visual, model_name)
    config = factory.get_model_config(model_name) if ":" not in model_name else None
    quick = bool((config or {}).get("quick_gelu", False))
    return Tower(
        _visual_tower(model.visual),
        f"open_clip:{source.architecture}",
        layer,
        _view_of_model(model, source),
        "" if config is None else "quick_gelu" if quick else "gelu",
        random=source.checkpoint is None,
        text=_text_side(model, source) if has_text else None,
    )


def _load_weights(model: Any, file: Path) -> bool:
    """Load a checkpoint into a model, and return whether it holds the text side, too.

    A checkpoint without any weight of the text side is loaded, with or without ``visual.`` before
    the names of its image tower; one of which a part of the tower is missing is refused.
    """
    from open_clip import factory

    content, tower, whole = read_checkpoint(file), model.visual.state_dict(), model.state_dict()
    named = {f"visual.{name}" for name in tower}
    state = pick_state(content, named, file, _SETS)
    if not named <= state.keys():
        bare = pick_state(content, tower.keys(), file, _SETS)
        if tower.keys() <= bare.keys():
            state = {f"visual.{name}": tensor for name, tensor in bare.items()}
    state = factory.convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = factory.convert_to_custom_text_state_dict(state)
    has_text = bool(state.keys() & (whole.keys() - named - set(SCALARS)))
    if not has_text:  # What is left beside the tower is a head of its fine-tuning.
        state = {k: v for k, v in state.items() if k.startswith("visual.")}
        state |= {k: v for k, v in whole.items() if k not in named}
    check_tensors(state, whole, file)
    load_strictly(model, state, file)
    return has_text


def _view_of_model(model: Any, source: Source) -> View:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    pre = {**model.visual.preprocess_cfg, **source.preprocess}
    size = pre["size"] if isinstance(pre["size"], (tuple, list)) else (pre["size"],) * 2
    file = source.model.removeprefix("local-dir:")
    try:
        view = View(
            input_px=(int(size[0]), int(size[1])),
            resize=pre["resize_mode"],
            interpolation=pre["interpolation"],
            mean=tuple(map(float, pre["mean"])),
            std=tuple(map(float, pre["std"])),
        )
        transform = image_transform_v2(PreprocessCfg(**pre), is_train=False)
    except (AssertionError, TypeError, ValueError, KeyError) as error:
        raise XprobeError(f"{file}: preprocess_cfg is not usable: {first_line(error)}") from error
    default = PreprocessCfg()
    odd = [f"{k} {v!r}" for k, v in pre.items() if v != getattr(default, k, v)]
    check_view(view, lambda image: transform(image).numpy(), file, odd or ["preprocess_cfg"])
    return view


def _text_side(model: Any, source: Source) -> TextSide:
    def embed(texts: Sequence[str]) -> tuple[torch.Tensor, float]:
        tokens = _tokenizer(source)(list(texts))
        return model.encode_text(tokens), model.logit_scale.exp().item()

    return embed


def _tokenizer(source: Source) -> Any:
    """Return the tokenizer; one of the hub is taken from the cache without asking the hub."""
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    if source.model.startswith("local-dir:"):
        return open_clip.get_tokenizer(source.model)
    text = (open_clip.get_model_config(source.model) or {}).get("text_cfg", {})
    repository = text.get("hf_tokenizer_name")
    if not repository:
        return open_clip.get_tokenizer(source.model)
    for file in ("tokenizer_config.json", "tokenizer.json"):
        folder = hub_file(repository, [file], source.label).parent
    return HFTokenizer(
        str(folder), context_length=text.get("context_length", 77),
        tokenizer_mode=text.get("tokenizer_mode"), **text.get("tokenizer_kwargs", {}),
    )  # fmt: skip


def _visual_tower(visual: torch.nn.Module) -> torch.nn.Module:
    """Let a tower return its feature alone, as some (CoCa) return (pooled, tokens)."""
    visual.register_forward_hook(lambda _module, _inputs, output: first_feature(output))
    return visual


def _remove_projection(visual: Any, name: str) -> None:
    """Let a tower end before its projection into the space shared with text."""
    import torch

    if getattr(visual, "proj", None) is not None:  # A vision transformer ends in this matrix.
        visual.proj = None
    elif hasattr(visual, "attnpool") and hasattr(visual.attnpool, "c_proj"):
        # torch's attention multiplies by the weight of `c_proj` without calling the module, so that
        # only a layer with the identity matrix can stand in its place.
        width = visual.attnpool.c_proj.in_features
        same = torch.nn.Linear(width, width)
        with torch.no_grad():
            same.weight.copy_(torch.eye(width))
            same.bias.zero_()
        visual.attnpool.c_proj = same
    elif hasattr(visual, "trunk") and hasattr(visual, "head"):  # a timm tower (SigLIP)
        visual.head = torch.nn.Identity()
    else:
        raise XprobeError(f"{name}: no layer before a projection is known; use --layer projected")


def _source_of_name(name: str) -> Source:
    import open_clip

    if name.startswith("local-dir:"):
        return _source_of_folder(Path(name.removeprefix("local-dir:")).expanduser())
    if name.startswith("hf-hub:"):
        repository = name.removeprefix("hf-hub:")
        config = hub_file(repository, [CONFIG], f"open_clip:{name}")
        hub_file(repository, OPEN_CLIP_FILES, f"open_clip:{name}")
        return _source_of_folder(config.parent)
    model, _, pretrained = name.partition("/")
    _checked_model(model)
    tags = open_clip.list_pretrained_tags_by_model(model)
    shown = first_few(tags, 9) or "none, so give a file"
    if not pretrained:
        raise XprobeError(
            f"open_clip:{model} needs weights: open_clip:{model}/<tag or file>; tags: {shown}"
        )
    if pretrained in tags:
        return _source_of_tag(model, pretrained)
    if pretrained.startswith("hub:"):
        repository, file = os.path.split(pretrained.removeprefix("hub:"))
        path = hub_file(repository, [file], canonical(f"open_clip:{name}"), f"open_clip:{model}/")
        return Source(model, path, _preprocess_of(model))
    path = Path(pretrained).expanduser()
    if path.is_file():
        return Source(model, path, _preprocess_of(model))
    if "/" in pretrained or path.suffix:
        raise XprobeError(f"open_clip:{name}: no checkpoint file {path}")
    raise XprobeError(
        f"open_clip:{model} has no weights {pretrained!r}{did_you_mean(pretrained, tags)}; tags: "
        f"{shown}"
    )


def _read_config(file: Path) -> Fields:
    """Return a folder's configuration, both parts of which must hold fields."""
    config = read_fields(file)
    for part in ("model_cfg", "preprocess_cfg"):
        if not isinstance(config.get(part, {}), dict) or "model_cfg" not in config:
            raise XprobeError(f"{file}: {part} holds no fields, as open_clip writes them")
    return config


def _source_of_folder(folder: Path) -> Source:
    from open_clip import factory

    if not (folder / CONFIG).is_file():
        raise XprobeError(
            f"open_clip:local-dir:{folder}: no file {folder / CONFIG}; name a folder that holds it "
            f"beside the weights"
        )
    _read_config(folder / CONFIG)
    checkpoint = factory._find_checkpoint_in_dir(folder)
    if checkpoint is None:
        raise XprobeError(f"open_clip:local-dir:{folder}: no weights in it")
    for index in sorted(folder.glob(f"*{INDEX}")):
        if Path(checkpoint).name in shards_of(index):
            return Source(f"local-dir:{folder}", index, {})
    return Source(f"local-dir:{folder}", Path(checkpoint), {})


def _source_of_tag(model: str, tag: str) -> Source:
    import open_clip

    config = dict(open_clip.get_pretrained_cfg(model, tag))
    trained_with = bool(config.get("quick_gelu", False))
    built_with = bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
    if trained_with != built_with:
        twin = model.removesuffix("-quickgelu") if built_with else f"{model}-quickgelu"
        raise XprobeError(
            f"open_clip:{model}/{tag}: these weights were trained with "
            f"{'QuickGELU' if trained_with else 'GELU'}, which {model} is not; use "
            f"open_clip:{twin}/{tag}"
        )
    repository, file = os.path.split(config.get("hf_hub") or "")
    name = canonical(f"open_clip:{model}/{tag}")
    if not repository:
        raise XprobeError(
            f"{name}: open_clip knows these weights by an address only ({config.get('url')}); "
            f"download it and name the file: --encoder open_clip:{model}/path/to/file"
        )
    names = [file] if file else OPEN_CLIP_FILES
    checkpoint = hub_file(repository, names, name, f"open_clip:{model}/")
    return Source(model, checkpoint, _only_preprocessing(config))


_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


def _only_preprocessing(config: Fields) -> Fields:
    return {k: config[k] for k in _PREPROCESSING if config.get(k)}


def _preprocess_of(model: str) -> Fields:
    """Return the preprocessing of an architecture, if all of its published weights agree on it.

    A file of weights does not state its preprocessing, and open_clip itself falls back to that of
    CLIP, which is wrong for SigLIP.
    """
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    known = [_only_preprocessing(dict(open_clip.get_pretrained_cfg(model, tag))) for tag in tags]
    return known[0] if known and all(config == known[0] for config in known) else {}
