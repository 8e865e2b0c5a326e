"""Manifest × encoder → store: nothing twice, nothing lost, bad images set aside."""

from __future__ import annotations

import csv
import hashlib
import json
import pkgutil
import shutil
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from xprobe.base.errors import XprobeError
from xprobe.encoders import load as encoders
from xprobe.encoders.base import OutOfMemoryError
from xprobe.encoders.families import builtin as floors
from xprobe.engine.execution import Execution
from xprobe.features import decode_process, digests, records, upkeep
from xprobe.features import embed as extract
from xprobe.features import lane as lanes
from xprobe.features.config import EmbedConfig
from xprobe.features.records import Agreement
from xprobe.features.store import Store
from xprobe.images import read as manifest
from xprobe.images import survey
from xprobe.images.augment import augmented
from xprobe.images.decode import Reading, UnusableImageError, decode
from xprobe.images.manifest import Manifest
from xprobe.images.resize import reencode


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    return make_data(real=3, synthetic=4)


def run(data: Path, folder: Path, name: str = "hog", **options: int) -> lanes.Embedded:
    encoder = encoders.load(name)
    return extract.embed(manifest.read(data), encoder, name, Store(folder, create=True), **options)


def features(data: Path, folder: Path, name: str = "hog") -> dict[str, np.ndarray]:
    store = Store(folder)
    stored, _ = store.read(store.find(name)[0], manifest.read(data))
    return dict(zip(stored.id, stored.x, strict=True))


def test_every_row_is_the_encoder_on_that_image_alone(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "f", batch_size=5)
    encoder = encoders.load("hog")
    for id_, row in features(data, tmp_path / "f").items():
        with Image.open(data / id_) as image:
            alone = encoder.forward(encoder.preprocess(image)[None])[0]
        np.testing.assert_array_equal(row, alone)


def test_a_second_run_embeds_nothing(data: Path, tmp_path: Path) -> None:
    first, second = run(data, tmp_path / "f"), run(data, tmp_path / "f")
    assert (first.images, first.embedded, first.reused, first.failed) == (14, 14, 0, 0)
    assert (second.images, second.embedded, second.reused, second.failed) == (14, 0, 14, 0)


