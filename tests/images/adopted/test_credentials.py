"""Content Credentials: what is taken of a manifest store, and that no server is asked."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from xprobe.images.adopted import credentials

ACTION = {"action": "c2pa.edited", "softwareAgent": {"name": "Net"}}

STORE = {
    "active_manifest": "urn:2",
    "manifests": {
        "urn:1": {"claim_generator": "camera"},
        "urn:2": {
            "claim_generator": "editor/1.0",
            "claim_generator_info": [{"name": "Editor", "version": "1"}],
            "signature_info": {"time": "2025-06-03T10:11:12+00:00"},
            "ingredients": [
                {"title": "tile_7.png", "relationship": "parentOf"},
                {"title": "texture.png", "relationship": "componentOf"},
            ],
            "assertions": [
                {"label": "c2pa.hash.data", "data": {}},
                {"label": "c2pa.actions.v2",
                 "data": {"actions": [ACTION]}},
            ],
        },
    },
}  # fmt: skip


def test_the_active_manifest_is_read() -> None:
    read = {"maker": "Net", "date": "2025-06-03T10:11:12+00:00", "parent": "tile_7.png"}
    assert credentials.values_in(STORE) == read


@pytest.mark.parametrize(
    "store",
    [None, [], {}, {"manifests": [], "active_manifest": {}}, {"manifests": {"None": 7}},
     {"manifests": {"a": {"assertions": [7, {"label": "c2pa.actions", "data": {"actions": {}}}],
                          "ingredients": {}, "signature_info": ["x"]}}, "active_manifest": "a"}],
)  # fmt: skip
def test_a_store_of_any_other_form_says_nothing(store: Any) -> None:
    assert credentials.values_in(store) == {"maker": "", "date": "", "parent": ""}


def test_the_library_is_kept_off_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ModuleType("c2pa")
    library.__spec__ = ModuleSpec("c2pa", None)
    asked: list[Any] = []

    def reader(kind: str, _stream: object, *, context: object) -> SimpleNamespace:
        asked.append((kind, context))
        return SimpleNamespace(json=lambda: json.dumps(STORE))

    library.__dict__.update(
        Settings=SimpleNamespace(from_dict=lambda settings: settings),
        Context=lambda settings: settings, Reader=reader,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "c2pa", library)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert credentials.can_read()
    assert credentials.read(str(tmp_path / "a.png"), "PNG")["maker"] == "Net"
    offline = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    assert asked == [("image/png", offline)]
    del library.__dict__["Context"]  # An old version asks servers, whatever is said to it.
    assert not credentials.can_read()
