"""Manifest × encoder → store: nothing twice, nothing lost, bad images set aside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xprobe import encoders, extract, floors, manifest
from xprobe.images import decode, reencode
from xprobe.store import Store
from xprobe.types import Manifest


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    return make_data(real=3, synthetic=4)


def run(data: Path, folder: Path, name: str = "hog", **options: int) -> extract.Embedded:
    encoder = encoders.load(name)
    return extract.embed(manifest.read(data), encoder, name, Store(folder, create=True), **options)


def features(data: Path, folder: Path, name: str = "hog") -> dict[str, np.ndarray]:
    store = Store(folder)
    found, _ = store.read(store.find(name)[0], manifest.read(data))
    return dict(zip(found.id, found.x, strict=True))


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
    monkeypatch.setattr(extract, "SHARD_ROWS", 3)
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
        extract.embed_all(table, ["pixels"], tmp_path / "features", codec=codec)
    store = Store(tmp_path / "features")
    plain, coded = sorted(store.encoders(), key=lambda e: e.spec.codec)
    assert coded.spec == replace(plain.spec, codec="jpeg-60")
    assert len(set(store.labels().values())) == 2
    encoder, path_of = encoders.load("pixels"), dict(zip(table.id, table.path, strict=True))
    features = store.read(coded, table)[0]
    for i, x in zip(features.id, features.x, strict=True):
        seen = encoder.preprocess(reencode(decode(path_of[i]), "jpeg-60"))
        np.testing.assert_array_equal(x, encoder.forward(seen[None])[0])
