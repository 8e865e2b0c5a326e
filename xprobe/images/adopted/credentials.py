"""Content Credentials (C2PA) of images, where c2pa-python is installed; nothing else needs it."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from PIL import Image

from xprobe.images import contents

_LIBRARY = "c2pa"

_MOST_CHARACTERS = 2**22

# A file may name a manifest that lies on a server, and servers for certificates; none is asked.
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def can_read() -> bool:
    """Return whether the library is installed, in a version that can be kept off the network."""
    return find_spec(_LIBRARY) is not None and hasattr(import_module(_LIBRARY), "Context")


def are_in(image: Image.Image) -> bool:
    """Return whether an opened PNG or JPEG has Content Credentials."""
    if image.format == "PNG":
        return any(chunk[0] == b"caBX" for chunk in getattr(image, "private_chunks", ()))
    return any(
        name == "APP11" and b"c2pa" in content for name, content in getattr(image, "applist", ())
    )


def read(path: str, kind: str) -> dict[str, str]:
    """Return maker, date and parent as the active manifest of an image names them.

    Args:
        path: path of the image.
        kind: its format, as Pillow names it.

    Raises:
        Exception: of any type, if they cannot be read.
    """
    library: Any = import_module(_LIBRARY)
    context = library.Context(settings=library.Settings.from_dict(_OFFLINE))
    with contents.stream_of(path) as stream:
        reader = library.Reader(f"image/{kind.lower()}", stream, context=context)
        text = reader.json()
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("longer than any that is known")
    return values_in(json.loads(text))


def values_in(store: Any) -> dict[str, str]:
    """Return maker, date and parent of a manifest store, as its JSON has them."""
    manifest = _within(_within(store, "manifests"), str(_within(store, "active_manifest")))
    actions = [
        action
        for assertion in _rows(manifest, "assertions")
        if str(_within(assertion, "label")).startswith("c2pa.actions")
        for action in _rows(_within(assertion, "data"), "actions")
    ]
    makers = [_within(action, "softwareAgent") for action in actions]
    makers += [*_rows(manifest, "claim_generator_info"), _within(manifest, "claim_generator")]
    dates = [_within(action, "when") for action in actions]
    dates.append(_within(_within(manifest, "signature_info"), "time"))
    parents = [
        _within(ingredient, "title")
        for ingredient in _rows(manifest, "ingredients")
        if _within(ingredient, "relationship") == "parentOf"
    ]
    names = [maker if isinstance(maker, str) else _within(maker, "name") for maker in makers]
    columns = {"maker": names, "date": dates, "parent": parents if len(parents) == 1 else []}
    return {
        name: next((v for v in values if isinstance(v, str) and v), "")
        for name, values in columns.items()
    }


def _within(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _rows(value: Any, name: str) -> list[Any]:
    rows = _within(value, name)
    return rows if isinstance(rows, list) else []
