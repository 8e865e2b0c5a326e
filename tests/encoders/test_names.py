"""Short names: no path of a file, and no two encoders with the same one."""

from __future__ import annotations

import pytest

from xprobe.base.errors import XprobeError
from xprobe.encoders.names import Named, asked_aliases, short_name, split_alias, titles_of


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("hog", "hog"),
        ("builtin:hog", "hog"),
        ("timm:tf_efficientnet_lite0//home/me/x.safetensors", "tf_efficientnet_lite0"),
        ("timm:tf_efficientnet_lite0/C:\\me\\x.pth", "tf_efficientnet_lite0"),
        ("timm:test_resnet@32", "test_resnet@32"),
        ("timm:test_resnet@32/x.pth", "test_resnet@32"),
        ("timm:local-dir:/home/me/my vit", "my vit"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32/hub:org/repository/x.pt", "ViT-B-32"),
        ("open_clip:ViT-B-32-quickgelu/openai", "clip-vit-b32"),
        ("hf:org/dinov2-large", "dinov2-large"),
        ("hf:~/models/dinov2-large/", "dinov2-large"),
        ("hf:/", "hf"),
        ("my_module:my_encoder", "my_module:my_encoder"),
        ("timm:vit//home/me/x.pth@1a2b3c4d", "vit@1a2b3c4d"),
    ],
)
def test_a_short_name_has_no_path(name: str, short: str) -> None:
    assert short_name(name) == short


def test_an_alias_stands_before_the_name() -> None:
    path = "timm:vit//data/x=1/w.pth"
    assert split_alias(f"帽 0={path}") == ("帽 0", path)
    assert split_alias(path) == ("", path)
    assert split_alias("clip=open_clip:ViT-B-32-quickgelu/openai") == ("clip", "clip-vit-b32")


@pytest.mark.parametrize(
    "text", ["a=", "=hog", "…=hog", "a\nb=hog", f"{'a' * 61}=hog", "hog=pixels"]
)
def test_what_cannot_be_an_alias_is_refused(text: str) -> None:
    with pytest.raises(XprobeError, match="--encoder"):
        split_alias(text)


def test_one_alias_is_of_one_encoder() -> None:
    assert asked_aliases(["a=hog", "pixels", "a=hog", "hog"]) == {"hog": "a", "pixels": ""}
    with pytest.raises(XprobeError, match="a is the short name of another encoder"):
        asked_aliases(["a=hog", "a=pixels"])
    with pytest.raises(XprobeError, match="a is its short name"):
        asked_aliases(["a=hog", "b=hog"])


def test_no_two_titles_are_the_same() -> None:
    """Weights tell encoders apart, then keys; what somebody chose stays as it is."""
    encoders = [
        Named("1" * 64, "timm:vit//a/one.pth"),
        Named("2" * 64, "timm:vit//a/two.pth"),
        Named("3" * 64, "timm:vit//b/two.pth"),
        Named("4" * 64, "hog", "mine"),
        Named("5" * 64, "hf:org/mine"),
        Named("6" * 64, "x", "both"),
        Named("7" * 64, "y", "both"),
    ]
    assert list(titles_of(encoders).values()) == [
        "vit/one", "vit/two@22222222", "vit/two@33333333", "mine", "mine@55555555",
        "both@66666666", "both@77777777",
    ]  # fmt: skip
