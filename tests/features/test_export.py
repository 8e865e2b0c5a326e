"""Features of an encoder in one file of a common format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from makers import SPEC, digest, manifest_of, write_all
from safetensors.numpy import load_file

from xprobe.base.errors import XprobeError
from xprobe.features.export import EXPORTS, export
from xprobe.features.hdf5 import write_datasets
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store

ROW_OF = dict(zip("abc", np.eye(3, dtype=np.float32).tolist(), strict=True))


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Store, StoredEncoder]:
    store = Store(tmp_path / "store", create=True)
    write_all(store)
    return store, store.encoders()[0]


@pytest.mark.parametrize("suffix", EXPORTS)
def test_an_export_holds_every_row(
    filled: tuple[Store, StoredEncoder], tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / "out" / f"features{suffix}"
    assert export(*filled, file, None) == 3
    if suffix in (".h5", ".hdf5"):
        with h5py.File(file) as h5:
            names, x = [v.decode() for v in h5["sha256"]], h5["x"][:]
            assert h5.attrs["key"] == SPEC.key
    elif suffix == ".npz":
        with np.load(file, allow_pickle=False) as data:
            names, x = data["sha256"].tolist(), data["x"]
    elif suffix == ".parquet":
        table = pq.read_table(file)
        names, x = table["sha256"].to_pylist(), np.array(table["x"].to_pylist())
    else:
        tensors = load_file(str(file))
        names, x = [bytes(one).hex() for one in tensors["sha256"]], tensors["x"]
    assert dict(zip(names, x.tolist(), strict=True)) == {digest(c): ROW_OF[c] for c in "abc"}
    assert not list(file.parent.glob(".tmp*"))


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".parquet", ".safetensors"])
def test_an_export_of_a_manifest_has_its_images_and_all_columns(
    filled: tuple[Store, StoredEncoder], tmp_path: Path, suffix: str
) -> None:
    images = manifest_of("c", "a", "bad")
    images = replace(images, further={"event": ["flood", "fire", "fire"]})
    file = tmp_path / f"features{suffix}"
    assert export(*filled, file, images) == 2
    if suffix == ".h5":
        with h5py.File(file) as h5:
            assert [v.decode() for v in h5["id"]] == ["0-c", "1-a"]
            assert [v.decode() for v in h5["event"]] == ["flood", "fire"]
            assert h5["x"][:].tolist() == [ROW_OF["c"], ROW_OF["a"]]
    elif suffix == ".npz":
        with np.load(file, allow_pickle=False) as data:
            assert data["id"].tolist() == ["0-c", "1-a"] and data["label"].tolist() == ["x", "x"]
            assert data["event"].tolist() == ["flood", "fire"]
    elif suffix == ".parquet":
        table = pq.read_table(file)
        assert table["label"].to_pylist() == ["x", "x"]
        assert table["event"].to_pylist() == ["flood", "fire"]
    else:
        assert load_file(str(file))["label"].tolist() == [0, 0]


def test_other_files_and_missing_images_are_refused(
    filled: tuple[Store, StoredEncoder], tmp_path: Path
) -> None:
    with pytest.raises(XprobeError, match=r"name a file \.h5"):
        export(*filled, tmp_path / "a.csv", None)
    with pytest.raises(XprobeError, match="not embedded"):
        export(*filled, tmp_path / "a.npz", manifest_of("new"))


def test_features_of_a_damaged_shard_are_not_exported(
    filled: tuple[Store, StoredEncoder], tmp_path: Path
) -> None:
    store, encoder = filled
    for shard in (encoder.folder / "shards").glob("*.h5"):
        with h5py.File(shard) as h5:
            place = h5["x"].id.get_offset() + 2
        content = bytearray(shard.read_bytes())
        content[place] ^= 0x40
        shard.write_bytes(bytes(content))
    with pytest.raises(XprobeError, match="other bytes than were written"):
        export(store, encoder, tmp_path / "x.npz", None)
    assert not (tmp_path / "x.npz").exists()


def test_an_export_to_hdf5_needs_no_lock(tmp_path: Path) -> None:
    """Locks that a file system lacks fail as those that another one holds."""
    fcntl = pytest.importorskip("fcntl")
    file = tmp_path / "x.h5"
    with file.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_datasets(file, {"x": np.eye(3)[0]}, {})
    with h5py.File(file) as h5:
        assert h5["x"][:].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(s, n) for s in (".h5", ".npz", ".parquet") for n in ("x", "sha256")]
    + [(".npz", "file"), (".npz", "key"), (".h5", ".")],
)
def test_a_column_of_the_table_never_takes_the_place_of_what_is_exported(
    filled: tuple[Store, StoredEncoder], tmp_path: Path, suffix: str, name: str
) -> None:
    images = replace(manifest_of("c", "a"), further={name: ["1", "2"]})
    file = tmp_path / f"features{suffix}"
    with pytest.raises(XprobeError, match=r"has a column .* rename it in the table"):
        export(*filled, file, images)
    assert not file.exists()
