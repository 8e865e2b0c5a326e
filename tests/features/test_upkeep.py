"""xprobe store: info, verify, merge, gc."""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from makers import SPEC, Ran, digest

from xprobe.base import documents, lock
from xprobe.base.atomic import create_if_absent, put
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.features import store as features_store
from xprobe.features import upkeep
from xprobe.features.records import Agreement
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store

N = 12


def row(i: int) -> np.ndarray:
    return np.array([i, 1, 0.5], dtype=np.float32)


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Store, StoredEncoder]:
    """Twelve rows in six shards, two contents that failed."""
    store = Store(tmp_path / "store", create=True)
    encoder = store.add_encoder("golden", SPEC)
    for i in range(0, N, 2):
        x = np.stack([row(i), row(i + 1)])
        failed = {digest(f"bad {i}"): "why"} if i < 4 else {}
        store.write_shard(encoder, [digest(str(i)), digest(str(i + 1))], x, failed)
    return store, encoder


def held(store: Store) -> dict[str, list[float]]:
    (encoder,) = store.encoders()
    index = store.index(encoder)
    x = index.stored_rows(list(index.rows), 3)[np.arange(len(index.rows))]
    return {name: own.tolist() for name, own in zip(index.rows, x, strict=True)}


def test_tables_have_the_short_name_and_json_both(
    tmp_path: Path, xprobe: Callable[..., Ran]
) -> None:
    name = "timm:vit//home/me/weights.safetensors"
    store = Store(tmp_path / "features", create=True)
    store.write_shard(store.add_encoder(name, SPEC), [digest("a")], row(0)[None], {})
    for command in ("info", "verify", "gc", "merge"):
        words = ("store", command, *(("features", "--into", "m") if command == "merge" else ()))
        shown = xprobe(*words)
        assert (shown.code, "/home" in shown.out) == (0, False)
        assert " vit " in shown.out or "\nvit " in shown.out
        document = xprobe(*words, "--json").json
        (encoder,) = document["merged" if command == "merge" else "encoders"]
        assert (encoder["name"], encoder["alias"]) == (name, "vit")
    exported = xprobe("store", "export", "x.npz", "--encoder", "vit")
    assert exported.out == "wrote x.npz: 1 row of vit\n"


def test_info_counts(filled: tuple[Store, StoredEncoder]) -> None:
    store, encoder = filled
    held = upkeep.describe(store, encoder)
    assert (held.rows, held.failed, held.shards, held.dim) == (N, 2, 6, 3)
    assert held.cosine_to_reference is None
    store.put_agreement(encoder, Agreement(images=8, least_cosine=0.999))
    assert upkeep.describe(store, encoder).cosine_to_reference == 0.999


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flip, "other bytes"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "bytes, and"),
        (Path.unlink, "no such file"),
    ],
)
def test_verify_finds_every_damaged_shard(
    filled: tuple[Store, StoredEncoder], harm: Callable[[Path], Any], said: str
) -> None:
    store, encoder = filled
    whole = upkeep.verify(store, encoder)
    assert (whole.rows, whole.shards, whole.damaged, whole.orphans) == (N, 6, (), ())
    shard = sorted((encoder.folder / "shards").glob("*.h5"))[2]
    harm(shard)
    found = upkeep.verify(store, encoder)
    assert found.shards == 5 and found.rows == N - 2
    ((receipt, why),) = found.damaged
    assert said in why and Path(receipt).is_file()


def test_verify_names_damaged_receipts_and_orphans(filled: tuple[Store, StoredEncoder]) -> None:
    store, encoder = filled
    first, second, *_ = store.receipt_files(encoder)
    shard = store.receipt(second).shard
    first.write_text("{")
    second.unlink()
    found = upkeep.verify(store, encoder)
    assert [Path(file).name for file, _ in found.damaged] == [first.name]
    assert found.damaged[0][1].startswith("damaged (")
    assert "delete it and run 'xprobe embed' again" in found.damaged[0][1]
    assert {Path(file).name for file in found.orphans} >= {shard}


