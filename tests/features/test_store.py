"""The feature store: what it promises in docs/reference/store.md, under kills, races and damage."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from makers import SPEC, digest, featured, manifest_of, write_all
from msgspec.structs import replace

from xprobe.base.atomic import create_if_absent, put
from xprobe.base.errors import XprobeError
from xprobe.features import records, shards
from xprobe.features.aliases import choose_encoders
from xprobe.features.store import Store

GOLDEN = Path(__file__).parents[1] / "golden" / "store-v1"


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    write_all(store)
    return store


def test_a_store_of_format_1_is_read_to_the_last_bit() -> None:
    store = Store(GOLDEN)
    (encoder,) = store.encoders()
    assert (encoder.name, encoder.spec, encoder.key) == ("golden", SPEC, SPEC.key)
    features, failed = store.read(encoder, manifest_of("c", "bad", "a", "b"))
    expected = np.array([[0.5, -1, 1e-3], [0, 1, 2], [3, 4, 5]], dtype=np.float32)
    np.testing.assert_array_equal(features.x, expected)
    assert list(features.id) == ["0-c", "2-a", "3-b"]
    assert failed == {"1-bad": "not an image"}


def test_rows_follow_the_content_whatever_the_id(filled: Store) -> None:
    (encoder,) = filled.encoders()
    features, failed = filled.read(encoder, manifest_of("b", "a", "b"))
    np.testing.assert_array_equal(features.x, np.eye(3)[[1, 0, 1]])
    assert failed == {}
    assert not features.x.flags.writeable


@pytest.mark.parametrize("at_once", [1, 8192])
def test_features_are_read_by_row_across_shards_in_any_order(
    filled: Store, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_READ_ROWS", at_once)
    (encoder,) = filled.encoders()
    ids, stored, failed = filled.locate(encoder, manifest_of("c", "bad", "a", "b"))
    assert list(ids) == ["0-c", "2-a", "3-b"] and list(failed) == ["1-bad"]
    assert len(stored) == 3
    np.testing.assert_array_equal(stored[np.array([2, 0, 2, 1])], np.eye(3)[[1, 2, 1, 0]])
    own = stored.select(np.array([2, 0]))
    np.testing.assert_array_equal(own[np.array([1])], np.eye(3)[[2]])


def test_an_unreadable_file_takes_no_part_and_a_new_one_is_asked_for(filled: Store) -> None:
    (encoder,) = filled.encoders()
    _, failed = filled.read(encoder, manifest_of("a", ""))
    assert failed == {"1-": "no such file"}
    with pytest.raises(XprobeError, match=r"1 of 2 images .*run 'xprobe embed --encoder golden'"):
        filled.read(encoder, manifest_of("a", "new"))


def test_places_know_what_is_there_whatever_its_digits(tmp_path: Path) -> None:
    """Digests that end in zeros, too, which text of fixed width does not keep."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (50, 32), dtype=np.uint8)
    raw[:10, -3:] = 0
    raw[10] = 0
    names = [bytes(own).hex() for own in raw]
    encoder = shards.StoredEncoder("golden", SPEC.key, SPEC, tmp_path)
    one, two = (shards.Shard(encoder, name, tmp_path, 0, 0, "") for name in ("one", "two"))
    files = [one.file, two.file]
    places = shards.Places([(one, raw[:30]), (two, raw[20:])])  # ten in both
    assert len(places) == 50 and set(places) == set(names)
    assert [places[name] for name in names[:30]] == [(files[0], i) for i in range(30)]
    assert [places[name] for name in names[30:]] == [(files[1], i) for i in range(10, 30)]
    other = bytes(rng.integers(0, 256, 32, dtype=np.uint8)).hex()
    assert other not in places and "" not in places and names[0] in places
    with pytest.raises(KeyError, match=other):
        places.find([names[3], other])
    assert list(shards.Places([])) == []


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        store = Store(tmp_path / name, create=True)
        store.write_shard(store.add_encoder("golden", SPEC), [digest("a")], np.ones((1, 3)), {})
        (shard,) = (tmp_path / name).glob("*/shards/*.h5")
        files.append((shard.name, shard.read_bytes()))
    assert files[0] == files[1]
    assert hashlib.sha256(files[0][1]).hexdigest()[:16] in files[0][0]


def test_every_field_of_the_spec_changes_the_key() -> None:
    other = {
        "source": "s", "weights": "w", "layer": "l", "dim": 4, "input_px": (4, 5),
        "resize": "shortest", "interpolation": "bilinear", "mean": (0.1,) * 3, "std": (0.9,) * 3,
        "precision": "bf16", "preprocessing": "2", "activation": "gelu", "resize_px": 8,
    }  # fmt: skip
    keys = {SPEC.key} | {replace(SPEC, **{name: value}).key for name, value in other.items()}
    assert len(keys) == 1 + len(other)


def test_two_specs_of_one_name_lie_side_by_side_and_are_told_apart(filled: Store) -> None:
    bf16 = filled.add_encoder("golden", replace(SPEC, precision="bf16"))
    labels = filled.labels()
    assert sorted(labels.values()) == sorted(f"golden@{k[:8]}" for k in (SPEC.key, bf16.key))
    assert filled.find(f"golden@{bf16.key[:8]}") == [bf16]
    assert len(filled.find("golden")) == 2
    with pytest.raises(XprobeError, match="did you mean golden"):
        filled.find("golde")


