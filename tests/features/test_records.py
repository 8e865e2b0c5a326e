"""Damage and newer versions in the JSON of a store: one line that says what to do, no traceback."""

from __future__ import annotations

import copy
import errno
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import SPEC, Ran, digest, manifest_of
from msgspec.structs import replace

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.encoders.prompts import TextFeatures
from xprobe.features import upkeep
from xprobe.features.aliases import choose_encoders
from xprobe.features.export import export
from xprobe.features.records import Agreement
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store

IMAGES = manifest_of("a", "b", "bad")
CLASSES = ("x", "y")
REMEDIES = ("delete", "upgrade", "name another", "make them")
OTHERS: list[Any] = [None, 7, -0.5, "text", [], {}, float("nan")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one of every kind of file."""
    store = Store(tmp_path / "store", create=True)
    encoder = store.add_encoder("golden", SPEC)
    store.write_shard(encoder, [digest("a"), digest("b")], np.eye(3)[:2], {digest("bad"): "why"})
    store.put_agreement(encoder, Agreement(images=8, least_cosine=0.999))
    store.put_text(encoder, TextFeatures(CLASSES, np.eye(3)[:2], 100.0, "plain"))
    return store


def errors_of(folder: Path) -> list[str]:
    """Do everything that reads a store; return what each part of it says of damage."""
    errors: list[str] = []
    copied = folder.with_name("copied")

    def attempt(part: Callable[[Store, StoredEncoder], object]) -> None:
        try:
            store = Store(folder)
            for encoder in store.encoders():
                part(store, encoder)
        except XprobeError as error:
            errors.append(str(error))

    def verify(store: Store, encoder: StoredEncoder) -> None:
        verified = upkeep.verify(store, encoder)
        errors.extend(f"{file}: {reason}; delete it" for file, reason in verified.damaged)
        errors.extend(reason for _, reason in verified.unreadable)

    with suppress(XprobeError):
        errors.extend(str(e) for e in Store(folder).unusable_encoders() if not e.is_newer)
    attempt(lambda store, _: choose_encoders(store, IMAGES, ()))
    attempt(lambda store, _: choose_encoders(store, IMAGES, ["golden"]))
    attempt(upkeep.describe)
    attempt(verify)
    attempt(lambda store, encoder: store.read(encoder, IMAGES))
    attempt(lambda store, encoder: store.read_text(encoder, CLASSES))
    attempt(lambda store, _: upkeep.merge(store, Store(copied, create=True)))
    attempt(lambda store, encoder: export(store, encoder, copied / "x.npz", None))
    attempt(lambda store, _: store.add_encoder("golden", SPEC))
    attempt(upkeep.collect)  # the last one, since it changes the store
    shutil.rmtree(copied, ignore_errors=True)
    return errors


def nodes_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every node of a JSON value."""
    yield path
    names = list(value) if isinstance(value, dict) else []
    for name in range(len(value)) if isinstance(value, list) else names:
        yield from nodes_of(value[name], (*path, name))


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """Return a JSON value with another node at a path; without it, if `other` is `changed`."""
    if not path:
        return other
    value = copy.deepcopy(value)
    parent = value
    for name in path[:-1]:
        parent = parent[name]
    if other is changed:
        del parent[path[-1]]
    else:
        parent[path[-1]] = other
    return value


def damages(text: str) -> Iterator[tuple[bytes, bool]]:
    """Yield damaged contents of a JSON file, and whether that must be noticed."""
    yield from ((cut, True) for cut in (b"", b"{}", b"\xff\xfe\x00{", b"[" * 100_000))
    yield from ((text.encode()[: len(text) * i // 4], True) for i in (1, 2, 3))
    value = json.loads(text)
    for path in nodes_of(value):
        for other in [*OTHERS, *([changed] if path else [])]:
            content = json.dumps(changed(value, path, other)).encode()
            yield content, other is None or other != other


@pytest.mark.parametrize("name", ["format", "encoder", "receipts/*", "agreement"])
def test_damage_in_any_file_is_one_line_with_the_file_and_a_remedy(store: Store, name: str) -> None:
    (file,) = store.folder.glob(f"**/{name}.json")
    damaged = store.folder.with_name("damaged")
    for content, must_be_noticed in damages(file.read_text()):
        shutil.copytree(store.folder, damaged)
        (damaged / file.relative_to(store.folder)).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", XprobeWarning)
            errors = errors_of(damaged)
        assert errors or not must_be_noticed, content
        for error in errors:
            assert "\n" not in error
            if "are not embedded with golden" in error:  # the digest became that of another image
                continue
            assert str(damaged) in error, (content, error)
            assert any(word in error for word in REMEDIES), (content, error)
        shutil.rmtree(damaged)


def test_damaged_text_features_are_one_line_with_the_file_and_a_remedy(store: Store) -> None:
    (encoder,) = store.encoders()
    (file,) = encoder.folder.glob("text/*.npz")
    whole = file.read_bytes()
    with np.load(file) as arrays:
        about, x = str(arrays["about"]), arrays["x"]
    contents = [(whole[: len(whole) * i // 7], True) for i in range(7)] + [(b"junk" * 99, True)]
    for arrays in (
        {"x": x},
        {"about": about},
        {"x": x[:1], "about": about},
        {"x": x * np.nan, "about": about},
    ):
        contents.append((packed(**arrays), True))
    for text, must_be_noticed in damages(about):
        contents.append((packed(x=x, about=text.decode("latin-1")), must_be_noticed))
    for content, must_be_noticed in contents:
        file.write_bytes(content)
        try:
            text = store.read_text(encoder, CLASSES)
            assert text is not None and not must_be_noticed, content
        except XprobeError as error:
            assert str(error).startswith(f"{file}: damaged (") and "\n" not in str(error)
            assert str(error).endswith("delete it and run 'xprobe embed --prompts' again")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", ["format.json", "receipts/*.json", "agreement.json", "text/*.npz"])
def test_a_file_that_cannot_be_read_now_is_nothing_to_delete(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    (file,) = store.folder.glob(f"**/{name}")
    read_bytes = Path.read_bytes

    def read(self: Path) -> bytes:
        if self == file:
            raise OSError(code, os.strerror(code), str(self))
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    errors = errors_of(store.folder)
    assert errors
    for error in errors:
        assert f"{file}: cannot be read now ({os.strerror(code).lower()})" in error
        assert "delete" not in error


@pytest.mark.parametrize("name", ["receipts/*.json", "agreement.json", "text/*.npz"])
def test_a_link_in_the_place_of_a_file_is_not_followed(store: Store, name: str) -> None:
    (file,) = store.folder.glob(f"**/{name}")
    elsewhere = store.folder.with_name("elsewhere")
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    errors = errors_of(store.folder)
    assert errors and all("no file, but a link" in error for error in errors)


def packed(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("rows", "2", r"Expected `int`, got `str` - at `\$\.rows`"),
        ("rows", -1, r"\$\.rows"),
        ("shard", "../../elsewhere.h5", r"\$\.shard"),
        ("shard", f"../{'0' * 13}-{'0' * 16}.h5", r"\$\.shard"),
        ("shard", f"{'0' * 16}-{'0' * 16}.h5\n", r"\$\.shard"),
        ("shard", [1], r"\$\.shard"),
        ("shard", "a\0b", r"\$\.shard"),
        ("rows", float("inf"), "Infinity"),
        ("shard", None, "2 rows in the shard None"),
        ("sha256", "0", r"\$\.sha256"),
        ("failed", [{"sha256": "a"}], r"\$\.failed\[0\]"),
    ],
)
def test_a_damaged_receipt_names_the_place_and_what_to_delete(
    store: Store, field: str, value: Any, place: str
) -> None:
    (encoder,) = store.encoders()
    (file,) = store.receipt_files(encoder)
    file.write_text(json.dumps(json.loads(file.read_text()) | {field: value}))
    with pytest.raises(
        XprobeError,
        match=rf"json: damaged \(.*{place}.*\); delete it and run 'xprobe embed' again$",
    ):
        store.index(encoder)


def test_a_receipt_of_a_newer_version_is_not_guessed_at(store: Store) -> None:
    (encoder,) = store.encoders()
    (file,) = store.receipt_files(encoder)
    file.write_text(json.dumps({"version": 2, "shards": []}))
    with pytest.raises(XprobeError, match="written by a newer xprobe; upgrade"):
        store.index(encoder)


def test_another_spec_than_that_of_the_key_is_damage(store: Store) -> None:
    (file,) = store.folder.glob("*/encoder.json")
    file.write_text(file.read_text().replace("bicubic", "bilinear"))
    with pytest.raises(XprobeError, match=r"encoder.json: damaged .*digest of \$\.spec.*; delete"):
        store.find("golden")


def test_a_deleted_encoder_record_comes_back_with_its_shards(store: Store) -> None:
    (encoder,) = store.encoders()
    (encoder.folder / "encoder.json").unlink()
    assert store.encoders() == []
    again = store.add_encoder("golden", SPEC)
    assert again == encoder and len(store.index(again).rows) == 2


# --- of a newer xprobe ----------------------------------------------------------------------


@pytest.fixture
def mixed(store: Store) -> Store:
    """A store whose second encoder has a field in its spec that only a newer xprobe knows."""
    encoder = store.add_encoder("later", replace(SPEC, precision="bf16"))
    store.write_shard(encoder, [digest("a"), digest("b")], np.eye(3)[1:], {digest("bad"): "why"})
    file = encoder.folder / "encoder.json"
    record = json.loads(file.read_text())
    record["spec"]["crop"] = 0.9
    file.write_text(json.dumps(record))
    return store


def test_an_encoder_of_a_newer_xprobe_alone_is_out_of_use(mixed: Store) -> None:
    (encoder,) = mixed.encoders()
    (newer,) = mixed.unusable_encoders()
    assert newer.is_newer
    assert (encoder.name, newer.name) == ("golden", "later")
    assert mixed.find("golden") == [encoder]
    assert mixed.read(encoder, IMAGES)[0].x.shape == (2, 3)
    for name in ("later", f"later@{newer.key[:8]}"):
        with pytest.raises(XprobeError, match="later was written by a newer xprobe; upgrade"):
            mixed.find(name)
    with pytest.raises(XprobeError, match="newer xprobe; upgrade"):
        mixed.add_encoder("later", replace(SPEC, precision="bf16"))
    with pytest.warns(XprobeWarning, match="later was written by a newer xprobe.*left out"):
        assert [chosen for chosen, _ in choose_encoders(mixed, IMAGES, ())] == [encoder]
    with pytest.raises(XprobeError, match="newer xprobe; upgrade"):
        choose_encoders(mixed, IMAGES, ["later"])


@pytest.mark.parametrize("field", ["resize", "precision"])
def test_a_value_that_only_a_newer_xprobe_knows_is_no_damage(store: Store, field: str) -> None:
    spec = replace(SPEC, **{field: "other"})
    with pytest.raises(ValueError, match="unknown resize mode, precision or field"):
        store.add_encoder("later", spec)
    (encoder,) = store.encoders()
    record = json.loads((encoder.folder / "encoder.json").read_text())
    record |= {"name": "later", "key": spec.key, "spec": record["spec"] | {field: "other"}}
    folder = store.folder / "later"
    folder.mkdir()
    (folder / "encoder.json").write_text(json.dumps(record))
    assert [(e.name, e.is_newer) for e in store.unusable_encoders()] == [("later", True)]


def test_further_fields_elsewhere_change_nothing(store: Store) -> None:
    for file in store.folder.rglob("*.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"later": [1]}))
    assert errors_of(store.folder) == []


def test_commands_list_a_newer_encoder_and_leave_it(
    mixed: Store, xprobe: Callable[..., Ran], tmp_path: Path
) -> None:
    folder = str(mixed.folder)
    (newer,) = mixed.unusable_encoders()
    told = "later was written by a newer xprobe; upgrade this one"
    assert told in xprobe("store", "info", folder).out
    info = xprobe("store", "info", folder, "--json").json
    assert [row["name"] for row in info["encoders"]] == ["golden"]
    assert info["newer"] == [{"name": "later", "key": newer.key}]
    before = {file: file.read_bytes() for file in newer.folder.rglob("*.*")}
    for command in (["verify", folder], ["merge", folder, "--into", "m"], ["gc", folder]):
        ran = xprobe("store", *command, "--json")
        assert ran.code == 0 and told in ran.err, ran.err
        (row,) = ran.json.get("encoders") or ran.json["merged"]
        assert row["name"] == "golden"
    assert {file: file.read_bytes() for file in newer.folder.rglob("*.*")} == before
    ran = xprobe("store", "export", "x.npz", "--encoder", "later", "--store", folder)
    assert ran.code == 1 and told in ran.err


def test_a_sweep_warns_of_a_newer_encoder(
    make_data: Callable[..., Path], xprobe: Callable[..., Ran]
) -> None:
    make_data(real=5, synthetic=5)
    for name in ("hog", "pixels"):
        assert xprobe("embed", "--encoder", name).code == 0
    (file,) = Path("features").glob("hog-*/encoder.json")
    record = json.loads(file.read_text())
    record["spec"]["crop"] = 0.9
    file.write_text(json.dumps(record))
    options = ("--ratios", "1", "--repeats", "1", "--c-grid", "1", "--workers", "1", "--json")
    ran = xprobe("sweep", *options)
    assert ran.code == 0 and {row["encoder"] for row in ran.json["results"]} == {"pixels"}
    assert "warning: features/hog-" in ran.err and "left out" in ran.err
    ran = xprobe("sweep", "--encoder", "hog", *options)
    assert ran.code == 1 and ran.err.count("\n") == 1
    assert "hog was written by a newer xprobe; upgrade this one" in ran.err
