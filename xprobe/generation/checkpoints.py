"""Checkpoints of the library diffusers: folders, located or fetched, that bring no code unasked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.encoders.weights import hub_folder
from xprobe.generation.base import Parameter

INDEX = "model_index.json"
"""The file that names the pipeline of a checkpoint, and the component of each of its folders."""

# owner/name, a folder within the repository, and a branch, tag or commit.
_HUB_NAME = re.compile(r"([\w-][\w.-]*/[\w.-]+)((?:/[\w.-]+)*)(?:@([\w./-]+))?")

# Files of a component: settings, tokenizers, and weights but for their variants, such as .fp16.
_FILES = (
    "*.json", "*.txt", "*.model", "*.jinja",
    *(f"{name}{shard}.safetensors" for name in ("model", "diffusion_pytorch_model")
      for shard in ("", "-[0-9]*")),
)  # fmt: skip
_WEIGHTS = re.compile(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")

_DIGITS = 20  # of a digest, that tell any number of checkpoints apart

# Endings of weights that may run code when they are read.
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True)
class Preset:
    """A checkpoint by a short name.

    Attributes:
        name: its name on the hub.
        words: what it is, for lists.
        parameters: what its authors ask of it, unless others are given.
    """

    name: str
    words: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


PRESETS: Mapping[str, Preset] = {
    "rsedit": Preset(
        "BiliSakura/RSEdit-UNet-text-ablation/DGTRS-CLIP-ViT-L-14",
        "RSEdit-UNet: edits of satellite images by instruction, at 512 px",
        {"num_inference_steps": 50, "guidance_scale": 7.5, "image_guidance_scale": 1.5},
    ),
}


@dataclass(frozen=True)
class Checkpoint:
    """A pipeline on this machine.

    Attributes:
        name: how the user names it.
        folder: folder that holds `INDEX`.
        pipeline: name of the class of the pipeline.
        pipeline_file: name of the module in `folder` that defines it; empty: diffusers does.
        components: library and class of each component, whose folder has its name.
    """

    name: str
    folder: Path
    pipeline: str
    pipeline_file: str
    components: Mapping[str, tuple[str, str]]

    @cached_property
    def revision(self) -> str:
        """What tells these weights from others: a commit of the hub, else a digest of the files."""
        if commit := _commit_of(self.folder):
            return commit
        digest = hashlib.sha256()
        files = [file for name in self.components for file in (self.folder / name).rglob("*")]
        for file in sorted([self.folder / INDEX, *(f for f in files if f.is_file())]):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{file.relative_to(self.folder).as_posix()} {content}\n".encode())
        return f"sha256:{digest.hexdigest()[:_DIGITS]}"


def locate(model: str, *, allow_code: bool = False) -> Checkpoint:
    """Return the checkpoint of a preset, a folder, or a name ``owner/name[/folder][@revision]``.

    What the cache of the hub holds is taken from there, else it is fetched.

    Raises:
        XprobeError: there is none, a part of it is missing, its weights are in pickles, or it
            brings code of its own, which `allow_code` allows.
    """
    name = PRESETS[model].name if model in PRESETS else model
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / INDEX).is_file():
            raise XprobeError(f"{folder}: no {INDEX}, which every pipeline of diffusers has")
    elif match := _HUB_NAME.fullmatch(name):
        folder = _fetched(match[1], match[2].strip("/"), match[3], allow_code)
    else:
        raise XprobeError(
            f"{model}: no folder of a pipeline, no owner/name of the hub and no preset"
            f"{did_you_mean(model, PRESETS)}; presets: {', '.join(PRESETS)}"
        )
    checkpoint = _read(model, folder)
    if not allow_code:
        _refuse_code(checkpoint)
    if missing := missing_parts(folder, checkpoint.components):
        raise XprobeError(f"{folder}: not a whole pipeline; missing: {first_few(missing)}")
    return checkpoint


def missing_parts(folder: Path, components: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return which components of a pipeline lack their folder or weights, and which weights."""
    missing = []
    for name in components:
        part = folder / name
        if not part.is_dir():
            missing.append(f"{name}/")
        elif _is_network(part):
            missing += [f"{name}/{file}" for file in _missing_weights(part)]
    return missing


