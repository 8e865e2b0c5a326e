"""Pixels on disk: what the encoder would see, decoded once, and never half a file."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.encoders.base import Encoder, plain_spec
from xprobe.encoders.families.builtin import Hog, RawPixels
from xprobe.images import read as manifests
from xprobe.images.decode import decode
from xprobe.images.manifest import Manifest
from xprobe.learners.finetune import pixel_cache as pixels
from xprobe.learners.finetune.pixel_cache import cached_pixels, size_mib


@pytest.fixture
def table(make_data: Callable[..., Path]) -> Manifest:
    return manifests.read(make_data(real=3, synthetic=4))


def one_by_one(table: Manifest, encoder: Encoder) -> np.ndarray:
    return np.stack([encoder.preprocess(decode(path)) for path in table.path])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def every(table: Manifest) -> np.ndarray:
    return np.arange(len(table))


@contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(XprobeError, match=reason):
        yield


class Mirrored(RawPixels):
    """An encoder that preprocesses in its own way, of which its spec tells only the name."""

    def __init__(self) -> None:
        self.spec = plain_spec("own:mirrored", 768, (16, 16), "")

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return super().preprocess(image)[:, ::-1]


# --- what is returned ------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [RawPixels(), Hog(), Mirrored()], ids=lambda e: e.spec.source)
@pytest.mark.parametrize("workers", [None, 1, 3])
def test_every_row_is_that_image_preprocessed_alone(
    table: Manifest, tmp_path: Path, encoder: Encoder, workers: int | None
) -> None:
    cached = cached_pixels(table, encoder, tmp_path / "p", workers=workers)
    assert len(cached) == len(table) == 14
    assert cached[every(table)].dtype == np.uint8
    assert_array_equal(cached[every(table)], one_by_one(table, encoder))
    rows = np.array([5, 0, 5, 13])
    assert_array_equal(cached[rows], one_by_one(table, encoder)[rows])


def test_rows_are_in_the_order_of_the_manifest(table: Manifest, tmp_path: Path) -> None:
    """A manifest of the same contents in another order shares the file."""
    backwards = table.select(every(table)[::-1])
    pixels = cached_pixels(table, RawPixels(), tmp_path / "p")[every(table)]
    back = cached_pixels(backwards, RawPixels(), tmp_path / "p")[every(table)]
    assert_array_equal(back, pixels[::-1])
    assert len(files(tmp_path / "p")) == 1


def test_what_is_returned_is_mapped_and_read_only(table: Manifest, tmp_path: Path) -> None:
    cached = cached_pixels(table, RawPixels(), tmp_path)
    assert isinstance(cached.array, np.memmap)
    assert not cached.array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        cached.array[0] = 0


def test_a_batch_may_be_written_to_and_the_file_stays(table: Manifest, tmp_path: Path) -> None:
    cached = cached_pixels(table, RawPixels(), tmp_path / "p")
    cached[every(table)][:] = 0
    assert_array_equal(cached[every(table)], one_by_one(table, RawPixels()))


def test_no_images_are_no_rows(table: Manifest, tmp_path: Path) -> None:
    cached = cached_pixels(table.select(every(table)[:0]), RawPixels(), tmp_path / "p")
    assert cached[np.array([], dtype=np.intp)].shape == (0, 16, 16, 3)


def test_equal_contents_are_stored_once(table: Manifest, tmp_path: Path) -> None:
    twice = manifests_joined(table, table)
    cached = cached_pixels(twice, RawPixels(), tmp_path / "p")
    assert (len(cached), len(cached.array)) == (28, 14)
    assert_array_equal(cached[every(twice)], one_by_one(twice, RawPixels()))
    assert size_mib(twice, RawPixels()) == size_mib(table, RawPixels()) == 14 * 768 / 2**20


def manifests_joined(a: Manifest, b: Manifest) -> Manifest:
    """Return two tables as one, the ids of the second with a stroke."""
    columns = {c: [*getattr(a, c), *getattr(b, c)] for c in Manifest.columns()}
    columns["id"] = [*a.id, *(f"{i}'" for i in b.id)]
    return Manifest(**columns)  # type: ignore[arg-type]  # The manifest freezes them.


# --- decoded once ----------------------------------------------------------------------


def test_a_second_call_decodes_nothing(
    table: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached_pixels(table, RawPixels(), tmp_path / "p")[every(table)]

    def never(_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(pixels, "decode", never)
    assert_array_equal(cached_pixels(table, RawPixels(), tmp_path / "p")[every(table)], first)


def test_another_view_another_content_and_another_method_are_other_files(
    table: Manifest, tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    for n, (part, encoder) in enumerate(
        [(table, RawPixels()), (table, Hog()), (table.select(every(table)[1:]), RawPixels()),
         (table, Mirrored())], start=1
    ):  # fmt: skip
        cached = cached_pixels(part, encoder, folder)
        assert len(files(folder)) == n
        assert_array_equal(cached[every(part)], one_by_one(part, encoder))


def test_progress_counts_images(table: Manifest, tmp_path: Path) -> None:
    seen: list[Any] = []

    @contextmanager
    def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
        seen.extend([title, total])
        yield seen.append

    cached_pixels(table, RawPixels(), tmp_path / "p", progress=progress)
    cached_pixels(table, RawPixels(), tmp_path / "p", progress=progress)
    assert seen == ["decode", 14, *[1] * 14]


# --- all or nothing --------------------------------------------------------------------


def test_a_leftover_temporary_file_does_no_harm_and_an_old_one_is_removed(
    table: Manifest, tmp_path: Path
) -> None:
    for name in (".tmp-recent", ".tmp-old"):
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "p" / name).write_bytes(b"half")
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(tmp_path / "p/.tmp-old", (long_ago, long_ago))
    cached = cached_pixels(table, RawPixels(), tmp_path / "p")
    assert_array_equal(cached[every(table)], one_by_one(table, RawPixels()))
    assert files(tmp_path / "p")[0] == ".tmp-recent"
    assert len(files(tmp_path / "p")) == 2


def test_an_interrupt_leaves_nothing(
    table: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    @contextmanager
    def progress(_title: str, _total: int) -> Iterator[Callable[[int], None]]:
        yield interrupt

    with pytest.raises(KeyboardInterrupt):
        cached_pixels(table, RawPixels(), tmp_path / "p", progress=progress)
    assert files(tmp_path / "p") == []


def test_two_at_once_both_end_well(table: Manifest, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(cached_pixels, table, Hog(), tmp_path / "p") for _ in range(4)]
    for job in jobs:
        assert_array_equal(job.result()[every(table)], one_by_one(table, Hog()))
    assert len(files(tmp_path / "p")) == 1


# --- what cannot be done ---------------------------------------------------------------


def test_a_damaged_image_is_named_with_the_reason(data_with: Callable[..., Manifest]) -> None:
    table = data_with(b"no picture")
    folder = Path(table.path[0]).parents[3] / "p"
    with refused(r"^real/a/1.png: not an image, .*; mend the file or take it out$"):
        cached_pixels(table, RawPixels(), folder)
    assert files(folder) == []


def test_a_file_that_is_gone_or_changed_is_named(table: Manifest, tmp_path: Path) -> None:
    path = Path(table.path[3])
    id_ = table.id[3]
    path.write_bytes(Path(table.path[4]).read_bytes())
    with refused(f"^{id_}: its content is not what the image table says"):
        cached_pixels(table, RawPixels(), tmp_path / "p")
    path.unlink()
    with refused(f"^{id_}: no such file"):
        cached_pixels(table, RawPixels(), tmp_path / "p")
    assert files(tmp_path / "p") == []


@pytest.fixture
def data_with(make_data: Callable[..., Path]) -> Callable[[bytes], Manifest]:
    """``data_with(content)``: a study's table in which real/a/1.png has this content."""

    def make(content: bytes) -> Manifest:
        data = make_data()
        (data / "real/a/1.png").write_bytes(content)
        return manifests.read(data)

    return make


def test_a_preprocess_that_breaks_its_spec_is_refused(table: Manifest, tmp_path: Path) -> None:
    class Broken(RawPixels):
        def preprocess(self, image: Image.Image) -> np.ndarray:
            return super().preprocess(image)[1:]

    with refused(r"builtin:pixels: preprocess gives uint8 of shape \(15, 16, 3\)"):
        cached_pixels(table, Broken(), tmp_path / "p")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_said_with_the_need_and_leaves_nothing(
    table: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with refused(r"p: the disk is full; the decoded images need 0\.2 MiB there"):
        cached_pixels(table, Hog(), tmp_path / "p")
    assert files(tmp_path / "p") == []


def test_too_little_room_is_said_before_any_decoding(
    table: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(pixels, "decode", None)
    with refused("the disk is full"):
        cached_pixels(table, Hog(), tmp_path / "p")


def test_other_errors_of_the_disk_are_left_to_the_command_line(
    table: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "p").write_bytes(b"")
    with pytest.raises(FileExistsError):
        cached_pixels(table, RawPixels(), tmp_path / "p")
