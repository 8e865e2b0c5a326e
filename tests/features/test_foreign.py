"""Files of features that would be read as something else, or fill the memory, are told."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xprobe.base.errors import XprobeError
from xprobe.features import unpacked
from xprobe.features.foreign import read_foreign_file

N = 9
IDS = [f"i{i}" for i in range(N)]
X = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)


def hdf5(folder: Path, write: Callable[[h5py.File], object]) -> Path:
    file = folder / "x.h5"
    with h5py.File(file, "w") as h5:
        h5["id"] = IDS
        write(h5)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(XprobeError) as error:
        read_foreign_file(file)
    said = str(error.value)
    assert said.startswith(f"{file}: ") and "\n" not in said
    return said


def virtual(h5: h5py.File, source: str) -> None:
    layout = h5py.VirtualLayout((N, 5), np.float32)
    layout[:] = h5py.VirtualSource(source, "x", (N, 5))
    h5.create_virtual_dataset("x", layout)


def beside(h5: h5py.File) -> Path:
    other = Path(h5.filename).with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["x"] = X
    return other


def chunked_in_part(h5: h5py.File) -> None:
    h5.create_dataset("x", (N, 5), np.float32, chunks=(4, 5))[:4] = 1


ELSEWHERE: list[Callable[[h5py.File], object]] = [
    lambda h5: virtual(h5, "missing.h5"),
    lambda h5: virtual(h5, str(beside(h5))),
    lambda h5: h5.create_dataset("x", (N, 5), np.float32, external=[("raw", 0, 4 * N * 5)]),
    lambda h5: h5.__setitem__("x", h5py.ExternalLink(str(beside(h5)), "x")),
    lambda h5: h5.__setitem__("x", h5py.ExternalLink("missing.h5", "x")),
    lambda h5: h5.__setitem__("x", h5py.SoftLink("/missing")),
]


@pytest.mark.parametrize("write", ELSEWHERE)
def test_features_that_lie_elsewhere_are_refused(
    tmp_path: Path, write: Callable[[h5py.File], object]
) -> None:
    assert "x lies in other files" in refusal(hdf5(tmp_path, write))


NEVER_WRITTEN: list[Callable[[h5py.File], object]] = [
    lambda h5: h5.create_dataset("x", (N, 5), np.float32),
    lambda h5: h5.create_dataset("x", (N, 5), np.float32, fillvalue=1),
    lambda h5: h5.create_dataset("x", (N, 5), np.float32, chunks=(4, 5)),
    lambda h5: h5.create_dataset("x", (10**9, 512), np.float32, chunks=True),
    chunked_in_part,
]


@pytest.mark.parametrize("write", NEVER_WRITTEN)
def test_features_that_were_never_written_are_refused(
    tmp_path: Path, write: Callable[[h5py.File], object]
) -> None:
    assert "never written" in refusal(hdf5(tmp_path, write))


@pytest.mark.parametrize(
    "how", [{}, {"chunks": (2, 3)}, {"compression": "gzip"}, {"fletcher32": True}]
)
def test_features_that_were_written_in_any_way_are_read(
    tmp_path: Path, how: dict[str, object]
) -> None:
    file = hdf5(tmp_path, lambda h5: h5.create_dataset("x", data=X, **how))
    np.testing.assert_array_equal(read_foreign_file(file).x, X)


def zeros_npz(folder: Path) -> Path:
    file = folder / "x.npz"
    np.savez_compressed(file, id=IDS, x=np.zeros((N, 100_000), np.float32))
    return file


def zeros_parquet(folder: Path) -> Path:
    file = folder / "x.parquet"
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(N * 100_000, np.float32)), 100_000)
    pq.write_table(pa.table({"id": IDS, "x": lists}), file, compression="zstd")
    return file


def zeros_hdf5(folder: Path) -> Path:
    x = np.zeros((N, 100_000), np.float32)
    return hdf5(folder, lambda h5: h5.create_dataset("x", data=x, compression="gzip"))


@pytest.mark.parametrize("write", [zeros_npz, zeros_parquet, zeros_hdf5])
def test_arrays_far_larger_than_their_file_are_refused_unread(
    tmp_path: Path, write: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    assert not read_foreign_file(file).x.any()  # So small a one is read.
    monkeypatch.setattr(unpacked, "_LARGE", 2**20)
    assert "x takes 0.0 GiB of memory" in refusal(file)


def test_a_header_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000000, 9), }"
    with zipfile.ZipFile(file, "w") as archive:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(99)
        archive.writestr("x.npy", content)
        archive.writestr("id.npy", content)
    assert "memory" in refusal(file)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (2**24, False), (2**24 + 1, True), (2**53 + 1, True), (2**53 + 2, True),
        (-(2**24) - 1, True),
    ],
)  # fmt: skip
def test_whole_numbers_that_lose_digits_are_counted(
    tmp_path: Path, value: int, rounded: bool
) -> None:
    x = np.arange(N * 5, dtype=np.int64).reshape(N, 5)
    x[3, 2] = value
    np.savez(tmp_path / "x.npz", id=IDS, x=x)
    rows = read_foreign_file(tmp_path / "x.npz")
    assert np.flatnonzero(rows.is_rounded).tolist() == [3] * rounded


def test_values_that_vanish_in_float32_are_counted_and_rows_of_them_refused(tmp_path: Path) -> None:
    x = X.astype(np.float64)
    x[3, 2] = 1e-300
    np.savez(tmp_path / "x.npz", id=IDS, x=x)
    assert np.flatnonzero(read_foreign_file(tmp_path / "x.npz").is_rounded).tolist() == [3]
    x[4] = 1e-300
    np.savez(tmp_path / "x.npz", id=IDS, x=x)
    assert "1 rows are too small for float32; scale them up: 'i4'" in refusal(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", id=IDS, x=X.astype(np.float64))
    assert not read_foreign_file(tmp_path / "x.npz").is_rounded.any()
