"""Shards are read only if they hold what was written; what cannot be read now is not damaged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from makers import SPEC, digest, manifest_of
from msgspec.structs import replace

from xprobe.base.errors import UnreadableError, XprobeError
from xprobe.features import shards
from xprobe.features.shards import Shard, ShardError, StoredEncoder
from xprobe.features.store import Store

IMAGES = manifest_of("a", "b", "c")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    encoder = store.add_encoder("golden", SPEC)
    store.write_shard(encoder, [digest("a"), digest("b")], np.eye(3)[:2], {})
    store.write_shard(encoder, [digest("c")], np.eye(3)[2:], {})
    return store


@pytest.fixture
def encoder(store: Store) -> StoredEncoder:
    return store.encoders()[0]


def shard_of(store: Store, encoder: StoredEncoder, content: str) -> Path:
    return store.index(encoder).rows[digest(content)][0]


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0x40
    file.write_bytes(bytes(content))


def flip_feature(file: Path) -> None:
    with h5py.File(file) as h5:
        place = h5["x"].id.get_offset() + 2
    flip(file, place)


def forge(
    store: Store, encoder: StoredEncoder, write: Callable[[h5py.File], object],
    renamed: bool = True,
) -> None:  # fmt: skip
    """Put a shard of another form in the place of that of c, with a receipt that fits its bytes."""
    old = shard_of(store, encoder, "c")
    (receipt,) = (file for file in store.receipt_files(encoder) if old.name in file.read_text())
    with h5py.File(old, "r+") as h5:
        write(h5)
    raw = json.loads(receipt.read_text())
    sha256 = hashlib.sha256(old.read_bytes()).hexdigest()
    raw |= {"sha256": sha256, "bytes": old.stat().st_size}
    if renamed:
        raw["shard"] = f"{old.name[:16]}-{sha256[:16]}.h5"
        old.rename(old.with_name(raw["shard"]))
    receipt.write_text(json.dumps(raw))


def test_a_flipped_bit_of_a_feature_is_told_with_the_shard_and_the_remedy(
    store: Store, encoder: StoredEncoder
) -> None:
    shard = shard_of(store, encoder, "c")
    flip_feature(shard)
    with pytest.raises(
        ShardError,
        match=rf"{shard.name}: missing or damaged \(other bytes .*'xprobe store verify .*then "
        r"delete .*receipts.*json and run 'xprobe embed' again",
    ):
        store.read(encoder, IMAGES)
    assert store.read(encoder, manifest_of("a", "b"))[0].x.tolist() == np.eye(3)[:2].tolist()


def test_no_bit_of_a_shard_can_be_flipped_unseen(store: Store, encoder: StoredEncoder) -> None:
    shard = shard_of(store, encoder, "a")
    whole = shard.read_bytes()
    for place in range(0, len(whole), 101):
        flip(shard, place)
        with pytest.raises(XprobeError):
            store.read(encoder, IMAGES)
        shard.write_bytes(whole)


def test_a_shard_is_checked_once_and_in_no_other_process(
    store: Store, encoder: StoredEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    check = Shard.check
    monkeypatch.setattr(Shard, "check", lambda shard: checked.append(shard.name) or check(shard))
    index = store.index(encoder)
    assert checked == []  # Who embeds needs no digest of what is there.
    stored = index.stored_rows([digest(name) for name in "abc"], 3)
    for rows in (stored, stored.select(np.array([0, 2])), pickle.loads(pickle.dumps(stored))):
        rows[np.arange(len(rows))]
    store.read(encoder, IMAGES, index)
    assert len(checked) == len(set(checked)) == 2
    store.read(encoder, IMAGES)
    assert len(checked) == 4  # The next run checks anew.


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("where", ["opened", "read"])
def test_a_shard_that_cannot_be_read_now_is_nothing_to_delete(
    store: Store, encoder: StoredEncoder, monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    away = OSError(code, os.strerror(code))

    def fail(*_: object, **__: object) -> None:
        raise away

    with monkeypatch.context() as patch:
        if where == "opened":
            patch.setattr(Path, "open", fail)
            patch.setattr(h5py, "File", fail)
        else:
            patch.setattr(h5py.Dataset, "__getitem__", fail)
        with pytest.raises(UnreadableError) as error:
            store.read(encoder, IMAGES)
    assert os.strerror(code).lower() in str(error.value) and "delete" not in str(error.value)
    assert ("ulimit" in str(error.value)) == (code == errno.EMFILE)
    assert len(store.read(encoder, IMAGES)[0].x) == 3


def test_a_shard_that_lacks_a_data_set_is_damaged(store: Store, encoder: StoredEncoder) -> None:
    with h5py.File(shard_of(store, encoder, "c"), "r+") as h5:
        h5.move("sha256", "s")
    with pytest.raises(ShardError, match=r"missing or damaged \(no sha256 of \(1, 32\) uint8\)"):
        store.index(encoder)


def elsewhere(h5: h5py.File) -> None:
    other = Path(h5.filename).with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((1, 3), np.float32)
    layout = h5py.VirtualLayout((1, 3), np.float32)
    layout[:] = h5py.VirtualSource(other, "x", (1, 3))
    del h5["x"]
    h5.create_virtual_dataset("x", layout)


def link(h5: h5py.File) -> None:
    elsewhere(h5)
    del h5["x"]
    h5["x"] = h5py.ExternalLink("other.h5", "x")


def replaced(values: Any) -> Callable[[h5py.File], None]:
    def write(h5: h5py.File) -> None:
        del h5["x"]
        h5["x"] = values

    return write


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (elsewhere, r"no x of \(1, 3\) float32"),
        (link, r"no x of \(1, 3\) float32"),
        (replaced(np.ones((1, 3))), r"no x of \(1, 3\) float32"),
        (replaced(np.ones((1, 4), np.float32)), r"no x of \(1, 3\) float32"),
        (lambda h5: h5.attrs.modify("encoder", "0" * 64), "features of another encoder"),
        (lambda h5: h5.attrs.pop("encoder"), "features of another encoder"),
    ],
    ids=["virtual", "external link", "float64", "wide", "other encoder", "no encoder"],
)
def test_a_shard_of_another_form_is_refused_though_its_receipt_fits(
    store: Store, encoder: StoredEncoder, write: Callable[[h5py.File], object], said: str
) -> None:
    forge(store, encoder, write)
    with pytest.raises(ShardError, match=said):
        store.read(encoder, IMAGES)


def test_a_shard_under_the_name_of_another_content_is_refused(
    store: Store, encoder: StoredEncoder
) -> None:
    """Merged, it would take the place of a shard of that name."""
    ones = np.ones((1, 3), np.float32)
    forge(store, encoder, lambda h5: h5["x"].write_direct(ones), renamed=False)
    with pytest.raises(ShardError, match="a name that is not that of its content"):
        store.read(encoder, IMAGES)


def test_a_link_or_a_pipe_in_the_place_of_a_shard_is_not_opened(
    store: Store, encoder: StoredEncoder, tmp_path: Path
) -> None:
    shard = shard_of(store, encoder, "c")
    shard.rename(tmp_path / "elsewhere.h5")
    shard.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(XprobeError, match=f"{shard.name}: no file, but a link"):
        store.read(encoder, IMAGES)
    shard.unlink()
    os.mkfifo(shard)  # Whoever opened it would wait for ever.
    with pytest.raises(XprobeError, match=f"{shard.name}: no file, but a link, a folder, a pipe"):
        store.read(encoder, IMAGES)


def test_imported_features_are_imported_again(store: Store) -> None:
    encoder = store.add_encoder("mine", replace(SPEC, source="import:mine"))
    store.write_shard(encoder, [digest("a")], np.eye(3)[:1], {})
    flip_feature(shard_of(store, encoder, "a"))
    with pytest.raises(ShardError, match="run 'xprobe import-features' again"):
        store.read(encoder, manifest_of("a"))


def test_rows_that_were_deleted_while_they_are_read_are_asked_for(
    store: Store, encoder: StoredEncoder
) -> None:
    stored = store.index(encoder).stored_rows([digest("a"), digest("c")], 3)
    for file in (shard_of(store, encoder, "c"), *store.receipt_files(encoder)):
        file.unlink()
    with pytest.raises(XprobeError, match=r"rows were deleted .*run 'xprobe embed' again"):
        stored[np.arange(2)]


def test_without_a_store_to_look_into_a_missing_shard_is_missing(
    store: Store, encoder: StoredEncoder
) -> None:
    shard = store.index(encoder).rows.shards[0]
    places = shards.Places([(shard, shard.digests())])
    stored = shards.StoredRows(places, np.arange(1), 3)
    shard.file.unlink()
    with pytest.raises(ShardError, match="no such file"):
        stored[np.arange(1)]
