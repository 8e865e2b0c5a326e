"""Features of texts in a store: each text once, whole files, several processes, upkeep."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import SPEC, digest, write_all

from xprobe.base.arrays import Floats
from xprobe.base.errors import UnreadableError, XprobeError
from xprobe.features import texts, upkeep
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store
from xprobe.features.texts import (
    digest_of_text,
    embed_texts,
    gather_texts,
    put_texts,
    read_texts,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "store-v1-texts"


@pytest.fixture
def encoder(tmp_path: Path) -> StoredEncoder:
    return Store(tmp_path / "store", create=True).add_encoder("golden", SPEC)


class Spoken:
    """A text side of three dimensions that keeps account of what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, given: Sequence[str]) -> tuple[Floats, float]:
        self.batches.append(list(given))
        rows = [np.frombuffer(bytes.fromhex(digest_of_text(t))[:3], np.uint8) + 1.0 for t in given]
        return np.array(rows, dtype=np.float32), 20.0

    @property
    def said(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


def files_of(encoder: StoredEncoder) -> list[Path]:
    return sorted((encoder.folder / "texts").glob("*.npz"))


def test_each_text_is_embedded_once_and_comes_back_in_unit_length(encoder: StoredEncoder) -> None:
    side = Spoken()
    kept = embed_texts(side, encoder, ["a", "b", "a"])
    assert side.said == ["a", "b"]
    x, _ = Spoken()(["b", "a"])
    np.testing.assert_allclose(
        kept.of_texts(["b", "a"]), x / np.linalg.norm(x, axis=1, keepdims=True), rtol=1e-6
    )
    assert kept.logit_scale == 20.0
    assert "c" not in kept
    again = embed_texts(side, encoder, ["c", "b", "a"])
    assert side.said == ["a", "b", "c"]
    assert again.of_texts(["a"]).tobytes() == kept.of_texts(["a"]).tobytes()
    with pytest.raises(KeyError):
        again.of_texts(["d"])


def test_a_table_without_texts_stores_nothing(encoder: StoredEncoder) -> None:
    kept = embed_texts(Spoken(), encoder, [])
    assert (len(kept.x), kept.row_of) == (0, {})
    assert not (encoder.folder / "texts").exists()


def test_many_texts_are_given_in_batches_and_a_kill_loses_one_file(
    encoder: StoredEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "BATCH", 2)
    monkeypatch.setattr(texts, "FILE_ROWS", 5)
    side, many = Spoken(), [str(i) for i in range(12)]

    def killed(given: Sequence[str]) -> tuple[Floats, float]:
        if "7" in given:
            raise KeyboardInterrupt
        return side(given)

    with pytest.raises(KeyboardInterrupt):
        embed_texts(killed, encoder, many)
    assert [len(batch) for batch in side.batches] == [2, 2, 1, 2]
    assert len(files_of(encoder)) == 1
    side.batches.clear()
    kept = embed_texts(side, encoder, many)
    assert side.said == many[5:]
    assert len(kept.row_of) == 12


def test_of_a_text_in_two_files_the_first_by_name_counts(encoder: StoredEncoder) -> None:
    rows = {put_texts(encoder, ["a"], np.eye(3)[[i]], 1.0): i for i in range(3)}
    assert len(files_of(encoder)) == 3
    expected = np.eye(3)[rows[min(rows)]]
    assert read_texts(encoder).of_texts(["a"])[0].tolist() == expected.tolist()
    gather_texts(encoder)
    assert len(files_of(encoder)) == 1
    assert read_texts(encoder).of_texts(["a"])[0].tolist() == expected.tolist()


def test_reading_goes_on_while_files_are_gathered(
    encoder: StoredEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_texts(Spoken(), encoder, ["a"])
    embed_texts(Spoken(), encoder, ["b"])
    plain = texts.read_bytes
    gathered: list[bool] = []

    def late(file: Path) -> bytes:
        if not gathered:
            gathered.append(True)
            gather_texts(encoder)
        return plain(file)

    monkeypatch.setattr(texts, "read_bytes", late)
    assert len(read_texts(encoder).row_of) == 2
    assert len(files_of(encoder)) == 1


def test_several_may_write_at_once(encoder: StoredEncoder) -> None:
    many = [str(i) for i in range(40)]
    parts = [many[:30], many[10:], many]
    threads = [
        threading.Thread(target=embed_texts, args=(Spoken(), encoder, part)) for part in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    x, _ = Spoken()(many)
    np.testing.assert_allclose(
        read_texts(encoder).of_texts(many), x / np.linalg.norm(x, axis=1, keepdims=True), rtol=1e-6
    )


@pytest.mark.parametrize("x", [np.zeros((1, 3)), np.full((1, 3), np.nan), np.full((1, 3), np.inf)])
def test_features_that_are_none_are_not_stored(encoder: StoredEncoder, x: Floats) -> None:
    with pytest.raises(XprobeError, match="golden gives no finite feature of the text 'a'"):
        put_texts(encoder, ["a"], x, 1.0)
    assert not files_of(encoder)


def packed(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


ABOUT = {"version": 1, "encoder": SPEC.key, "logit_scale": 1.0}
RAW = np.frombuffer(bytes.fromhex(digest("a")), np.uint8).reshape(1, 32)


def about(**further: Any) -> Any:
    return np.array(json.dumps(ABOUT | further))


DAMAGES: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda content: content[:-1], "other bytes than were written"),
    (lambda _: b"", "other bytes than were written"),
]
CONTENTS: list[tuple[bytes, str]] = [
    (b"junk", ""),
    (packed(x=np.eye(3)[:1], sha256=RAW), ""),
    (packed(x=np.eye(3)[:1], sha256=RAW, about=about(version=2)), "only a newer xprobe reads"),
    (packed(x=np.eye(3)[:1], sha256=RAW, about=about(encoder="0" * 64)), "of another encoder"),
    (packed(x=np.eye(3), sha256=RAW, about=about()), "of another encoder"),
    (packed(x=np.eye(3)[:1], sha256=RAW[:, :9], about=about()), "no digests"),
    (packed(x=np.eye(3)[:1] * np.nan, sha256=RAW, about=about()), "not finite"),
    (packed(x=np.eye(3)[:1], sha256=RAW, about=np.array("[]")), ""),
]


def check_damage(encoder: StoredEncoder, file: Path, words: str) -> None:
    with pytest.raises(XprobeError, match="'xprobe embed --prompts' again") as error:
        read_texts(encoder)
    assert str(error.value).startswith(f"{file}: damaged (")
    assert words in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(XprobeError, match="damaged"):
        gather_texts(encoder)
    store = Store(encoder.folder.parent)
    ((named, reason),) = upkeep.verify(store, encoder).damaged
    assert named == str(file) and words in reason
    with pytest.raises(XprobeError, match="damaged"):
        upkeep.merge(store, Store(store.folder.with_name("other"), create=True))


@pytest.mark.parametrize(("harm", "words"), DAMAGES)
def test_changed_bytes_are_noticed(
    encoder: StoredEncoder, harm: Callable[[bytes], bytes], words: str
) -> None:
    file = put_texts(encoder, ["a"], np.eye(3)[:1], 1.0)
    file.write_bytes(harm(file.read_bytes()))
    check_damage(encoder, file, words)


@pytest.mark.parametrize(("content", "words"), CONTENTS)
def test_files_of_another_form_are_noticed(
    encoder: StoredEncoder, content: bytes, words: str
) -> None:
    (encoder.folder / "texts").mkdir()
    file = encoder.folder / "texts" / texts._name_of(content)
    file.write_bytes(content)
    check_damage(encoder, file, words)


def test_what_cannot_be_read_now_is_not_called_damaged(
    encoder: StoredEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put_texts(encoder, ["a"], np.eye(3)[:1], 1.0)

    def away(file: Path) -> bytes:
        raise UnreadableError(f"{file}: away")

    monkeypatch.setattr(texts, "read_bytes", away)
    verified = upkeep.verify(Store(encoder.folder.parent), encoder)
    assert (verified.damaged, verified.unreadable) == ((), ((str(file), f"{file}: away"),))


def test_info_counts_texts_and_merging_copies_those_that_lack(
    encoder: StoredEncoder, tmp_path: Path
) -> None:
    embed_texts(Spoken(), encoder, ["a", "b"])
    store, other = Store(encoder.folder.parent), Store(tmp_path / "other", create=True)
    write_all(other)
    (target,) = other.encoders()
    embed_texts(Spoken(), target, ["b", "c"])
    assert upkeep.describe(other, target).texts == 2
    assert [row.texts for row in upkeep.merge(store, other)] == [1]
    assert [row.texts for row in upkeep.merge(store, other)] == [0]
    assert upkeep.describe(other, target).texts == 3
    upkeep.collect(other, target)
    assert len(files_of(target)) == 1
    assert set(read_texts(target).row_of) == {digest_of_text(text) for text in "abc"}


def test_stores_of_an_older_xprobe_have_no_texts() -> None:
    store = Store(GOLDEN.with_name("store-v1"))
    (encoder,) = store.encoders()
    assert read_texts(encoder).row_of == {}
    assert upkeep.describe(store, encoder).texts == 0


def test_texts_of_the_format_of_today_are_read_for_good() -> None:
    (encoder,) = Store(GOLDEN).encoders()
    kept = read_texts(encoder)
    np.testing.assert_allclose(kept.of_texts(["a river", "ein Fluß"]), np.eye(3)[[0, 2]])
    assert kept.logit_scale == 100.0
    (file,) = files_of(encoder)
    with np.load(file) as arrays:
        assert sorted(arrays) == ["about", "sha256", "x"]
        assert (arrays["sha256"].dtype, arrays["x"].dtype) == (np.uint8, np.float32)