def _is_network(part: Path) -> bool:
    """Return whether a component has weights, which tokenizers and schedulers have not."""
    config = _fields_of(part / "config.json") if (part / "config.json").is_file() else {}
    return "_class_name" in config or "architectures" in config


def _missing_weights(part: Path) -> list[str]:
    """Return the files of weights that a network lacks."""
    names = {file.name for file in part.iterdir()}
    if not any(_WEIGHTS.fullmatch(name) for name in names):
        missing = "model.safetensors"
        if pickles := sorted(name for name in names if name.endswith(_PICKLES)):
            missing += (
                f" ({pickles[0]} is a pickle, which may run code when it is read: where you trust "
                f"it, load it by diffusers and save it again)"
            )
        return [missing]
    shards = {
        str(shard)
        for name in names
        if name.endswith(".safetensors.index.json")
        for shard in dict(_fields_of(part / name).get("weight_map", {})).values()
    }
    return sorted(shards - names)


def _read(model: str, folder: Path) -> Checkpoint:
    """Return the checkpoint of a folder, as its `INDEX` says.

    Raises:
        XprobeError: the file says something else.
    """
    index = _fields_of(folder / INDEX)
    pipeline = index.get("_class_name")
    names: Any = ["", pipeline] if isinstance(pipeline, str) else pipeline
    if not _is_pair(names):
        raise XprobeError(f"{folder / INDEX}: it names no pipeline (_class_name)")
    components = {
        name: (value[0], value[1])
        for name, value in index.items()
        if not name.startswith("_") and _is_pair(value)
    }
    return Checkpoint(model, folder, names[1], names[0], components)


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    )


def _fields_of(file: Path) -> Mapping[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        XprobeError: it holds none.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise XprobeError(f"{file}: cannot be read as JSON ({error})") from error
    if not isinstance(fields, dict):
        raise XprobeError(f"{file}: no JSON object")
    return fields


def _refuse_code(checkpoint: Checkpoint) -> None:
    """Raise if a checkpoint brings code of its own: a pipeline, a component, or an ``auto_map``.

    Raises:
        XprobeError: it does; the message names it.
    """
    folder = checkpoint.folder
    code = [f"{checkpoint.pipeline_file}.py"] if checkpoint.pipeline_file else []
    for name, (library, _) in checkpoint.components.items():
        if (folder / name / f"{library}.py").is_file():
            code.append(f"{name}/{library}.py")
        code += [
            f"auto_map of {name}/{file.name}"
            for file in sorted((folder / name).glob("*config.json"))
            if "auto_map" in _fields_of(file)
        ]
    if code:
        raise XprobeError(
            f"{checkpoint.name} brings code that would run on this machine ({first_few(code)}); "
            f"read it, and if you trust it give --allow-remote-code"
        )


def _fetched(repository: str, part: str, revision: str | None, allow_code: bool) -> Path:
    """Return the folder of a pipeline of the hub, `part` being its folder in the repository.

    Raises:
        XprobeError: it is not on this machine and cannot be fetched, or it brings a pipeline.
    """
    prefix = f"{part}/" if part else ""
    command = f"hf download {repository}"
    if revision:
        command += f" --revision {revision}"
    if part:
        command += f' --include "{part}/*"'
    folder = hub_folder(repository, revision or "main", prefix + INDEX, command=command)
    checkpoint = _read(repository, folder)
    needed = [f"{prefix}{name}/{file}" for name in checkpoint.components for file in _FILES]
    if not allow_code:
        _refuse_code(checkpoint)  # Before gigabytes are fetched.
    return hub_folder(
        repository,
        _commit_of(folder),  # The branch may move meanwhile.
        prefix + INDEX,
        [f"{prefix}*.py", *needed],
        lambda folder: not missing_parts(folder, checkpoint.components),
        command,
    )


def _commit_of(folder: Path) -> str:
    """Return the commit of a folder in the cache of the hub; empty if it is no such folder."""
    match = re.search(r"/snapshots/([0-9a-f]{40})(/|$)", folder.as_posix())
    return match[1] if match else ""
