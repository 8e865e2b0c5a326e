"""What encoders are called: their whole names, and the short ones that people read.

A whole name may hold the path of a file of weights. A short one never does: it is an alias that
somebody gave, or is made from the whole name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from xprobe.base.errors import XprobeError
from xprobe.encoders.presets import ENCODERS, canonical

LONGEST_ALIAS = 60

_WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".tar", ".json")

# So many digits of a key tell encoders apart that have nothing else.
_DIGITS = 8

_KEY = re.compile(rf"@[0-9a-f]{{{_DIGITS}}}$")


class Named(NamedTuple):
    """An encoder by its names.

    Attributes:
        key: digest of all that decides its features.
        name: its whole name.
        alias: short name that it has, or nothing.
    """

    key: str
    name: str
    alias: str = ""


def split_alias(text: str) -> tuple[str, str]:
    """Return alias and name of ``ALIAS=name``; the alias of a name alone is empty.

    The name is the short one if it is the long form of a preset.

    Raises:
        XprobeError: an alias that cannot be one.
    """
    alias, sign, name = text.partition("=")
    if not sign or re.search(r"[:/\\]", alias):  # The sign is part of a path.
        return "", canonical(text)
    alias, name = alias.strip(), canonical(name.strip())
    if not name:
        raise XprobeError(f"--encoder {text}: no encoder after the sign; write {text}clip-vit-b32")
    if not alias.isprintable() or not any(map(str.isalnum, alias)) or len(alias) > LONGEST_ALIAS:
        raise XprobeError(
            f"--encoder {text}: a short name has letters or digits, at most {LONGEST_ALIAS} "
            f"characters, and none of : / \\ ="
        )
    if alias in ENCODERS and alias != name:
        raise XprobeError(
            f"--encoder {text}: {alias} is an encoder of xprobe's own; choose another short name"
        )
    return alias, name


def asked_aliases(names: Iterable[str]) -> dict[str, str]:
    """Return encoders as a user asks for them: name → alias, which is empty where none is given.

    Raises:
        XprobeError: an alias that cannot be one, one alias of two encoders, or two of one.
    """
    asked: dict[str, str] = {}
    for text in names:
        alias, name = split_alias(text)
        if alias and alias in asked.values() and asked.get(name) != alias:
            raise XprobeError(f"--encoder {text}: {alias} is the short name of another encoder")
        if alias and asked.get(name, alias) not in ("", alias):
            raise XprobeError(f"--encoder {text}: {asked[name]} is its short name; give it one")
        asked[name] = alias or asked.get(name, "")
    return asked


def short_names(name: str) -> tuple[str, ...]:
    """Return short names that an encoder may have, the shortest first.

    The further ones say of which weights it is, by the stem of a file's name.
    """
    key = _KEY.search(name)
    if key is not None:
        return tuple(f"{short}{key[0]}" for short in short_names(name[: key.start()]))
    prefix, _, rest = canonical(name).partition(":")
    if not rest:
        return (prefix,)
    if prefix == "hf" or rest.startswith(("hf-hub:", "local-dir:")):
        return (_last_part(rest) or prefix,)
    model, sign, weights = rest.partition("/")
    if not sign:
        is_function = rest.isidentifier() and prefix not in ("timm", "torchvision", "builtin")
        return (f"{prefix}:{rest}",) if is_function else (rest,)
    if weights.startswith("hub:"):
        of_repository = weights.removeprefix("hub:").split("/")[1:2]
        return (model, "/".join([model, *of_repository]))
    if "/" in weights or "\\" in weights or weights.lower().endswith(_WEIGHTS):
        return (model, f"{model}/{_last_part(weights)}")
    return (f"{model}/{weights}",)


def _last_part(path: str) -> str:
    """Return the last name in a path, without the suffix of a file of weights."""
    parts: list[str] = re.split(r"[/\\:]", path)
    last = next((part for part in reversed(parts) if part), "")
    return next((last[: -len(s)] for s in _WEIGHTS if last.lower().endswith(s)), last)


def short_name(name: str) -> str:
    """Return what an encoder is called in titles if nobody gave it an alias."""
    return short_names(name)[0]


def titles_of(encoders: Sequence[Named]) -> dict[str, str]:
    """Return key → what the encoder is called in titles, no two of them the same.

    That is its alias, or a short name. An encoder whose short name another one has is told by its
    weights, and by digits of its key where they have one name, too.
    """
    choices = {encoder.key: _choices(encoder) for encoder in encoders}
    is_given = {encoder.key: bool(encoder.alias) for encoder in encoders}
    while True:
        sharing: dict[str, list[str]] = {}
        for key, names in choices.items():
            sharing.setdefault(names[0], []).append(key)
        clashes = [keys for keys in sharing.values() if len(keys) > 1]
        if not clashes:
            return {key: names[0] for key, names in choices.items()}
        for keys in clashes:
            owners = [key for key in keys if is_given[key]]
            for key in keys:
                if [key] != owners:  # What somebody chose goes before what was made.
                    choices[key] = choices[key][1:] or [f"{choices[key][0]}@{key}"]


def _choices(encoder: Named) -> list[str]:
    """Return what an encoder may be called, the best first."""
    names = [encoder.alias] if encoder.alias else list(dict.fromkeys(short_names(encoder.name)))
    return [*names, f"{names[-1]}@{encoder.key[:_DIGITS]}"]
