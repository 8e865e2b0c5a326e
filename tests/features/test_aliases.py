"""Aliases of stored encoders: given, changed, refused, and what they pick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import SPEC, digest, manifest_of
from msgspec import structs

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.features.aliases import choose_encoders, give_aliases, whole_names
from xprobe.features.store import Store
from xprobe.features.upkeep import describe, merge

IMAGES = manifest_of("a", "b")

LONG = "timm:vit//home/me/w.pth"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return two_encoders(tmp_path / "features")


def two_encoders(folder: Path) -> Store:
    store = Store(folder, create=True)
    for name, spec in ((LONG, SPEC), ("hog", structs.replace(SPEC, layer="other"))):
        encoder = store.add_encoder(name, spec)
        store.write_shard(encoder, [digest("a"), digest("b")], np.eye(3)[:2], {})
    return store


def names_of(store: Store, *names: str) -> list[str]:
    return [encoder.name for encoder, _ in choose_encoders(store, IMAGES, names)]


def test_an_alias_is_kept_beside_the_features_and_picks_the_encoder(store: Store) -> None:
    key = SPEC.key
    assert store.titles()[key] == "vit"
    assert names_of(store, "vit") == [LONG]
    assert names_of(store, f"lite={LONG}") == [LONG]
    for name in (LONG, "lite", "vit", f"lite@{key[:8]}"):
        assert names_of(store, name) == [LONG]
    assert store.titles() == {key: "lite"} | {e.key: "hog" for e in store.find("hog")}
    assert store.labels()[key] == LONG
    (encoder,) = store.find("lite")
    assert encoder.key == key and describe(store, encoder).alias == "lite"
    assert len(store.index(encoder).rows) == 2


def test_another_alias_renames_and_says_so(store: Store, recwarn: pytest.WarningsRecorder) -> None:
    give_aliases(store, {SPEC.key: "one"})
    give_aliases(store, {SPEC.key: "one"})
    assert not recwarn.list
    with pytest.warns(XprobeWarning, match=f"{LONG} was called one, and is two from now on"):
        give_aliases(store, {SPEC.key: "two"})
    with pytest.raises(XprobeError, match="no features of 'one'"):
        store.find("one")


@pytest.mark.parametrize("alias", ["mine", LONG])
def test_what_another_encoder_is_called_is_refused(store: Store, alias: str) -> None:
    (other,) = store.find("hog")
    give_aliases(store, {SPEC.key: "mine"})
    with pytest.raises(XprobeError, match=f"{alias} is what {LONG} .* choose another"):
        give_aliases(store, {other.key: alias})
    assert store.titles()[other.key] == "hog"


def test_two_encoders_may_change_aliases(store: Store) -> None:
    (other,) = store.find("hog")
    give_aliases(store, {SPEC.key: "one", other.key: "two"})
    with pytest.warns(XprobeWarning):
        give_aliases(store, {SPEC.key: "two", other.key: "one"})
    assert store.titles() == {SPEC.key: "two", other.key: "one"}


def test_one_of_several_encoders_of_a_name_has_to_be_named(store: Store) -> None:
    store.add_encoder("hog", structs.replace(SPEC, layer="third"))
    with pytest.raises(XprobeError, match=r"several encoders called hog.*hog@"):
        choose_encoders(store, IMAGES, ["mine=hog"])


def test_an_alias_stands_for_the_whole_name_where_images_are_embedded(store: Store) -> None:
    give_aliases(store, {SPEC.key: "lite"})
    assert whole_names(store.folder, ["lite", "pixels"]) == {LONG: "", "pixels": ""}
    assert whole_names(store.folder / "none", ["lite"]) == {"lite": ""}


def test_a_merge_takes_aliases_along(store: Store, tmp_path: Path) -> None:
    give_aliases(store, {SPEC.key: "lite"})
    into = Store(tmp_path / "into", create=True)
    merge(store, into)
    assert into.titles()[SPEC.key] == "lite"
    taken = two_encoders(tmp_path / "taken")
    (other,) = taken.find("hog")
    give_aliases(taken, {other.key: "lite"})
    with pytest.warns(XprobeWarning, match="lite is what hog"):
        merge(store, taken)
    assert taken.titles() == {SPEC.key: "vit", other.key: "lite"}
