"""Keys of stored features, which must stay whatever becomes of the code that makes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xprobe.base import documents
from xprobe.encoders.spec import EncoderSpec

FIELDS: dict[str, Any] = {
    "source": "open_clip:ViT-B-32", "weights": "ab" * 32, "layer": "projected", "dim": 512,
    "input_px": (224, 224), "resize": "shortest", "interpolation": "bicubic",
    "mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711),
    "precision": "fp32", "preprocessing": "2",
}  # fmt: skip
KEYS: list[tuple[dict[str, Any], str]] = [
    ({}, "e16cc096c2ff86c42b70b1ad66420a07b45c9378cef5d3a7de05795a6f0af71d"),
    (
        {"mean": (0, 0, 0), "std": (1, 1, 1)},
        "c2be5dd980cbbc33f31d890119b1d7d863a51fe94d6a2c08070dc4193a4a2689",
    ),
    (
        {"mean": (0.0,) * 3, "std": (1.0,) * 3},
        "16bd2f5a734c5216a4ee4ec71978c894e37f827db37286072d1af10044b2810d",
    ),
    (
        {"mean": (), "std": ()},
        "0d5bab1def2f80cc0b692a1e46aaadd496ed9741b73f2d8f42cd2254dcb87399",
    ),
    (
        {"activation": "gelu", "resize_px": 232},
        "2e0e7ad3f9f5bf309022d7c8d1a5a9cd7f3707d7e2e3207faf057276e69ce05a",
    ),
    (
        {"codec": "jpeg-90"},
        "a2198a971023c6bcc4fbba0ba14562f5c2faef4cf16c99c85f8c5e116e06236d",
    ),
    (
        {"resampling": "fast"},
        "81bd0cad59f4b2987bdcfdeb1137a41edfdd6add7bcc1a119bdf6e342fe8a588",
    ),
    (
        {"weights": "random:0"},
        "8c1ec0c9644a3e9258e18cc45f6bb399c9266cf48a4455247a7241ebb09e659e",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key"), KEYS, ids=lambda part: str(part)[:30])
def test_keys_are_those_of_the_first_release_also_when_read_back(
    changes: dict[str, Any], key: str
) -> None:
    spec = EncoderSpec(**FIELDS | changes)
    assert spec.key == key
    raw = json.loads(documents.encode(spec))
    assert documents.from_json(EncoderSpec, raw).key == key
    older = {name: raw[name] for name in raw.keys() - {"activation", "resize_px", "codec"}}
    assert (documents.from_json(EncoderSpec, older).key == key) == (
        not changes.keys() & {"activation", "resize_px", "codec"}
    )


def test_a_spec_is_known_only_as_a_whole() -> None:
    assert EncoderSpec(**FIELDS).is_known
    assert not EncoderSpec(**FIELDS | {"resize": "letterbox"}).is_known
    assert not EncoderSpec(**FIELDS | {"precision": "fp8"}).is_known
    raw = json.loads(documents.encode(EncoderSpec(**FIELDS))) | {"crop": 0.9}
    assert not documents.from_json(EncoderSpec, raw).is_known
