"""An encoder whose record is damaged is out of use, and no other is."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import SPEC, Ran, digest, manifest_of
from msgspec.structs import replace

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.features.aliases import choose_encoders
from xprobe.features.store import Store

IMAGES = manifest_of("a")
OTHER = replace(SPEC, precision="bf16")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of two encoders, of which the tests damage the one called other."""
    store = Store(tmp_path / "store", create=True)
    for name, spec in (("golden", SPEC), ("other", OTHER)):
        store.write_shard(store.add_encoder(name, spec), [digest("a")], np.ones((1, 3)), {})
    return store


def record_of(store: Store) -> Path:
    (file,) = store.folder.glob("other-*/encoder.json")
    return file


def is_out_of_use(store: Store, said: str) -> None:
    """Check that the other encoder alone cannot be used, and that every way to it says why."""
    assert [encoder.name for encoder in store.encoders()] == ["golden"]
    (unusable,) = store.unusable_encoders()
    assert said in str(unusable) and str(unusable.folder) in str(unusable)
    assert not unusable.is_newer and "\n" not in str(unusable)
    with pytest.warns(XprobeWarning, match="until then it is left out"):
        assert [encoder.name for encoder, _ in choose_encoders(store, IMAGES, ())] == ["golden"]
    assert store.add_encoder("golden", SPEC).name == "golden"
    for way in (lambda: store.find("other"), lambda: store.add_encoder("other", OTHER)):
        with pytest.raises(XprobeError) as error:
            way()
        assert str(error.value) == str(unusable)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{}", b"[]", b"3", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\x00" * 99],
    ids=lambda content: repr(content[:9]),
)
def test_a_record_that_is_none(store: Store, content: bytes) -> None:
    record_of(store).write_bytes(content)
    is_out_of_use(store, "delete it and run 'xprobe embed' again")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resize", "x"), ("resize", 3), ("input_px", [1]), ("input_px", "text"), ("mean", None),
        ("dim", 1e300), ("dim", 4), ("source", {}), ("std", [[]]), ("key", "0" * 64),
    ],
)  # fmt: skip
def test_a_record_of_another_spec(store: Store, field: str, value: Any) -> None:
    raw = json.loads(record_of(store).read_text())
    (raw if field == "key" else raw["spec"])[field] = value
    record_of(store).write_text(json.dumps(raw))
    is_out_of_use(store, "delete it and run 'xprobe embed' again")


def test_a_record_that_is_a_folder_or_a_link(store: Store, tmp_path: Path) -> None:
    file = record_of(store)
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    is_out_of_use(store, "no file, but a link, a folder, a pipe or a device")
    file.unlink()
    file.mkdir()
    is_out_of_use(store, "no file, but a link, a folder, a pipe or a device")
    file.rmdir()
    os.mkfifo(file)
    is_out_of_use(store, "no file, but a link, a folder, a pipe or a device")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_a_record_that_cannot_be_read_now(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    file, read_bytes = record_of(store), Path.read_bytes

    def read(self: Path) -> bytes:
        if self == file:
            raise OSError(code, os.strerror(code), str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    is_out_of_use(store, f"cannot be read now ({os.strerror(code).lower()})")
    assert "delete" not in str(store.unusable_encoders()[0])


@pytest.mark.parametrize("part", [".", "shards", "receipts", "text"])
def test_a_folder_that_is_a_link_out_of_the_store(store: Store, tmp_path: Path, part: str) -> None:
    folder = record_of(store).parent
    (folder / "text").mkdir()
    where = folder if part == "." else folder / part
    where.rename(tmp_path / "elsewhere")
    where.symlink_to(tmp_path / "elsewhere")
    is_out_of_use(store, "a link that leads out of the store")


def test_a_store_may_itself_be_a_link_and_have_links_inside(store: Store, tmp_path: Path) -> None:
    folder = record_of(store).parent
    folder.rename(store.folder / "disk")
    folder.symlink_to(store.folder / "disk")
    (tmp_path / "link").symlink_to(store.folder)
    names = {encoder.name for encoder in Store(tmp_path / "link").encoders()}
    assert names == {"golden", "other"}


def test_other_files_and_folders_are_no_encoders(store: Store) -> None:
    (store.folder / "failed.csv").write_text("a")
    (store.folder / "pixels").mkdir()
    assert len(store.encoders()) == 2 and store.unusable_encoders() == []


def test_the_commands_say_it_and_go_on(store: Store, xprobe: Callable[..., Ran]) -> None:
    record_of(store).write_text("{}")
    folder = str(store.folder)
    info = xprobe("store", "info", folder, "--json").json
    assert [row["name"] for row in info["encoders"]] == ["golden"]
    assert len(info["damaged"]) == 1 and "encoder.json: damaged" in info["damaged"][0]
    assert "encoder.json: damaged" in xprobe("store", "info", folder).out
    for command in (["merge", folder, "--into", "m"], ["gc", folder]):
        ran = xprobe("store", *command)
        assert ran.code == 0 and "encoder.json: damaged" in ran.err
    ran = xprobe("store", "verify", folder)
    assert ran.code == 1 and "encoders that cannot be used" in ran.err
    record_of(store).unlink()
    assert store.add_encoder("other", OTHER).folder.name.startswith("other-")
    assert xprobe("store", "verify", folder).code == 0


def test_a_store_that_cannot_be_listed_is_no_empty_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterdir = Path.iterdir

    def deny(self: Path) -> Any:
        if self in (store.folder, record_of_golden / "receipts"):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return iterdir(self)

    (golden,) = store.find("golden")
    record_of_golden = golden.folder
    monkeypatch.setattr(Path, "iterdir", deny)
    for way in (store.encoders, lambda: store.index(golden)):
        with pytest.raises(XprobeError, match=r"cannot be read now \(permission denied\)"):
            way()


def test_a_missing_store_is_still_missing(store: Store) -> None:
    shutil.rmtree(store.folder)
    with pytest.raises(XprobeError, match="no feature store"):
        Store(store.folder)
