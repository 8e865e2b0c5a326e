"""Image towers of timm: ``timm:<model>[@px][/file]`` or ``timm:local-dir:<folder>``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xprobe.base.arrays import digest_of
from xprobe.base.errors import XprobeError, did_you_mean, first_few, first_line
from xprobe.encoders.agreement import check_view
from xprobe.encoders.checkpoints import locate_weights, read_checkpoint
from xprobe.encoders.families.folders import Fields, read_fields
from xprobe.encoders.presets import canonical
from xprobe.encoders.states import COUNTER, State, check_tensors, pick_state
from xprobe.encoders.tower import Tower, View, Wish, check_layer
from xprobe.encoders.weights import TIMM_FILES, hub_file, refuse_misfit

# The keys of a checkpoint under which timm looks for the weights; it prefers averaged ones.
_SETS = ("state_dict_ema", "model_ema", "state_dict", "model")


def load(name: str, wish: Wish) -> Tower:
    """Return a timm model without its classifier: ``<architecture>.<tag>`` or with ``/<file>``.

    ``<architecture>.<tag>@64`` sees images of 64 x 64 pixels instead of those of its weights, and
    ``local-dir:<folder>`` is a folder with the config.json of a model on the hub.

    Raises:
        XprobeError: an unknown model or tag, weights that are nowhere or do not fit, preprocessing
            that is not supported, or a size of images that the network cannot take.
    """
    import timm

    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        return load_folder(folder, wish, None if wish.random else _weights_in(folder))
    model_name, _, file = name.partition("/")
    model_name, has_side, side = model_name.partition("@")
    px = _parse_side(name, side) if has_side else None
    architecture = model_name.partition(".")[0]
    if not timm.is_model(architecture):
        known = timm.list_models()
        raise XprobeError(f"timm has no model {architecture!r}{did_you_mean(architecture, known)}")
    tags = timm.list_pretrained(f"{architecture}.*")
    config = (
        None
        if "." in model_name and model_name not in tags and not file
        else (timm.get_pretrained_cfg(model_name, allow_unregistered=False))
    )
    if config is None:
        raise XprobeError(
            f"timm has no weights {model_name!r}{did_you_mean(model_name, tags)}; there are: "
            f"{first_few(tags, 9) or 'none, so give a file: timm:<model>/<file>'}"
        )
    full = f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
    checkpoint = None if wish.random else _checkpoint_file(full, file, config)
    # A network that takes one size alone, such as a ViT, is built for the size that is asked for.
    sized: Fields = {"img_size": px} if px and config.fixed_input_size else {}
    return _tower(_Source(full, full, sized, {}), checkpoint, wish, px)


@dataclass(frozen=True)
class _Source:
    """A network to build: its name in timm, its label, and what differs from the published one.

    Attributes:
        name: architecture and tag, or the architecture alone.
        label: how the spec names it.
        options: arguments of its construction.
        overlay: fields of timm's configuration of published weights that differ.
    """

    name: str
    label: str
    options: Fields
    overlay: Fields

    def build(self, state: State | None = None) -> Any:
        """Build the network, with the weights of a state dict if there is one."""
        import timm

        given = {} if state is None else {"state_dict": state}
        return timm.create_model(
            self.name, pretrained=state is not None,
            pretrained_cfg_overlay=self.overlay | given, **self.options,
        )  # fmt: skip


def knows(name: str) -> bool:
    """Return whether timm has an architecture of a name, such as ``resnet18`` or ``resnet18.tag``.

    Nobody is asked for weights. A name without a digit, or with a dash, is that of none, so that a
    slip in a short name does not import timm, which takes seconds.
    """
    if "-" in name or not any(letter.isdigit() for letter in name):
        return False
    import timm

    return bool(timm.is_model(name.partition("/")[0]))


def load_folder(folder: Path, wish: Wish, checkpoint: Path | None) -> Tower:
    """Return the model of a folder as timm saves it for the hub, by its config.json.

    Raises:
        XprobeError: the configuration is not readable, or names an unknown model or preprocessing;
            weights that do not fit.
    """
    import timm
    from timm.models import _hub

    file = folder / "config.json"
    config = read_fields(file)
    try:  # transformers writes a field without a value, which timm does not expect.
        stated = {k: v for k, v in config.items() if v is not None}
        fields, architecture, options = _hub._parse_model_cfg(stated, extra_fields={})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise XprobeError(f"{file}: not readable as timm's configuration") from error
    if not timm.is_model(architecture):
        raise XprobeError(
            f"{file}: timm has no model {architecture!r}"
            f"{did_you_mean(str(architecture), timm.list_models())}"
        )
    # Two folders of one architecture may differ in preprocessing, which is in the view, and in the
    # options that the network is built with, of which the label therefore has a digest.
    label = architecture if not options else f"{architecture}+{digest_of(options)[:16]}"
    if "num_classes" in fields:
        options = {"num_classes": fields["num_classes"]} | options
    return _tower(_Source(architecture, label, options, fields), checkpoint, wish, None)


def _weights_in(folder: Path) -> Path:
    if (file := locate_weights(folder, TIMM_FILES)) is not None:
        return file
    raise XprobeError(
        f"timm:local-dir:{folder}: no weights in it; it needs {' or '.join(TIMM_FILES)}"
    )


def _tower(source: _Source, checkpoint: Path | None, wish: Wish, px: int | None) -> Tower:
    import torch

    layer = check_layer(f"timm:{source.label}", wish.layer, has_projection=False)
    if checkpoint is None:
        torch.manual_seed(0)
        try:
            model = source.build()
        except (RuntimeError, TypeError, ValueError, KeyError, AssertionError) as error:
            raise XprobeError(f"timm:{source.label}: {first_line(error)}") from error
    else:
        model = _load_model(source, checkpoint)
    model.reset_classifier(0)
    view = _view_of_model(model, source.label, px)
    if px:
        _check_size(model, source.label, px)
    return Tower(model, f"timm:{source.label}", layer, view, random=wish.random)


def _parse_side(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise XprobeError(
            f"timm:{name}: after @ comes the side of the images in pixels, such as "
            f"timm:{name.partition('@')[0]}@64"
        )
    return int(text)


def _check_size(model: Any, full: str, px: int) -> None:
    import torch

    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, px, px))
    except (RuntimeError, AssertionError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise XprobeError(f"timm:{full} cannot take images of {px} pixels: {said}") from error


def _checkpoint_file(full: str, file: str, config: Any) -> Path:
    if file:
        path = Path(file).expanduser()
        if not path.is_file():
            raise XprobeError(f"timm:{full}/{file}: no checkpoint file {path}")
        return path
    if not config.hf_hub_id:
        raise XprobeError(
            f"timm has no weights of {full} on the hub; give a file: timm:{full}/FILE"
        )
    names = [config.hf_hub_filename] if config.hf_hub_filename else TIMM_FILES
    return hub_file(config.hf_hub_id, names, canonical(f"timm:{full}"), f"timm:{full}/")


def _load_model(source: _Source, checkpoint: Path) -> Any:
    """Let timm convert and load a checkpoint, strictly and without resampling.

    The classifier is cut off afterwards, so that any is taken and none is needed; every other
    weight must be there. timm silently resamples position embeddings of another image size, which
    is an error here unless the user chose a size.
    """
    import torch

    try:
        with torch.device("meta"):
            blank = source.build()
    except (RuntimeError, TypeError, ValueError, KeyError, AssertionError) as error:
        raise XprobeError(f"timm:{source.label}: {first_line(error)}") from error
    weights = blank.state_dict()
    heads = _heads(blank)
    body = [name for name in weights if not name.startswith(heads)]
    state = pick_state(read_checkpoint(checkpoint), body, checkpoint, _SETS)
    missing = [name for name in body if name not in state and not name.endswith(COUNTER)]
    if not missing:
        state = {k: v for k, v in state.items() if not k.startswith(heads)}
        state |= {k: torch.zeros(v.shape) for k, v in weights.items() if k.startswith(heads)}
    check_tensors(state, weights, checkpoint)
    try:
        model = source.build(state)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        faults = {
            "missing": missing,
            "unexpected": [k for k in state if k not in weights],
            "of another shape": _reshaped(state, weights),
        }
        refuse_misfit(faults, checkpoint)
        raise XprobeError(
            f"{checkpoint}: the weights do not fit the architecture {source.label}; convert them "
            f"to the names of timm, or name the architecture that they are of"
        ) from error
    if "img_size" not in source.options:
        resampled = [name for name in _reshaped(state, weights) if name == "pos_embed"]
        refuse_misfit({"of another shape": resampled}, checkpoint)
    return model


def _reshaped(state: State, weights: State) -> list[str]:
    """Return the names of the weights that have another shape than the network's."""
    return [k for k, v in weights.items() if k in state and v.shape != state[k].shape]