def test_merging_copies_what_is_new_and_only_that(
    filled: tuple[Store, StoredEncoder], tmp_path: Path
) -> None:
    store, _ = filled
    other = Store(tmp_path / "other", create=True)
    encoder = other.add_encoder("golden", SPEC)
    other.write_shard(encoder, [digest("100")], row(100)[None], {})
    assert upkeep.merge(store, other) == [
        upkeep.Merged(name="golden", alias="golden", key=SPEC.key, shards=6, rows=N, texts=0)
    ]
    assert upkeep.merge(store, other)[0].shards == 0
    assert held(other) == held(store) | {digest("100"): row(100).tolist()}
    assert len(other.index(encoder).failed) == 2
    flip(next((filled[1].folder / "shards").glob("*.h5")))
    with pytest.raises(XprobeError, match=r"other bytes than were written.*'xprobe store verify"):
        upkeep.merge(store, Store(tmp_path / "third", create=True))


def test_collecting_makes_one_shard_with_the_same_rows(
    filled: tuple[Store, StoredEncoder],
) -> None:
    store, encoder = filled
    before, failed = held(store), store.index(encoder).failed
    left_over = encoder.folder / "shards" / f"{'0' * 16}-{'1' * 16}.h5"
    left_over.write_bytes(b"of a kill")
    os.utime(left_over, (0, 0))
    done = upkeep.collect(store, encoder)
    assert (done.rows, done.shards_before, done.shards) == (N, 6, 1)
    assert held(store) == before
    assert store.index(encoder).failed == failed
    assert len(list((encoder.folder / "shards").iterdir())) == 1
    again = upkeep.collect(store, encoder)
    assert again.shards == 1 and held(store) == before