def test_an_encoder_may_have_an_at_in_its_name(filled: Store) -> None:
    sized = filled.add_encoder("golden@32", replace(SPEC, input_px=(32, 32)))
    assert filled.find("golden@32") == [sized]
    assert filled.find(f"golden@32@{sized.key[:6]}") == [sized]
    assert sized not in filled.find("golden")


def test_a_newer_format_is_refused(filled: Store) -> None:
    marker = filled.folder / "format.json"
    marker.write_text(json.dumps({"format": records.FORMAT, "version": records.VERSION + 1}))
    with pytest.raises(XprobeError, match="format 2, and this xprobe reads up to 1; upgrade"):
        Store(filled.folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "version": 1}'])
def test_a_foreign_marker_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format.json").write_text(text)
    with pytest.raises(XprobeError, match="not the marker of a feature store"):
        Store(tmp_path)


def test_a_missing_store_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match="xprobe embed"):
        Store(tmp_path / "none")


def test_a_shard_counts_only_with_its_receipt(filled: Store) -> None:
    (encoder,) = filled.encoders()
    for receipt in (encoder.folder / "receipts").iterdir():
        receipt.unlink()
    assert not filled.index(encoder).rows


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_shard_is_named_with_the_remedy(filled: Store, damage: str) -> None:
    (encoder,) = filled.encoders()
    for shard in (encoder.folder / "shards").iterdir():
        content = shard.read_bytes()
        shard.unlink()
        if damage == "cut":
            shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(XprobeError, match=r"missing or damaged \(.*delete .*receipts.*json"):
        filled.index(encoder)


def test_two_writers_of_the_same_rows_leave_one_receipt_and_one_row(filled: Store) -> None:
    (encoder,) = filled.encoders()
    before = sorted(p.name for p in encoder.folder.rglob("*"))
    filled.write_shard(encoder, [digest("b"), digest("a")], np.eye(3)[[1, 0]], {digest("bad"): "y"})
    assert sorted(p.name for p in encoder.folder.rglob("*")) == before


def test_features_that_are_not_finite_are_refused(filled: Store) -> None:
    (encoder,) = filled.encoders()
    with pytest.raises(XprobeError, match="not finite"):
        filled.write_shard(encoder, [digest("n")], np.full((1, 3), np.nan), {})


def test_the_first_of_two_creators_wins(tmp_path: Path) -> None:
    file = tmp_path / "receipt"
    assert create_if_absent(file, b"first")
    assert not create_if_absent(file, b"second")
    assert file.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [file]


def test_without_hard_links_a_receipt_is_still_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr("os.link", refuse)
    file = tmp_path / "receipt"
    assert create_if_absent(file, b"first")
    assert not create_if_absent(file, b"second")
    assert file.read_bytes() == b"first"


def test_a_full_disk_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    put(file, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


KILLED_WRITERS = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from makers import write_all
from xprobe.features.aliases import choose_encoders
from xprobe.features.store import Store

def count(function):
    def counted(*args, **kwargs):
        global calls
        calls += 1
        if calls == instant:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        calls += 1
        if calls == instant:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return counted

for instant in range(1, 200):
    child = os.fork()  # Libraries are loaded once for all.
    if child == 0:
        calls = 0
        for name in ("link", "replace", "fsync", "unlink", "rename", "mkdir"):
            setattr(os, name, count(getattr(os, name)))
        write_all(Store(f"{sys.argv[1]}/killed-{instant}", create=True))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status)
    if status == 0:
        break
"""


@pytest.mark.long
def test_killed_at_any_step_it_finishes_later_with_the_same_rows(
    tmp_path: Path, filled: Store
) -> None:
    """Every system call that changes the disk is an instant to be killed at, before and after."""
    (encoder,) = filled.encoders()
    wanted = manifest_of("a", "b", "bad", "c")
    expected, _ = filled.read(encoder, wanted)
    command = [sys.executable, "-c", KILLED_WRITERS, str(tmp_path)]
    done = subprocess.run(
        [*command, str(Path(__file__).parents[1])], check=True, stdout=subprocess.PIPE, text=True
    )
    *killed, last = map(int, done.stdout.split())
    assert (set(killed), last) == ({-signal.SIGKILL}, 0)
    for instant in range(1, len(killed) + 1):
        store = Store(tmp_path / f"killed-{instant}", create=True)
        write_all(store)
        (found,) = store.encoders()
        features, failed = store.read(found, wanted)
        np.testing.assert_array_equal(features.x, expected.x)
        assert failed == {"2-bad": "why"}
        shards = list((found.folder / "shards").glob("*.h5"))
        assert sorted(len(h5py.File(file)["x"]) for file in shards) == [1, 2]
    assert len(killed) > 10


def test_encoders_may_be_chosen_by_a_list_and_by_a_name_with_a_comma(tmp_path: Path) -> None:
    table, store = featured(tmp_path, ("one", "two", "one,two"), real=2)

    def chosen(*names: str) -> list[str]:
        return [encoder.name for encoder, _ in choose_encoders(store, table, names)]

    assert chosen("one,two") == ["one,two"]
    assert chosen("two,one") == ["two", "one"]
    assert chosen("two", "one,two") == ["two", "one,two"]
    with pytest.raises(XprobeError, match="has no features of 'three'"):
        chosen("one,three")
