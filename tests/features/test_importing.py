"""Features that were computed elsewhere: every way in, every refusal, and a study of them."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers import Ran

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.encoders.load import ENCODERS
from xprobe.features import importing as imports
from xprobe.features.importing import Imported, import_features
from xprobe.features.store import Store
from xprobe.images import read as manifest
from xprobe.images.manifest import Manifest

DIM = 12  # so that x10 comes after x9, not after x1
FAST = ("--ratios", "1", "--repeats", "1", "--c-grid", "1", "--workers", "1")

Save = Callable[..., Path]


def features_of(names: Sequence[str]) -> Floats:
    """A row that the name alone decides, so that a row under a wrong name is seen."""
    rows = [np.random.default_rng(list(name.encode())).normal(size=DIM) for name in names]
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def data(make_data: Callable[..., Path]) -> Path:
    return make_data(real=2, synthetic=2)


@pytest.fixture
def table(data: Path) -> Manifest:
    return manifest.read(data)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """``save(x=…, id=…, suffix=".npz")``: a file of these arrays, as others would write it."""

    def write(suffix: str = ".npz", **columns: Any) -> Path:
        file = tmp_path / f"foreign{suffix}"
        if suffix == ".npz":
            np.savez(file, **columns)
        elif suffix in (".h5", ".hdf5"):
            with h5py.File(file, "w") as h5:
                for name, values in columns.items():
                    h5[name] = values
        else:
            lists = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in columns.items()}
            pq.write_table(pa.table(lists), file)
        return file

    return write


def run(table: Manifest, file: Path, store: str | Path = "", **options: Any) -> Imported:
    folder = Path(store or file.parent / "features")
    return import_features(table, file, "mine", Store(folder, create=True), **options)


def stored(store: Path, table: Manifest) -> Floats:
    opened = Store(store)
    (encoder,) = opened.encoders()
    features, failed = opened.read(encoder, table)
    assert list(features.id) == list(table.id)
    assert failed == {}
    return features.x


def refusal(table: Manifest, file: Path, **options: Any) -> str:
    with pytest.raises(XprobeError) as error:
        run(table, file, **options)
    text = str(error.value)
    assert "\n" not in text
    assert not list((file.parent / "features").glob("*/shards/*"))  # refused before anything is put
    return text


# --- ways in -------------------------------------------------------------------------


def numbered(x: Floats, form: str) -> dict[str, Any]:
    return {form.format(i): column for i, column in reversed(list(enumerate(x.T)))}


def as_csv(names: list[str], x: Floats, file: Path) -> None:
    head = ",".join(["id", *(f"x{i}" for i in range(DIM))])
    lines = [",".join([n, *map(repr, row)]) for n, row in zip(names, x.tolist(), strict=True)]
    file.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    "way",
    [
        "npz", "features", "embeddings", "bytes", "h5", "h5-fixed", "parquet", "embedding",
        "fixed-lists", "x0", "0", "csv",
    ],
)  # fmt: skip
def test_every_format_gives_the_same_features_by_name(
    table: Manifest, tmp_path: Path, save: Save, way: str
) -> None:
    names = [str(name) for name in table.id[::-1]]
    x = features_of(names)
    text = np.array(names, dtype=str)
    if way in ("features", "embeddings"):
        file = save(**{"id": text, way: x})
    elif way == "bytes":
        file = save(id=np.array([n.encode() for n in names]), x=x.astype(">f4"))
    elif way == "h5":
        file = save(".h5", id=names, x=x)
    elif way == "h5-fixed":
        file = save(".hdf5", id=np.array([n.encode() for n in names]), features=x)
    elif way == "fixed-lists":
        column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), DIM)
        file = save(".parquet", id=names, x=column)
    elif way in ("parquet", "embedding"):
        column = "x" if way == "parquet" else "embedding"
        file = save(".parquet", **{"id": names, column: list(x)})
    elif way in ("x0", "0"):
        file = save(".parquet", id=names, **numbered(x, way.replace("0", "{}")))
    elif way == "csv":
        file = tmp_path / "foreign.csv"
        as_csv(names, x, file)
    else:
        file = save(id=text, x=x)
    done = run(table, file)
    assert (done.images, done.embedded, done.reused, done.failed) == (8, 8, 0, 0)
    assert (done.dim, done.unmatched_rows, done.missing_images) == (DIM, 0, 0)
    np.testing.assert_array_equal(stored(tmp_path / "features", table), features_of(table.id))


@pytest.mark.parametrize(
    "way", ["below DATA", "absolute", "link", "link below", "here", "digest", "raw digest"]
)
def test_images_are_found_by_path_and_by_content(
    data: Path, table: Manifest, tmp_path: Path, save: Save, way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").symlink_to(data)
    x = features_of(table.id)
    paths = {"below DATA": "./", "absolute": f"{data}/", "link": f"{tmp_path}/elsewhere/",
             "link below": "../elsewhere/", "here": "data/"}  # fmt: skip
    if way in paths:
        names = np.array([f"{paths[way]}{id_}" for id_ in table.id])
        done = run(table, save(path=names, x=x), bases=[data])
    elif way == "digest":
        upper = [digest.upper() for digest in table.sha256]
        done = run(table, save(sha256=np.array(upper), id=table.id[::-1].astype(str), x=x))
    else:
        raw = np.frombuffer(bytes.fromhex("".join(table.sha256)), np.uint8).reshape(-1, 32)
        done = run(table, save(".h5", sha256=raw, x=x))
    assert done.embedded == 8
    np.testing.assert_array_equal(stored(tmp_path / "features", table), x)


def test_paths_may_be_relative_to_several_folders(
    data: Path, table: Manifest, tmp_path: Path, save: Save
) -> None:
    x = features_of(table.id)
    names = np.array([id_.removeprefix("real/") for id_ in table.id])
    file = save(path=names, x=x)
    assert run(table, file, bases=[tmp_path, data / "real", data]).embedded == len(table)
    np.testing.assert_array_equal(stored(tmp_path / "features", table), x)
    names = np.array([id_.partition("/")[2] for id_ in table.id])
    said = "leads to different images from several DATA; give ids or absolute paths"
    with pytest.raises(XprobeError, match=said):
        run(table, save(path=names, x=x), bases=[data / "real", data / "synthetic"])


def test_a_group_of_hdf5_is_no_array(table: Manifest, tmp_path: Path) -> None:
    x = features_of(table.id)
    with h5py.File(tmp_path / "foreign.h5", "w") as h5:
        h5["x/deeper"] = x[::-1]
        h5["id"], h5["features"] = list(table.id), x
    run(table, tmp_path / "foreign.h5")
    np.testing.assert_array_equal(stored(tmp_path / "features", table), x)


def test_a_path_that_no_file_can_have_is_of_no_image(
    table: Manifest, tmp_path: Path, save: Save
) -> None:
    names = [*table.path, "zero\0byte", "x" * 5000]
    done = run(table, save(path=np.array(names, dtype=str), x=features_of(names)))
    assert (done.embedded, done.unmatched_rows) == (8, 2)


def test_ids_that_look_like_numbers_stay_text(
    make_manifest: Callable[..., Manifest], tmp_path: Path
) -> None:
    digests = ["1" * 64, "2" * 64]
    table = make_manifest(["a", "b"], id=["007", "7"], sha256=digests)
    (tmp_path / "foreign.csv").write_text("id,0,1\n7,1,2\n007,3,4\n")
    assert run(table, tmp_path / "foreign.csv").embedded == 2
    np.testing.assert_array_equal(stored(tmp_path / "features", table), [[3, 4], [1, 2]])


def test_other_precisions_become_float32(table: Manifest, tmp_path: Path, save: Save) -> None:
    x = features_of(table.id)
    for kind in (np.float64, np.float16, np.int32):
        given = (100 * x).astype(kind)
        store = tmp_path / kind.__name__
        run(table, save(id=table.id.astype(str), x=given), store)
        kept = stored(store, table)
        assert kept.dtype == np.float32
        np.testing.assert_array_equal(kept, given.astype(np.float32))


# --- what is an encoder, and what is new ---------------------------------------------


def test_the_spec_survives_the_store_and_its_key_follows_the_content(
    table: Manifest, tmp_path: Path, save: Save
) -> None:
    x, ids = features_of(table.id), table.id.astype(str)
    first = run(table, save(id=ids, x=x))
    store = Store(tmp_path / "features")
    (encoder,) = store.encoders()
    assert encoder.key == encoder.spec.key == first.key
    assert (encoder.spec.source, encoder.spec.layer, encoder.spec.dim) == (
        "import:mine", "imported", DIM,
    )  # fmt: skip
    assert (encoder.spec.mean, encoder.spec.std, encoder.spec.input_px) == ((), (), (0, 0))
    order = np.arange(8)[::-1]
    again = run(table, save(".h5", id=[str(i) for i in ids[order]], x=x[order].astype(np.float64)))
    assert (again.key, again.embedded, again.reused) == (first.key, 0, 8)
    assert again.label == "mine"
    changed = x.copy()
    changed[3, 4] = np.nextafter(x[3, 4], np.float32(9))
    other = run(table, save(id=ids, x=changed))
    assert (other.key == first.key, other.embedded) == (False, 8)
    assert other.label == f"mine@{other.key[:8]}"
    assert f"--encoder {other.label}" in imports.remarks(other, "f")[0]
    swapped = run(table, save(id=ids[order], x=x))  # equal rows, under other images
    assert len({first.key, other.key, swapped.key}) == 3
    alone = [run(table, save(id=ids[[i]], x=x[:1]), allow_missing=True) for i in (0, 1)]
    assert alone[0].key != alone[1].key  # equal features, of another image


def test_large_files_are_put_in_shards_and_a_killed_run_goes_on(
    table: Manifest, tmp_path: Path, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "SHARD_ROWS", 3)
    x = features_of(table.id)
    file = save(id=table.id.astype(str), x=x)
    run(table, file)
    (shards,) = (tmp_path / "features").glob("*/shards")
    assert len(list(shards.iterdir())) == 3
    min((shards.parent / "receipts").iterdir()).unlink()
    done = run(table, file)
    assert done.embedded in (2, 3)
    assert done.images == done.embedded + done.reused
    np.testing.assert_array_equal(stored(tmp_path / "features", table), x)


def test_rows_of_other_images_are_counted_and_left_out(
    table: Manifest, tmp_path: Path, save: Save
) -> None:
    names = ["other/1.png", *table.id, "other/2.png"]
    done = run(table, save(id=np.array(names, dtype=str), x=features_of(names)))
    assert (done.unmatched_rows, done.embedded) == (2, 8)
    assert "2 rows of f " in imports.remarks(done, "f")[0]
    alone = run(table, save(id=table.id.astype(str), x=features_of(table.id)))
    assert (alone.key, alone.embedded) == (done.key, 0)


def test_a_missing_image_is_an_error_unless_it_may_be(
    table: Manifest, tmp_path: Path, save: Save
) -> None:
    file = save(id=table.id[2:].astype(str), x=features_of(table.id[2:]))
    said = refusal(table, file)
    assert "no row of 2 of 8 images (real/a/0.png, real/a/1.png)" in said
    assert "--allow-missing" in said
    done = run(table, file, allow_missing=True)
    assert (done.embedded, done.reused, done.failed, done.missing_images) == (6, 0, 2, 2)
    store = Store(tmp_path / "features")
    found, without = store.read(store.encoders()[0], table)
    assert list(found.id) == list(table.id[2:])
    assert without == dict.fromkeys(table.id[:2], f"no row in {file.name}")


def test_an_unreadable_image_has_no_row_and_needs_none(data: Path, save: Save) -> None:
    (data / "real/a/2.png").symlink_to(data / "nowhere")
    table = manifest.read(data)
    done = run(table, save(id=table.id.astype(str), x=features_of(table.id)))
    assert (done.images, done.embedded, done.failed) == (9, 8, 1)
    assert (done.unmatched_rows, done.missing_images) == (1, 0)


def test_equal_images_share_a_row_and_may_not_differ(data: Path, save: Save) -> None:
    shutil.copy(data / "real/a/0.png", data / "real/a/copy.png")
    table = manifest.read(data)
    ids, x = table.id.astype(str), features_of(table.id)
    a, copy = (list(ids).index(f"real/a/{name}.png") for name in ("0", "copy"))
    said = refusal(table, save(id=ids, x=x))
    assert "'real/a/0.png' and 'real/a/copy.png', which are the same file, hold different" in said
    x[copy] = x[a]
    done = run(table, save(id=ids, x=x))
    assert (done.embedded, done.reused, done.failed) == (8, 1, 0)
    one = run(table, save(id=np.delete(ids, copy), x=np.delete(x, copy, axis=0)))
    assert (one.key, one.embedded, one.reused) == (done.key, 0, 9)
    twice = [*range(len(ids)), a]
    assert run(table, save(id=ids[twice], x=x[twice])).embedded == 0


def test_rows_of_equal_images_may_differ_in_their_last_bits(data: Path, save: Save) -> None:
    shutil.copy(data / "real/a/0.png", data / "real/a/twin.png")
    table = manifest.read(data)
    x = features_of(table.id)
    twins = [list(table.id).index(f"real/a/{name}.png") for name in ("0", "twin")]
    x[twins[1]] = 1.02 * x[twins[0]]
    assert "hold different features" in refusal(table, save(x=x, id=table.id.tolist()))
    x[twins[1]] = x[twins[0]] * (1 + 1e-3 * np.sign(x[twins[0]]))
    done = run(table, file := save(x=x, id=table.id.tolist()))
    (remark,) = imports.remarks(done, file)
    assert done.nearly_equal_rows == 1 and "1 row of" in remark and "last bits" in remark
    x[twins[1]] = x[twins[0]]
    np.testing.assert_array_equal(stored(file.parent / "features", table), x)


@pytest.mark.parametrize(
    ("value", "said"), [(0, "are all zero"), (0.7, "the same for every image")]
)
def test_features_that_are_all_equal_are_refused(
    table: Manifest, save: Save, value: float, said: str
) -> None:
    x = np.full((len(table), DIM), value)
    assert said in refusal(table, save(x=x, id=table.id.tolist()))
    x = np.vstack([x, np.ones((1, DIM))])  # The row of an image that DATA lacks says nothing.
    assert said in refusal(table, save(x=x, id=[*table.id, "other"]))


def test_rows_of_zeros_and_rounded_numbers_are_counted_and_said(
    table: Manifest, save: Save
) -> None:
    x = np.rint(1000 * features_of(table.id)).astype(np.int64)
    x[::3] = 0
    x[1, 1] = 2**60 + 1
    done = run(table, file := save(x=x, id=table.id.tolist()))
    assert (done.zero_rows, done.rounded_rows) == (len(x[::3]), 1)
    rounded, zeros = imports.remarks(done, file)
    assert "1 row of" in rounded and "float32 rounds" in rounded
    assert f"{len(x[::3])} rows of" in zeros and "all zeros" in zeros


def test_two_rows_of_one_image_may_not_differ(table: Manifest, save: Save) -> None:
    names = [*table.id, table.id[0]]
    x = features_of(names)
    x[-1, -1] += 1
    said = refusal(table, save(id=np.array(names, dtype=str), x=x))
    assert "rows 1 and 9 of 'real/a/0.png' hold different features" in said


# --- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_values_that_float32_cannot_hold_are_refused(
    table: Manifest, save: Save, bad: float
) -> None:
    x = features_of(table.id).astype(np.float64)
    x[1, 2] = bad
    said = refusal(table, save(id=table.id.astype(str), x=x))
    assert "features of 1 rows are " in said
    assert ("too large for float32" if bad == 1e39 else "not finite") in said
    assert str(table.id[1]) in said


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((8,), r"has shape \(8,\) beside 8 names; it must be \(n, d\)"),
        ((8, 2, 2), r"has shape \(8, 2, 2\)"),
        ((7, 3), r"has shape \(7, 3\) beside 8 names"),
        ((8, 0), "nothing to import"),
    ],
)
def test_features_of_another_shape_are_refused(
    table: Manifest, save: Save, shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(XprobeError, match=said):
        run(table, save(id=table.id.astype(str), x=np.zeros(shape, np.float32)))


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".parquet"])
def test_no_rows_at_all_are_refused(table: Manifest, save: Save, suffix: str) -> None:
    x = pa.array([], pa.list_(pa.float32())) if suffix == ".parquet" else np.zeros((0, 3))
    id_ = pa.array([], pa.string()) if suffix == ".parquet" else np.array([], "S1")
    said = refusal(table, save(suffix, id=id_, x=x))
    assert "nothing to import" in said or "a list in every row" in said


def test_what_is_no_number_or_no_text_is_refused(table: Manifest, save: Save) -> None:
    ids, x = table.id.astype(str), features_of(table.id)
    assert "x holds <U" in refusal(table, save(id=ids, x=x.astype(str)))
    assert "x holds complex64, not numbers" in refusal(table, save(id=ids, x=x.astype("c8")))
    assert "id must be (n,) text" in refusal(table, save(id=x[:, 0], x=x))
    assert "id must be (n,) text" in refusal(table, save(id=ids.reshape(2, 4), x=x))
    assert "holds no names; it needs id" in refusal(table, save(name=ids, x=x))
    assert "holds no features; it needs id" in refusal(table, save(id=ids, y=x))
    assert "holds x and features" in refusal(table, save(id=ids, x=x, features=x))


def test_ragged_lists_gaps_and_holes_of_tables_are_refused(table: Manifest, save: Save) -> None:
    ids = list(table.id)
    ragged = [[1.0, 2.0]] * 7 + [[1.0]]
    assert "all of one length" in refusal(table, save(".parquet", id=ids, x=ragged))
    hole = [[1.0, 2.0]] * 7 + [None]
    assert "a list in every row" in refusal(table, save(".parquet", id=ids, x=hole))
    assert "a list in every row" in refusal(table, save(".parquet", id=ids, x=[1.0] * 8))
    inner = [[1.0, 2.0]] * 7 + [[1.0, None]]
    assert "not finite" in refusal(table, save(".parquet", id=ids, x=inner))
    gap = {"x0": [1.0] * 8, "x2": [1.0] * 8}
    assert "columns x0 and x2 follow" in refusal(table, save(".parquet", id=ids, **gap))
    empty = {"x0": [1.0] * 8, "x1": [1.0] * 7 + [None]}
    assert "not finite" in refusal(table, save(".parquet", id=ids, **empty))
    words = {"x0": [1.0] * 8, "x1": ["a"] * 8}
    assert "not numbers" in refusal(table, save(".parquet", id=ids, **words))
    nobody = [*ids[1:], None]
    assert "id must be" in refusal(table, save(".parquet", id=nobody, x=[[1.0]] * 8))


class Trap:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_is_refused_unread(table: Manifest, tmp_path: Path, save: Save) -> None:
    x, trap = features_of(table.id), Trap(tmp_path / "trapped")
    objects = np.array([*table.id, trap], dtype=object)
    raw = tmp_path / "raw.npz"
    raw.write_bytes(pickle.dumps(trap))
    torch = tmp_path / "features.pt"
    torch.write_bytes(pickle.dumps(trap))
    for file in (save(id=objects, x=x), save(id=table.id.astype(str), x=objects), raw, torch):
        said = refusal(table, file)
        assert "holds a pickle, which may run any code" in said
        assert "np.savez(" in said
    assert not trap.folder.exists()


def test_a_file_without_names_is_refused_with_the_remedy(table: Manifest, tmp_path: Path) -> None:
    file = tmp_path / "clip.npy"
    np.save(file, features_of(table.id))
    said = refusal(table, file)
    call = "np.savez('clip.npz', id=np.array(ids, dtype=str), x=np.load('clip.npy'))"
    assert call in said
    ids = list(table.id)
    here = {"np": np, "ids": ids}
    exec(call.replace("'clip", f"'{tmp_path}/clip"), here)  # the remedy is tried as it is printed
    assert run(table, tmp_path / "clip.npz").embedded == 8
    renamed = tmp_path / "renamed.npz"
    shutil.copy(file, renamed)
    with pytest.raises(XprobeError, match="one array without names"):
        run(table, renamed)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".parquet", ".csv"])
@pytest.mark.parametrize("damage", ["cut", "junk", "empty"])
def test_a_damaged_file_is_named_in_one_line(
    table: Manifest, tmp_path: Path, save: Save, suffix: str, damage: str
) -> None:
    file = tmp_path / f"foreign{suffix}"
    if suffix != ".csv":
        x = list(features_of(table.id)) if suffix == ".parquet" else features_of(table.id)
        save(suffix, id=[str(i).encode() for i in table.id], x=x)
        content = file.read_bytes()
    else:
        content = b"id,x0\nreal/a/0.png,1\nreal/a"
    file.write_bytes(
        {"cut": content[: len(content) * 2 // 3], "junk": b"\0\1", "empty": b""}[damage]
    )
    assert str(file) in refusal(table, file)


def test_a_file_of_another_kind_or_none_is_refused(table: Manifest, tmp_path: Path) -> None:
    assert "features are read from .npz, .h5" in refusal(table, tmp_path / "features.txt")
    assert "no such file" in refusal(table, tmp_path / "none.npz")


@pytest.mark.parametrize("column", ["id", "path", "sha256"])
def test_when_nothing_matches_both_sides_are_shown(
    table: Manifest, save: Save, column: str
) -> None:
    names = [f"IMG_{i}" for i in range(8)]
    said = refusal(table, save(**{column: np.array(names), "x": features_of(names)}))
    assert "none of its 8 rows is an image of the manifest" in said
    assert repr(getattr(table, column)[0]) in said
    assert names[0].lower() in said.lower()


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in ENCODERS if name != "skysense-o"),
        "CLIP-ViT-B32",
        "open_clip:ViT-B-32/openai",
        "",
        "a b",
        "mine@1",
        "-x",
    ],
)
def test_a_name_that_would_be_mistaken_is_refused(table: Manifest, save: Save, name: str) -> None:
    file = save(id=table.id.astype(str), x=features_of(table.id))
    own = ":" in name or name.lower() in ENCODERS
    said = "mistaken for its own" if own else "--encoder-name .* use letters"
    with pytest.raises(XprobeError, match=said):
        import_features(table, file, name, Store(file.parent / "features", create=True))


# --- through the command line --------------------------------------------------------


def test_import_sweep_and_report_give_a_study(
    make_data: Callable[..., Path], save: Save, xprobe: Callable[..., Ran]
) -> None:
    table = manifest.read(make_data(real=5, synthetic=10))
    names = [*table.id, "gone.png"]
    file = save(path=np.array(names), x=features_of(names))
    arguments = ("import-features", file.name, "--encoder-name", "skysense-o")
    done = xprobe(*arguments, "--json").json
    assert done["store"] == "features"
    assert (done["unmatched_rows"], done["missing_images"]) == (1, 0)
    (row,) = done["encoders"]
    assert list(row) == [
        "name", "key", "dim", "images", "embedded", "reused", "failed", "seconds", "images_per_s",
    ]  # fmt: skip
    assert [row[c] for c in list(row)[2:7]] == [DIM, 30, 30, 0, 0]
    again = xprobe(*arguments)
    assert again.code == 0
    assert "nothing new: features had all of it" in again.out
    assert "warning: 1 row of foreign.npz" in again.err
    swept = xprobe("sweep", "--encoder", "skysense-o", *FAST, "--json").json
    assert {r["encoder"] for r in swept["results"]} == {"skysense-o"}
    reported = xprobe("report")
    assert reported.code == 0, reported.err
    page = Path("report/index.html").read_text(encoding="utf-8")
    assert "import:skysense-o" in page


def test_imported_features_of_pixels_judge_as_pixels(
    make_data: Callable[..., Path], save: Save, xprobe: Callable[..., Ran]
) -> None:
    table = manifest.read(make_data(real=5, synthetic=10))
    assert xprobe("embed", "--encoder", "pixels").code == 0
    store = Store("features")
    features, _ = store.read(store.find("pixels")[0], table)
    order = np.random.default_rng(0).permutation(len(table))
    file = save(".h5", id=[str(i) for i in features.id[order]], embeddings=features.x[order])
    assert xprobe("import-features", str(file), "--encoder-name", "pixels-2").code == 0
    swept = xprobe("sweep", *FAST, "--json").json["results"]
    of = {
        name: [
            {k: v for k, v in r.items() if k not in ("encoder", "alias", "p_study_wide")}
            for r in swept
            if r["encoder"] == name
        ]
        for name in ("pixels", "pixels-2")
    }
    assert of["pixels"] == of["pixels-2"]
    # The built-in encoder is a floor and claims nothing study-wide; nobody knows what is imported.
    judged = {r["encoder"] for r in swept if r["p_study_wide"] is not None}
    assert judged == {"pixels-2"}
    assert {r["setting"] for r in of["pixels"]} == {"real-only", "synthetic-only", "mix"}


def test_the_command_line_allows_missing_and_fails_in_one_line(
    data: Path, table: Manifest, tmp_path: Path, save: Save, xprobe: Callable[..., Ran]
) -> None:
    shutil.move(data, tmp_path / "pictures")
    file = save(id=table.id[1:].astype(str), x=features_of(table.id[1:]))
    arguments = ("import-features", str(file), "--encoder-name", "mine", "--data", "pictures")
    failed = xprobe(*arguments)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert len(failed.err.splitlines()) == 1
    done = xprobe(*arguments, "--allow-missing", "--out", "kept", "--json")
    assert (done.json["missing_images"], done.json["encoders"][0]["failed"]) == (1, 1)
    assert done.json["store"] == "kept"
    assert "warning: 1 image has no row" in done.err