def test_a_kill_while_collecting_loses_nothing(
    filled: tuple[Store, StoredEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, encoder = filled
    before = held(store)
    unlinked: list[Path] = []
    unlink = Path.unlink

    def die(self: Path, missing_ok: bool = False) -> None:
        unlinked.append(self)
        if len(unlinked) == 5:
            raise KeyboardInterrupt
        unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            upkeep.collect(store, encoder)
    assert held(store) == before
    upkeep.collect(store, encoder)
    assert held(store) == before


def contents_of(store: Store) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in store.folder.rglob("*.*") if file.is_file()}


def flip_feature(file: Path) -> None:
    """Change one bit of a feature, so that the file still opens and the value is finite."""
    with h5py.File(file) as h5:
        place = h5["x"].id.get_offset() + 2
    content = bytearray(file.read_bytes())
    content[place] ^= 0x40
    file.write_bytes(bytes(content))


def test_collecting_checks_every_shard_and_changes_nothing_if_one_is_damaged(
    filled: tuple[Store, StoredEncoder],
) -> None:
    store, encoder = filled
    shard = sorted((encoder.folder / "shards").glob("*.h5"))[2]
    flip_feature(shard)
    before = contents_of(store)
    with pytest.raises(XprobeError, match=rf"{shard.name}: .*other bytes.*store verify.*delete"):
        upkeep.collect(store, encoder)
    assert contents_of(store) == before


@pytest.mark.parametrize("late", ["shard", "receipt"])
def test_what_is_embedded_while_another_collects_is_kept(
    filled: tuple[Store, StoredEncoder], monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """Another process finishes a shard meanwhile, or has not written its receipt yet."""
    store, encoder = filled
    before = held(store)
    put_receipt, gather = Store.put_receipt, upkeep._gather
    waiting: list[Any] = []

    def later(file: Path, receipt: Any, content: bytes) -> None:
        put(encoder.folder / "shards" / receipt.shard, content)
        waiting.append((file, receipt, content))

    def embed_first(*arguments: Any) -> Any:
        if late == "receipt":
            monkeypatch.setattr(Store, "put_receipt", staticmethod(later))
        store.write_shard(encoder, [digest("100")], row(100)[None], {})
        monkeypatch.setattr(Store, "put_receipt", staticmethod(put_receipt))
        return gather(*arguments)

    monkeypatch.setattr(upkeep, "_gather", embed_first)
    upkeep.collect(store, encoder)
    for arguments in waiting:
        create_if_absent(arguments[0], documents.encode(arguments[1]))
    assert held(store) == before | {digest("100"): row(100).tolist()}
    assert upkeep.verify(store, encoder).damaged == ()


def test_a_shard_that_is_written_anew_while_it_is_deleted_is_put_back(
    filled: tuple[Store, StoredEncoder],
) -> None:
    store, encoder = filled
    before = held(store)
    shard = next((encoder.folder / "shards").glob("*.h5"))
    upkeep._discard(shard)  # Its receipt is there by now.
    assert held(store) == before
    for receipt in store.receipt_files(encoder):
        receipt.unlink()
    upkeep._discard(shard)
    assert not shard.exists() and not list(shard.parent.glob(".tmp*"))


def test_a_writer_puts_its_shard_again_if_an_equal_old_one_is_deleted_meanwhile(
    filled: tuple[Store, StoredEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, encoder = filled

    def create(file: Path, content: bytes) -> bool:
        for shard in (encoder.folder / "shards").glob("*.h5"):
            shard.unlink()
        return create_if_absent(file, content)

    for receipt in store.receipt_files(encoder):
        receipt.unlink()
    monkeypatch.setattr(features_store, "create_if_absent", create)
    store.write_shard(encoder, [digest("0")], row(0)[None], {})
    assert held(store) == {digest("0"): row(0).tolist()}


def test_two_that_collect_at_once_lose_and_double_nothing(
    filled: tuple[Store, StoredEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, encoder = filled
    before, inside = held(store), []
    gather = upkeep._gather

    def crowd(*arguments: Any) -> Any:
        inside.append(len(list(encoder.folder.glob("gc.lock"))))
        return gather(*arguments)

    monkeypatch.setattr(upkeep, "_gather", crowd)
    monkeypatch.setattr(lock, "LOOK_S", 0.001)
    with ThreadPoolExecutor(2) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", XprobeWarning)
        done = list(pool.map(lambda _: upkeep.collect(store, encoder), range(2)))
    assert [one.shards for one in done] == [1, 1] and inside == [1, 1]
    assert held(store) == before
    assert not (encoder.folder / "gc.lock").exists()


def test_who_reads_while_another_collects_goes_on_with_the_same_rows(
    filled: tuple[Store, StoredEncoder],
) -> None:
    store, encoder = filled
    index = store.index(encoder)
    names = [digest(str(i)) for i in range(N)]
    stored = index.stored_rows(names, 3)
    upkeep.collect(store, encoder)
    store.write_shard(encoder, [digest("100")], row(100)[None], {})
    rows = np.array([7, 0, 11])
    assert stored[rows].tolist() == [row(i).tolist() for i in rows]
    assert index.stored_rows(names[:2], 3)[np.arange(2)].tolist() == [
        row(0).tolist(), row(1).tolist(),
    ]  # fmt: skip


def test_an_index_that_is_read_while_another_collects_has_all_rows(
    filled: tuple[Store, StoredEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, encoder = filled
    before, calls = held(store), [0]
    receipt = Store.receipt

    def slow(self: Store, file: Path) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            upkeep.collect(store, encoder)
        return receipt(self, file)

    monkeypatch.setattr(Store, "receipt", slow)
    assert held(store) == before


@pytest.mark.parametrize("collected", ["source", "target"])
def test_merging_beside_one_that_collects_loses_nothing(
    filled: tuple[Store, StoredEncoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    collected: str,
) -> None:  # fmt: skip
    store, encoder = filled
    other = Store(tmp_path / "other", create=True)
    target = other.add_encoder("golden", SPEC)
    other.write_shard(target, [digest("100")], row(100)[None], {})
    expected, calls = held(store) | {digest("100"): row(100).tolist()}, [0]
    copy = upkeep._copy

    def slow(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] in (2, 5):
            upkeep.collect(*((store, encoder) if collected == "source" else (other, target)))
        return copy(*arguments)

    monkeypatch.setattr(upkeep, "_copy", slow)
    upkeep.merge(store, other)
    assert held(other) == expected


def test_files_of_other_names_are_never_deleted(filled: tuple[Store, StoredEncoder]) -> None:
    store, encoder = filled
    strange = encoder.folder / "shards" / "thesis.h5"
    strange.write_bytes(b"not ours")
    os.utime(strange, (0, 0))
    upkeep.collect(store, encoder)
    assert strange.read_bytes() == b"not ours"
    assert upkeep.verify(store, encoder).orphans == (str(strange),)


def test_what_cannot_be_read_now_is_not_called_damaged(
    filled: tuple[Store, StoredEncoder], monkeypatch: pytest.MonkeyPatch,
    xprobe: Callable[..., Any],
) -> None:  # fmt: skip
    store, encoder = filled
    first, second, *_ = store.receipt_files(encoder)
    away = {first, encoder.folder / "shards" / str(store.receipt(second).shard)}
    lstat = Path.lstat

    def deny(self: Path) -> os.stat_result:
        if self in away:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return lstat(self)

    monkeypatch.setattr(Path, "lstat", deny)
    found = upkeep.verify(store, encoder)
    assert (found.shards, found.damaged, len(found.unreadable)) == (4, (), 2)
    assert all("permission denied" in reason for _, reason in found.unreadable)
    ran = xprobe("store", "verify", str(store.folder))
    assert ran.code == 1 and "delete nothing" in ran.err and "2 shards or receipts" in ran.err
    assert "run 'xprobe embed'" not in ran.err


def test_a_merge_takes_nothing_that_lies_elsewhere(
    filled: tuple[Store, StoredEncoder], tmp_path: Path
) -> None:
    store, encoder = filled
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (encoder.folder / "text").mkdir()
    (encoder.folder / "text" / f"{'0' * 32}.npz").symlink_to(secret)
    with pytest.raises(XprobeError, match="npz: no file, but a link"):
        upkeep.merge(store, Store(tmp_path / "other", create=True))
    assert not list((tmp_path / "other").rglob("*.npz"))


def test_an_empty_encoder_is_collected(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    encoder = store.add_encoder("golden", SPEC)
    assert upkeep.collect(store, encoder).rows == 0


def test_the_commands(
    filled: tuple[Store, StoredEncoder], xprobe: Callable[..., Any], tmp_path: Path
) -> None:
    store, encoder = filled
    folder = str(store.folder)
    assert xprobe("store", "info", folder, "--json").json["encoders"][0]["rows"] == N
    assert "golden" in xprobe("store", "info", folder).out
    assert xprobe("store", "verify", folder, "--json").json["encoders"][0]["damaged"] == []
    merged = xprobe("store", "merge", folder, "--into", str(tmp_path / "m"), "--json").json
    assert merged["merged"][0]["rows"] == N
    file = str(tmp_path / "x.npz")
    done = xprobe("store", "export", file, "--encoder", "golden", "--store", folder)
    assert f"{N} rows" in done.out
    assert xprobe("store", "gc", folder, "--json").json["encoders"][0]["shards"] == 1
    flip(next((encoder.folder / "shards").glob("*.h5")))
    ran = xprobe("store", "verify", folder)
    assert ran.code == 1 and "other bytes" in ran.err and "1 file is damaged" in ran.err
    ran = xprobe("store", "verify", folder, "--json")
    assert ran.code == 1 and len(json.loads(ran.out)["encoders"][0]["damaged"]) == 1
    assert xprobe("store", "info", str(tmp_path / "none")).code == 1