def _heads(model: Any) -> tuple[str, ...]:
    """Return the beginnings of the names of a model's classifiers."""
    named = (model.pretrained_cfg or {}).get("classifier") or ()
    return tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))


def _view_of_model(model: Any, label: str, px: int | None) -> View:
    """Return the preprocessing that a model's configuration states, as timm does it."""
    import timm.data

    data = timm.data.resolve_model_data_config(model)
    channels, height, width = data["input_size"]
    height, width = (px, px) if px else (height, width)
    data["input_size"] = (channels, height, width)
    mode, share = data["crop_mode"], data["crop_pct"]
    side = math.floor(height / share)
    stated = f"crop_mode {mode!r}, crop_pct {share}, input_size {channels, height, width}"
    if channels != 3 or mode not in ("center", "squash") or (height != width and side != height):
        raise XprobeError(f"timm:{label}: the preprocessing is not supported ({stated})")
    view = View(
        input_px=(height, width),
        resize="shortest" if mode == "center" else "squash",
        interpolation=data["interpolation"],
        mean=tuple(map(float, data["mean"])),
        std=tuple(map(float, data["std"])),
        resize_px=side if side != height else 0,
    )

    def see(image: Any) -> Any:
        return timm.data.create_transform(**data, is_training=False)(image).numpy()

    check_view(view, see, f"timm:{label}", [stated])
    return view