def test_a_new_image_is_embedded_alone_and_a_renamed_one_not_again(
    data: Path, tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    run(data, tmp_path / "f")
    save_picture(data / "real/a/new.png", "new")
    (data / "real/a/0.png").rename(data / "real/a/renamed.png")
    save_picture(data / "real/b/1.png", "changed")
    assert run(data, tmp_path / "f").embedded == 2


def test_equal_content_is_embedded_once(data: Path, tmp_path: Path) -> None:
    (data / "real/a/copy.png").write_bytes((data / "real/a/0.png").read_bytes())
    done = run(data, tmp_path / "f")
    assert (done.images, done.embedded, done.reused) == (15, 14, 1)
    rows = features(data, tmp_path / "f")
    np.testing.assert_array_equal(rows["real/a/copy.png"], rows["real/a/0.png"])


def test_neither_batch_size_nor_workers_nor_shards_change_a_row(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "one", batch_size=32, workers=1)
    monkeypatch.setattr(lanes, "SHARD_ROWS", 3)
    run(data, tmp_path / "many", batch_size=2, workers=3)
    one, many = (features(data, tmp_path / name) for name in ("one", "many"))
    assert len(list((tmp_path / "many").glob("*/shards/*.h5"))) > 3
    for id_, row in one.items():
        np.testing.assert_array_equal(row, many[id_])


def test_bad_images_are_set_aside_with_their_reason_and_not_tried_again(
    data: Path, tmp_path: Path
) -> None:
    whole = (data / "real/a/0.png").read_bytes()
    (data / "real/a/cut.png").write_bytes(whole[: len(whole) // 2])
    (data / "real/a/empty.png").write_bytes(b"")
    (data / "real/b/text.JPG").write_text("not an image")
    for _ in range(2):
        done = run(data, tmp_path / "f")
        assert set(done.failures) == {"real/a/cut.png", "real/a/empty.png", "real/b/text.JPG"}
        assert done.images == done.embedded + done.reused + done.failed == 17
    assert done.embedded == 0
    assert "not an image" in done.failures["real/b/text.JPG"]


@pytest.mark.parametrize("error", [MemoryError(), UnusableImageError("no memory", passing=True)])
def test_what_fails_for_now_is_listed_and_tried_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    bad = (data / "real/a/0.png").read_bytes()
    (data / "real/b/twin.png").write_bytes(bad)

    def fail(content: bytes, reading: Reading) -> object:
        if content == bad:
            raise error
        return decode(content, reading)

    with monkeypatch.context() as patch:
        patch.setattr(decode_process, "decode", fail)
        done = run(data, tmp_path / "f")
    assert set(done.failures) == {"real/a/0.png", "real/b/twin.png"}
    assert all("memory" in reason for reason in done.failures.values())
    assert "memory" not in "".join(f.read_text() for f in tmp_path.glob("f/*/receipts/*.json"))
    again = run(data, tmp_path / "f")
    assert (again.embedded, again.failed, again.images) == (1, 0, done.images)


def test_what_failed_under_other_decoders_is_tried_again_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "real/a/bad.png").write_bytes(b"bad")
    store = tmp_path / "f"
    run(data, store)
    for file in store.glob("*/receipts/*.json"):  # As an older xprobe wrote it.
        receipt = json.loads(file.read_text())
        receipt.pop("decoders", None)
        file.write_text(json.dumps(receipt))
    tried: list[bytes] = []

    def decode_bad(content: bytes, reading: Reading) -> object:
        tried.append(content)
        return decode(content, reading)

    monkeypatch.setattr(decode_process, "decode", decode_bad)
    (encoder,) = Store(store).encoders()
    assert set(Store(store).read(encoder, manifest.read(data))[1]) == {"real/a/bad.png"}
    upkeep.collect(Store(store), encoder)  # This does not make it younger.
    for _ in range(3):
        assert set(run(data, store).failures) == {"real/a/bad.png"}
        assert tried == [b"bad"]
        upkeep.collect(Store(store), encoder)
    monkeypatch.setattr(records, "version", lambda _: "99")
    records.decoders.cache_clear()
    run(data, store)
    records.decoders.cache_clear()
    assert tried == [b"bad"] * 2


def test_a_file_that_vanishes_is_reported_but_not_held_against_its_content(
    data: Path, tmp_path: Path
) -> None:
    table = manifest.read(data)
    content = (data / "real/a/0.png").read_bytes()
    (data / "real/a/0.png").unlink()
    store = Store(tmp_path / "f", create=True)
    done = extract.embed(table, encoders.load("pixels"), "pixels", store)
    assert done.failures == {"real/a/0.png": "no such file or directory"}
    (data / "real/a/0.png").write_bytes(content)
    assert extract.embed(table, encoders.load("pixels"), "pixels", store).embedded == 1


def test_a_file_that_changes_meanwhile_is_not_stored_under_its_old_content(
    data: Path, tmp_path: Path, save_picture: Callable[..., Path]
) -> None:
    table = manifest.read(data)
    save_picture(data / "real/a/0.png", "changed")
    store = Store(tmp_path / "f", create=True)
    done = extract.embed(table, encoders.load("pixels"), "pixels", store)
    assert "changed while" in done.failures["real/a/0.png"]
    assert table.sha256[0] not in store.index(store.find("pixels")[0]).rows


def test_an_interrupt_keeps_what_was_finished(data: Path, tmp_path: Path) -> None:
    class Interrupted(floors.RawPixels):
        calls = 0

        def forward(self, pixels: np.ndarray) -> np.ndarray:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().forward(pixels)

    store = Store(tmp_path / "f", create=True)
    with pytest.raises(KeyboardInterrupt):
        extract.embed(manifest.read(data), Interrupted(), "pixels", store, batch_size=4, workers=1)
    assert run(data, tmp_path / "f", "pixels").reused == 8


def test_progress_counts_every_content_once(data: Path, tmp_path: Path) -> None:
    from contextlib import contextmanager

    seen: list[int] = []

    @contextmanager
    def progress(title: str, total: int):  # type: ignore[no-untyped-def]
        seen.append(-total)
        yield seen.append

    table: Manifest = manifest.read(data)
    store = Store(tmp_path / "f", create=True)
    extract.embed(table, encoders.load("pixels"), "pixels", store, progress=progress)
    assert sum(seen) == 0
    assert seen[0] == -14


def test_a_codec_makes_another_encoder_that_sees_every_image_through_it(
    tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    table = manifest.read(make_data(real=2, synthetic=2))
    for codec in ("", "jpeg-60"):
        extract.embed_all(table, ["pixels"], tmp_path / "features", EmbedConfig(codec=codec))
    store = Store(tmp_path / "features")
    plain, coded = sorted(store.encoders(), key=lambda e: e.spec.codec)
    assert coded.spec == replace(plain.spec, codec="jpeg-60")
    assert len(set(store.labels().values())) == 2
    encoder, path_of = encoders.load("pixels"), dict(zip(table.id, table.path, strict=True))
    features = store.read(coded, table)[0]
    for i, x in zip(features.id, features.x, strict=True):
        seen = encoder.preprocess(reencode(decode(path_of[i]), "jpeg-60"))
        np.testing.assert_array_equal(x, encoder.forward(seen[None])[0])


def test_several_encoders_decode_every_image_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "apart", "hog")
    run(data, tmp_path / "apart", "pixels")
    decoded: list[bytes] = []

    def counting(content: bytes, reading: Reading) -> Image.Image:
        decoded.append(content)
        return decode(content, reading)

    monkeypatch.setattr(decode_process, "decode", counting)
    table = manifest.read(data, hashed=False)
    done = extract.embed_all(table, ["hog", "pixels"], tmp_path / "both")
    assert [run.embedded for run in done] == [14, 14]
    assert len(decoded) == 14
    for name in ("hog", "pixels"):
        apart, both = (features(data, tmp_path / folder, name) for folder in ("apart", "both"))
        for id_, row in apart.items():
            np.testing.assert_array_equal(row, both[id_])
    (data / "real/a/0.png").unlink()
    extract.embed_all(manifest.read(data), ["hog"], tmp_path / "one")
    assert extract.embed_all(table, ["hog", "pixels"], tmp_path / "one")[1].embedded == 13


@pytest.mark.parametrize(
    ("place", "function"),
    [
        ("xprobe.features.decode_process.contents", "read"),
        ("xprobe.features.decode_process", "decode"),
        ("xprobe.encoders.families.builtin.Hog", "see"),
    ],
)
def test_what_memory_did_not_suffice_for_is_left_out_this_time(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, function: str
) -> None:
    calls = []

    def fail_once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise MemoryError
        return whole(*arguments)

    whole = pkgutil.resolve_name(f"{place}.{function}")
    table = manifest.read(data, hashed=False)
    hog, store = encoders.load("hog"), Store(tmp_path / "f", create=True)
    with monkeypatch.context() as patch:
        patch.setattr(f"{place}.{function}", fail_once)
        done = extract.embed(table, hog, "hog", store, workers=1)
    assert list(done.failures.values()) == ["not enough memory for it"]
    assert done.embedded == 13
    assert extract.embed(table, hog, "hog", store).embedded == 1


def test_a_failure_that_may_pass_is_not_remembered(data: Path, tmp_path: Path) -> None:
    def refuse(passing: bool) -> Callable[..., Image.Image]:
        def call(content: bytes, reading: Reading) -> Image.Image:
            if content == damaged:
                raise UnusableImageError("why", passing=passing)
            return decode(content, reading)

        return call

    damaged = (data / "real/a/1.png").read_bytes()
    for passing, again in ((True, 1), (False, 0)):
        folder = tmp_path / f"{passing}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decode_process, "decode", refuse(passing))
            assert run(data, folder).failures == {"real/a/1.png": "why"}
        assert run(data, folder).embedded == again


def test_digests_need_not_be_known_beforehand(data: Path, tmp_path: Path) -> None:
    (data / "real/a/copy.png").write_bytes((data / "real/a/0.png").read_bytes())
    (data / "real/a/text.png").write_text("no image")
    (data / "real/b/text.png").write_text("no image")
    table = manifest.read(data, hashed=False)
    assert set(table.sha256) == {""}
    for embedded in (14, 0):
        (done,) = extract.embed_all(table, ["pixels"], tmp_path / "f")
        assert (done.images, done.embedded, done.failed) == (17, embedded, 2)
        assert set(done.failures) == {"real/a/text.png", "real/b/text.png"}
    with (tmp_path / "f/failed.csv").open() as stream:
        assert {row["path"] for row in csv.DictReader(stream)} == {
            str(data / id_) for id_ in done.failures
        }


def test_what_the_store_has_is_not_kept_in_memory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[lanes.Lane] = []
    take_part = lanes.Lane.__init__

    def remembered(self: lanes.Lane, *given: object) -> None:
        take_part(self, *given)  # type: ignore[arg-type]
        known.append(self)

    monkeypatch.setattr(lanes.Lane, "__init__", remembered)
    run(data, tmp_path / "f", "pixels")
    assert run(data, tmp_path / "f", "pixels").reused == 14
    assert known[-1]._twins == [] and not known[-1]._claimed


def test_a_compact_set_of_digests_holds_what_was_put_in() -> None:
    every = [hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(4000)]
    every += [bytes(8) + digest[8:] for digest in every[:300]]  # all wanted in one place
    claimed = digests.Digests()
    for digest in [*every[::2], *every[::4]]:
        claimed.add(digest)
    assert len(claimed) == len(every) / 2
    assert [digest in claimed for digest in every] == [i % 2 == 0 for i in range(len(every))]


class Small(floors.RawPixels):
    """An encoder whose device holds three images."""

    fits = 3
    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.sizes = []

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        if len(pixels) > self.fits:
            raise OutOfMemoryError(f"{len(pixels)} are too many")
        self.sizes.append(len(pixels))
        return super().forward(pixels)


def test_a_batch_that_does_not_fit_is_halved(data: Path, tmp_path: Path) -> None:
    encoder, store = Small(), Store(tmp_path / "f", create=True)
    table = manifest.read(data)
    done = extract.embed(table, encoder, "pixels", store, batch_size=8, workers=2)
    assert (done.embedded, done.asked_batch_size, done.batch_size) == (14, 8, 2)
    assert max(encoder.sizes) == 2
    run(data, tmp_path / "whole", "pixels")
    whole, halved = (features(data, tmp_path / name, "pixels") for name in ("whole", "f"))
    for id_, row in whole.items():
        np.testing.assert_array_equal(row, halved[id_])
    encoder.fits = 0
    (data / "real/a/new.png").write_bytes((data / "real/a/0.png").read_bytes() + b"more")
    with pytest.raises(XprobeError, match="does not fit into the memory of the device"):
        extract.embed(manifest.read(data), encoder, "pixels", store, workers=1)


def test_what_threads_have_left_is_embedded_together(data: Path, tmp_path: Path) -> None:
    encoder, store = Small(), Store(tmp_path / "f", create=True)
    encoder.fits, encoder.fixed_batch = 8, True
    done = extract.embed(manifest.read(data), encoder, "pixels", store, batch_size=8, workers=5)
    assert done.embedded == 14
    assert encoder.sizes == [8, 8]  # the second padded
    assert run(data, tmp_path / "f", "pixels").reused == 14


PROCESSES = extract.MOST_THREADS + 1
ONE_WORKER = Execution(workers=1)


@pytest.mark.parametrize("chunk", [1, 5, 32])
def test_processes_that_decode_change_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    (data / "real/a/broken.png").write_bytes(b"no image")
    for twin in ("real/a/00.png", "synthetic/b/9.png"):  # in the same chunk, and in another
        (data / twin).write_bytes((data / "real/a/0.png").read_bytes())
    table = manifest.read(data, hashed=False)
    (data / "real/a/1.png").unlink()
    names = ["hog", "pixels"]
    extract.embed_all(table, names, tmp_path / "threads", execution=ONE_WORKER)
    monkeypatch.setattr(extract, "chunk_size", lambda *_: chunk)
    for done in extract.embed_all(
        table, names, tmp_path / "processes", execution=Execution(workers=PROCESSES)
    ):
        assert (done.images, done.embedded, done.reused, done.failed) == (17, 13, 2, 2)
        assert done.failures["real/a/1.png"] == "no such file or directory"
        assert "not an image" in done.failures["real/a/broken.png"]
    assert len({encoders.load(name).spec.input_px for name in names}) == len(names)
    for name in names:
        threads, processes = (
            features(data, tmp_path / way, name) for way in ("threads", "processes")
        )
        assert threads.keys() == processes.keys()
        for id_, row in threads.items():
            np.testing.assert_array_equal(row, processes[id_])


def test_chunks_grow_with_the_run_so_that_a_short_one_has_work_for_all_threads() -> None:
    assert extract.chunk_size(0, 16) == extract.chunk_size(255, 16) == 1
    assert extract.chunk_size(256, 16) == 2
    assert extract.chunk_size(10**6, 16) == extract.CHUNK


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes end over a content with a bomb, and over a path with one while they read it."""
    (tmp_path / "dying.py").write_text("""
import os, signal
from xprobe.features import decode_process
from xprobe.images import contents

def dying_over(is_bomb, function):
    def called(x, *more):
        if is_bomb(x):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(x, *more)
    return called

decode_process.decode = dying_over(lambda c: c.endswith(b"bomb"), decode_process.decode)
contents.read = dying_over(lambda path: "unreadable" in path, contents.read)
decode_process.serve()
""")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'dying.py'}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.mark.usefixtures("dying")
@pytest.mark.parametrize("chunk", [1, 32])
def test_an_image_that_ends_its_decoder_is_listed_and_tried_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(extract, "chunk_size", lambda *_: chunk)
    for bomb in ("real/a/1.png", "synthetic/a/2.png"):
        (data / bomb).write_bytes((data / bomb).read_bytes() + b"bomb")
    (data / "real/b/twin.png").write_bytes((data / "real/a/1.png").read_bytes())
    shutil.copy(data / "real/a/2.png", data / "real/b/unreadable.png")
    for name in ("real/a/2.png", "real/b/unreadable.png"):
        (data / name).write_bytes((data / name).read_bytes() + name.encode())
    table = manifest.read(data, hashed=False)
    store = Store(tmp_path / "f", create=True)
    encoder = encoders.load("pixels")
    done = extract.embed(table, encoder, "pixels", store, workers=PROCESSES)
    assert (done.images, done.embedded, done.reused) == (16, 12, 0)
    names = ("real/a/1.png", "synthetic/a/2.png", "real/b/twin.png", "real/b/unreadable.png")
    assert done.failures == dict.fromkeys(names, "the decoder ended over it (SIGKILL)")
    again = extract.embed(table, encoder, "pixels", store)
    assert (again.embedded, again.reused, again.failed) == (3, 13, 0)


@pytest.mark.usefixtures("dying")
def test_the_rest_of_a_chunk_is_seen_after_a_death(data: Path) -> None:
    files = sorted(data.rglob("*.png"))
    files[3].write_bytes(files[3].read_bytes() + b"bomb")
    encoder = encoders.load("hog")
    added: dict[str, np.ndarray] = {}

    def add(_number: int, name: str, fill: decode_process.Fill) -> None:
        fill(added.setdefault(name, encoder.empty_batch(1)[0]))

    with decode_process.DecodeProcess([encoder]) as process:
        requests = requests_of(process, files)
        failures = list(process.see(requests, add))
    died = decode_process.Failure("the decoder ended over it (SIGKILL)")
    assert failures == [[None]] * 3 + [[died]] + [[None]] * (len(files) - 4)
    del requests[3]
    for request in requests:
        seen = encoder.see(decode(request.place[0]))
        np.testing.assert_array_equal(added[request.digest], seen)


def requests_of(
    eyes: decode_process.Eyes | decode_process.DecodeProcess, files: Sequence[Path]
) -> list[decode_process.Request]:
    places: list[decode_process.Place] = [(str(file), None) for file in files]
    return [
        decode_process.Request(place, digest, [(0, [(digest, "")])])
        for place, digest in zip(places, eyes.digests(places), strict=True)
        if isinstance(digest, str)
    ]


def test_views_are_the_same_from_a_process(data: Path) -> None:
    encoder = encoders.load("pixels")
    (file, *_) = sorted(data.rglob("*.png"))
    views = encoder.empty_batch(2)
    rows = iter(views)
    with decode_process.DecodeProcess([encoder]) as process:
        (request,) = requests_of(process, [file])
        names = [(request.digest, ""), (request.digest, "rotate")]
        request = request._replace(views=[(0, names)])
        seen = process.see([request], lambda _i, _name, fill: fill(next(rows)))
        assert list(seen) == [[None]]
    plain = encoder.see(decode(file))
    expected = [plain, augmented(plain, "rotate", int(request.digest[:12], 16))]
    np.testing.assert_array_equal(views, expected)
    assert not np.array_equal(*views)


def test_a_content_that_was_not_kept_is_read_again_and_must_be_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch, save_picture: Callable[..., Path]
) -> None:
    monkeypatch.setattr(decode_process, "KEPT_MIB", 0)
    kept, same, changed, gone, *_ = sorted(data.rglob("*.png"))
    eyes = decode_process.Eyes([encoders.load("pixels")])
    requests = requests_of(eyes, [kept, same, changed, gone])
    save_picture(changed, "changed")
    for file in (kept, gone):
        file.unlink()
    added: list[str] = []
    failures = list(eyes.see(requests, lambda _i, name, _fill: added.append(name)))
    assert failures == [
        [None],
        [None],
        [decode_process.Failure(decode_process.CHANGED)],
        [decode_process.Failure("no such file or directory")],
    ]
    assert added == [requests[0].digest, requests[1].digest]


def test_decoders_that_do_not_start_are_said_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(XprobeError, match=r"did not start \(exit 1\); --workers 3 needs none"):
        run(data, tmp_path / "f", workers=PROCESSES)


def test_what_is_wrong_with_a_decoder_is_raised_where_it_was_asked(data: Path) -> None:
    encoder = encoders.load("hog")
    encoder.spec = replace(encoder.spec, interpolation="no such")
    files = sorted(data.rglob("*.png"))
    with decode_process.DecodeProcess([encoder]) as process:
        for _ in range(2):  # it has not ended over it
            requests = requests_of(process, files[:3])
            with pytest.raises(KeyError, match="no such"):
                list(process.see(requests, lambda *_: None))


def test_what_a_failing_device_finished_is_kept(data: Path, tmp_path: Path) -> None:
    class Failing(floors.RawPixels):
        calls = 0

        def forward(self, pixels: np.ndarray) -> np.ndarray:
            self.calls += 1
            if self.calls > 2:
                raise XprobeError("cuda:0 failed (fell off the bus); run the same again")
            return super().forward(pixels)

    store = Store(tmp_path / "f", create=True)
    with pytest.raises(XprobeError, match="fell off the bus"):
        extract.embed(manifest.read(data), Failing(), "pixels", store, batch_size=4, workers=1)
    assert run(data, tmp_path / "f", "pixels").reused == 8


def test_parts_make_up_the_whole(data: Path, tmp_path: Path) -> None:
    table = manifest.read(data)
    counts = []
    for i in (1, 2, 3):
        (done,) = extract.embed_all(table, ["pixels"], tmp_path / "f", EmbedConfig(shard=(i, 3)))
        counts.append(done.embedded)
    assert sum(counts) == 14 and max(counts) < 14
    assert run(data, tmp_path / "f", "pixels").embedded == 0


def test_lists_and_archives_are_embedded_without_classes(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "folder", "pixels")
    files = sorted(data.rglob("*.png"))
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for file in files[:5]:
            tar.add(file, file.relative_to(data))
        tar.add(__file__, "readme.txt")
    listed = [str(file.relative_to(tmp_path)) for file in files[5:]]
    (tmp_path / "list.txt").write_text("\n".join([*listed, "some.tar", "gone.png", ""]))
    (done,) = extract.embed_all(tmp_path / "list.txt", ["pixels"], tmp_path / "list")
    assert (done.images, done.embedded, done.failed) == (15, 14, 1)
    assert done.failures == {"gone.png": "no such file or directory"}
    folder, list_ = (features(data, tmp_path / name, "pixels") for name in ("folder", "list"))
    for id_, row in folder.items():
        np.testing.assert_array_equal(row, list_[id_])
    (again,) = extract.embed_all(tmp_path / "some.tar", ["pixels"], tmp_path / "list")
    assert (again.embedded, again.reused) == (0, 5)
    with pytest.raises(XprobeError, match="neither prompts nor views"):
        extract.embed_all(
            tmp_path / "some.tar", ["pixels"], tmp_path / "list", EmbedConfig(augment=("flip",))
        )


def test_members_of_an_archive_can_stand_in_a_manifest(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "f", "pixels")
    table = manifest.read(data)
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for id_ in table.id:
            tar.add(data / id_, id_)
    lines = [f"all.tar::{i},{c},{s}" for i, c, s in zip(table.id, table.label, table.source)]  # noqa: B905
    (tmp_path / "m.csv").write_text("\n".join(["path,label,source", *lines]))
    packed = manifest.read(tmp_path / "m.csv")
    assert sorted(packed.sha256) == sorted(table.sha256)
    (done,) = extract.embed_all(packed, ["pixels"], tmp_path / "f")
    assert (done.embedded, done.reused) == (0, 14)
    assert survey.shapes(packed)[1] == {}


def test_an_encoder_that_takes_a_short_cut_says_how_near_it_comes(
    data: Path, tmp_path: Path
) -> None:
    table = manifest.read(data)
    (exact,) = extract.embed_all(table, ["pixels"], tmp_path / "f")
    (fast,) = extract.embed_all(table, ["pixels"], tmp_path / "f", EmbedConfig(resampling="fast"))
    assert exact.cosine_to_reference is None and exact.key != fast.key
    assert fast.cosine_to_reference is not None and 0.9999 < fast.cosine_to_reference <= 1.000001
    store = Store(tmp_path / "f")
    (stored,) = [e for e in store.encoders() if e.key == fast.key]
    about = store.agreement(stored)
    assert about == Agreement(images=lanes.COMPARED, least_cosine=fast.cosine_to_reference)


def test_the_reference_is_compared_beside_processes_that_decode(data: Path, tmp_path: Path) -> None:
    encoder, store = encoders.load("hog"), Store(tmp_path / "f", create=True)
    encoder.reference = encoders.load("hog")
    done = extract.embed(manifest.read(data), encoder, "hog", store, workers=PROCESSES)
    assert done.cosine_to_reference == pytest.approx(1, abs=1e-6)
    assert store.agreement(store.find("hog")[0]).images == lanes.COMPARED
