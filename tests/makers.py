"""What several test files make their data with."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from msgspec import structs
from PIL import Image
from torch import nn

from xprobe.base import documents
from xprobe.base.arrays import frozen_strings
from xprobe.base.documents import AnyDocument
from xprobe.base.packed import packed_table
from xprobe.design.config import SweepConfig
from xprobe.encoders.spec import EncoderSpec
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.images.sources.tree import Folder, Listing
from xprobe.images.sources.xbd.tiles import Tile
from xprobe.images.sources.xbd.tree import PARTS
from xprobe.results.config import StudyConfig
from xprobe.results.rows import MixComparison, Result, Run, SettingResult
from xprobe.results.study import STUDY_VERSION, Count, EncoderUsed, ImagesStudied, Study, save_study

if TYPE_CHECKING:
    from xprobe.report.write import Written

SavePicture = Callable[..., Path]


MakeData = Callable[..., Path]


MakeManifest = Callable[..., Manifest]


def described(tree: dict[str, Any], path: str = "data") -> Folder:
    """Return a folder that no disk holds: names → folders as dictionaries, or lists of files."""

    def list_described(place: str) -> Listing:
        node: Any = tree
        for name in Path(place).relative_to(path).parts:
            node = node[name]
        if isinstance(node, list):
            return Listing((), tuple(node), place)
        folders = [name for name in node if node[name] is not None]
        return Listing(
            tuple(sorted(folders)), tuple(sorted(set(node) - set(folders))), identity=place
        )

    return Folder(path, lister=list_described)


class Ran:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        (line,) = self.out.splitlines()
        return json.loads(line)


FAST = ("--ratios", "1,2", "--repeats", "1", "--c-grid", "1,100", "--workers", "1")
"""Options of a sweep that takes a second."""


def error_of(ran: Ran) -> str:
    """Return the one line that a command ended with, which may stand among warnings."""
    assert (ran.code, ran.out) == (1, "")
    lines = [line for line in ran.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: ")
    return lines[0]


def usage_error_of(ran: Ran) -> str:
    """Return the words of a command that no data could make right."""
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    return " ".join(ran.err.split())


SPEC = EncoderSpec(
    source="builtin:golden", weights="", layer="output", dim=3, input_px=(4, 4), resize="squash",
    interpolation="bicubic", mean=(0.0,) * 3, std=(1.0,) * 3, precision="fp32",
    preprocessing="1/golden",
)  # fmt: skip


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_of(*contents: str) -> Manifest:
    n = len(contents)
    ids = [f"{i}-{c}" for i, c in enumerate(contents)]
    return Manifest(
        id=ids, path=ids, sha256=[digest(c) if c else "" for c in contents], label=["x"] * n,
        source=["real"] * n, group=ids, parent=[""] * n, generator=[""] * n, split=["train"] * n,
        prompt=[""] * n,
    )  # fmt: skip


def write_all(store: Store) -> None:
    encoder = store.add_encoder("golden", SPEC)
    store.write_shard(encoder, [digest("a"), digest("b")], np.eye(3)[:2], {digest("bad"): "why"})
    store.write_shard(encoder, [digest("c")], np.eye(3)[2:], {})


def make_study(
    encoder: str = "clip",
    *,
    generators: tuple[str, ...] = ("default",),
    ratios: tuple[float, ...] = (1, 2, 4),
    classes: tuple[str, ...] = ("cat", "dog"),
    effect: float | Mapping[str, float] = 0.05,
    half: float = 0.02,
    margin: float | None = None,
    protocol: str = "5-fold cross-validation, 10 repeats",
    source: str = "open_clip:ViT-B-32",
    **extra: Any,
) -> Study:
    """A study as `xprobe sweep` makes it; every mix differs by `effect` ± `half`.

    An effect may be one for all generators, or one of each; the others have none.
    """
    k = len(classes)
    rng = np.random.default_rng(len(encoder) + k)
    names: list[tuple[str, float | None, str | None]] = [("real-only", None, None)]
    for generator in generators:
        names += [("mix", ratio, generator) for ratio in ratios]
        names.append(("synthetic-only", None, generator))
    rows, settings, runs = [], [], []
    for name, ratio, generator in names:
        setting: dict[str, Any] = {"setting": name, "ratio": ratio, "generator": generator}
        by_generator = effect if isinstance(effect, float | int) else effect.get(generator or "", 0)
        difference = None if name == "real-only" else by_generator + rng.normal() / 1e6
        for metric in ("accuracy", "macro_f1"):
            rows.append(make_row(encoder, setting, metric, difference, half, margin, protocol))
        counts = rng.integers(0, 9, (k, k)) + 20 * np.eye(k, dtype=int)
        settings.append(
            SettingResult(
                **setting,
                confusion=tuple(map(tuple, counts.tolist())),
                recall=tuple((np.diag(counts) / counts.sum(axis=1)).tolist()),
            )
        )
        runs.append(Run(**setting, repeat=0, fold=0, c=1.0, accuracy=rng.random()))
    table = [
        Count(class_=c, source=source, generator=g, split="train", n=100 + i)
        for i, c in enumerate(classes)
        for source, g in (("real", None), *(("synthetic", g) for g in generators))
    ]
    config = documents.to_json(SweepConfig(ratios=ratios)) | {"margin": margin}
    fields: dict[str, Any] = {
        "version": STUDY_VERSION,
        "key": sha256(repr((encoder, ratios, classes)).encode()).hexdigest()[:32],
        "created": "2026-01-01T00:00:00+00:00",
        "command": "xprobe sweep",
        "encoder": EncoderUsed(
            label=encoder, name=encoder, key=sha256(encoder.encode()).hexdigest(), source=source,
            weights="cd" * 32, layer="output", dim=8, input_px=(224, 224), resize="shortest",
            interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3, precision="fp32",
            preprocessing="1",
        ),
        "protocol": protocol,
        "config": documents.from_json(StudyConfig, config),
        "generators": generators,
        "manifest": ImagesStudied(
            fingerprint="ef" * 32, classes=classes, counts=tuple(table)
        ),
        "versions": {"xprobe": "0.1.0"},
        "platform": "Linux",
        "results": tuple(rows),
        "settings": tuple(settings),
        "runs": tuple(runs),
        "warnings": (),
    }  # fmt: skip
    return Study(**fields | extra)


def make_comparison(
    kind: str, subject: str, against: str, difference: float, half: float = 0.02, **extra: Any
) -> MixComparison:
    """A comparison of mixes whose verdict is what its interval, ± `half`, gives it."""
    verdict = "no detectable difference"
    if abs(difference) > half:
        verdict = "better" if difference > 0 else "worse"
    shared: dict[str, Any] = {"generator": None, "ratio": None, "metric": "accuracy", "p": 0.01}
    return MixComparison(
        kind=kind, subject=subject, against=against, difference=difference, low=difference - half,
        high=difference + half, verdict=verdict, **shared | extra,
    )  # fmt: skip


def with_comparisons(study: Study, *rows: MixComparison) -> Study:
    """Return a study with these comparisons of mixes."""
    return structs.replace(study, comparisons=rows)


def with_null_edits(study: Study, alone: float, left: float, *ratios: float) -> Study:
    """Return a study with null edits of its generators at these ratios.

    Args:
        alone: what null edits change against real-only, ± 0.02.
        left: how far the mixes lie above them, ± 0.02.
    """
    controls = [
        structs.replace(
            row, setting="null-edit", value=0.7 + alone, difference=alone,
            difference_low=alone - 0.02, difference_high=alone + 0.02, verdict=None,
            p_adjusted=None, p_study_wide=None, detectable=None, judged_low=None, judged_high=None,
        )
        for row in study.results
        if row.setting == "mix" and row.metric == "accuracy" and row.ratio in ratios
    ]  # fmt: skip
    rows = [
        make_comparison("null-edit", "mix", "null-edit", left, generator=g, ratio=ratio)
        for g in study.generators
        for ratio in ratios
    ]
    return structs.replace(
        study, results=(*study.results, *controls), comparisons=(*study.comparisons, *rows)
    )


def changed(
    document: AnyDocument, rows: str, where: Callable[[Any], bool], **fields: Any
) -> AnyDocument:
    """Return a document with other fields in those of its rows that are asked for."""
    new = tuple(
        structs.replace(row, **fields) if where(row) else row for row in getattr(document, rows)
    )
    return structs.replace(document, **{rows: new})


def claimed(study: Study, p: float | None = None) -> Study:
    """Return a study whose mixes have a study-wide p, by default that of their family.

    A study of version 1, of an encoder that was not trained or of a part of the real images stays
    without, as by `study.claims`. There are no hits, so that the p stays as it is.
    """
    is_in_set = study.version > 1 and study.part == (1, None)
    if not is_in_set or study.encoder.is_floor or study.encoder.has_random_weights:
        return study
    rows = [
        structs.replace(row, p_study_wide=row.p_adjusted if p is None else p)
        if row.setting == "mix" and row.metric == "accuracy" and not row.augment
        else row
        for row in study.results
    ]
    return structs.replace(study, results=tuple(rows))


def changed_config(study: Study, **fields: Any) -> Study:
    """Return a study with another configuration."""
    return structs.replace(study, config=structs.replace(study.config, **fields))


def written(tmp_path: Path, *studies: Study) -> tuple[Written, Path]:
    """Write a report of studies that have claims; return what it says, and its folder."""
    from xprobe.report.write import write_report

    for number, study in enumerate(studies):
        save_study(tmp_path / "results", claimed(structs.replace(study, key=f"{number:032d}")))
    return write_report(tmp_path / "results", tmp_path / "out"), tmp_path / "out"


class Page(HTMLParser):
    """What a browser would make of a page: its texts, and everything that would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [v or "" for a, v in attrs if a in ("src", "href", "srcset", "data", "poster")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["style"], ["script"]) and data.strip():
            self.texts.append(data.strip())


def make_row(
    encoder: str,
    setting: dict[str, Any],
    metric: str,
    difference: float | None,
    half: float,
    margin: float | None,
    protocol: str,
) -> Result:
    """A row of a study's results; accuracy has the verdict that its interval gives it."""
    verdict = None
    if metric == "accuracy" and difference is not None:
        verdict = "no detectable difference"
        if abs(difference) > half:
            verdict = "helps" if difference > 0 else "hurts"
        elif margin is not None and abs(difference) + half <= margin:
            verdict = f"equivalent within ±{100 * margin:g} points"
    judgement: dict[str, Any] = {}
    if verdict is not None:
        p = 0.0004 if verdict in ("helps", "hurts") else 0.4
        assert difference is not None
        judgement = {
            "verdict": verdict, "p_adjusted": p, "detectable": 1.4 * half, "se": half / 2,
            "df": 599.0, "judged_low": difference - half, "judged_high": difference + half,
            "within_margin": None if margin is None else abs(difference) + half <= margin,
        }  # fmt: skip
    value = 0.7 + (difference or 0)
    is_only = setting["setting"] == "synthetic-only"
    synthetic = 80.0 * (setting["ratio"] or is_only)
    return Result(
        encoder=encoder, **setting, head="logistic", protocol=protocol, metric=metric,
        value=value, ci_low=value - 0.03, ci_high=value + 0.03, difference=difference,
        difference_low=None if difference is None else difference - half,
        difference_high=None if difference is None else difference + half,
        **judgement, n_test=600, n_groups=600,
        n_train_real=0.0 if is_only else 80.0, n_train_synthetic=synthetic,
        synthetic_units=synthetic, ratio_actual=setting["ratio"],
    )  # fmt: skip


class Net(nn.Module):
    """Two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 6, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.relu(self.blocks(x)).mean(dim=(2, 3))
        return out


def put_traps(folder: Path, *names: str) -> None:
    """Put files into a folder that have the names of modules, and say in a file that they ran."""
    for name in names or ("queue", "statistics", "numpy", "joblib", "pickle", "struct"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('{name} ')\n")


def put_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, group: str, **points: str
) -> None:
    """Put a package on the path that registers entry points, as one that is installed.

    Args:
        folder: an empty folder, which is put on the path.
        monkeypatch: takes it off again.
        name: of the package, and of its one module.
        code: of that module.
        group: of the entry points.
        points: entry point → attribute of the module; a dash in a name is written ``__``.
    """
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point.replace('__', '-')} = {name}:{value}" for point, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)


def random_hits(
    settings: int, repeats: int, images: int
) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """A generator, and hits of real-only (R, N) and of settings (S, R, N), .65 to .9 of them."""
    rng = np.random.default_rng(0)
    real = rng.random((repeats, images)) < 0.7
    chance = np.array([0.65, 0.7, 0.9])[:settings, None, None]
    return rng, real, rng.random((settings, repeats, images)) < chance


def featured(
    folder: Path, encoders: tuple[str, ...] = ("one",), *, generators: tuple[str, ...] = ("x", "y"),
    real: int = 12, extra: int = 0, effect: float = 0.0, null_edits: int = 0,
    fingerprint: float = 0.0,
) -> tuple[Manifest, Store]:  # fmt: skip
    """An image table of two classes in scenes of two, and features of encoders that learned.

    Synthetic images are near their class by `effect`; there are four of each real image and
    generator, and so many null edits with the features of the real image. A fingerprint moves what
    a generator made towards the other class.
    """
    rows = [
        (f"{part}{c}-{i}", f"c{c}", "real", f"scene{part}{c}-{i // 2}", "", "", split)
        for part, split, n in (("r", "train", real), ("e", "extra", extra))
        for c in range(2)
        for i in range(n)
    ]
    rows += [
        (f"s{c}-{g}-{i:02}", f"c{c}", "synthetic", "", "", g, "train")
        for c in range(2)
        for g in generators
        for i in range(4 * real)
    ]
    rows += [
        (f"n{c}-{g}-{i:02}-{k}", f"c{c}", "synthetic", "", f"r{c}-{i}", g, "train")
        for c in range(2)
        for g in generators
        for i in range(real)
        for k in range(null_edits)
    ]
    id_, label, source, group, parent, generator, split_ = zip(*sorted(rows), strict=True)
    control = ["null-edit" if i.startswith("n") else "" for i in id_]
    table = Manifest(
        id=id_, path=id_, sha256=[digest(i) for i in id_], label=label, source=source, group=group,
        parent=parent, generator=generator, split=split_, prompt=[""] * len(id_),
        further={"control": frozen_strings(control)} if null_edits else {},
    )  # fmt: skip
    of_parent = [id_.index(p or i) for i, p in zip(id_, parent, strict=True)]
    store = Store(folder / "features", create=True)
    for number, name in enumerate(encoders):
        rng = np.random.default_rng(number)
        spec = EncoderSpec(
            f"learned:{name}", digest(name), "output", 8, (1, 1), "squash", "", (0.0,), (1.0,),
            "fp32", "1",
        )  # fmt: skip
        is_second = np.array(label) == "c1"
        x = rng.normal(size=(len(id_), 8))
        x[:, 0] += np.where(is_second, 1.0, -1.0) * np.where(
            np.array(source) == "real", 0.6, effect
        )
        x = x[of_parent]
        x[:, 0] -= fingerprint * np.where(is_second, 1, -1) * (np.array(source) == "synthetic")
        store.write_shard(store.add_encoder(name, spec), list(table.sha256), x, {})
    return table, store


def rows_of_images(
    images: Sequence[bytes | None], classes: Sequence[str] = (), **columns: Any
) -> pa.Table:
    """Return images and further columns as `datasets` of Hugging Face writes them.

    Args:
        images: contents of images; None: the image is null.
        classes: names of classes, which the schema has for the column label; empty: none.
        columns: columns beside ``image``, as Arrow takes them.
    """
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [None if image is None else {"bytes": image, "path": None} for image in images]
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in columns}
    features["image"] = {"_type": "Image"}
    if classes:
        features["label"] = {"names": list(classes), "_type": "ClassLabel"}
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": pa.array(cells, kind), **columns})
    return table.replace_schema_metadata(said)


def save_rows(table: pa.Table, file: Path, **options: Any) -> Path:
    """Write rows as Parquet, or as the stream of a file of ``save_to_disk``, by the suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(table, file, **options)
        return file
    size = options.pop("max_chunksize", None)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema, **options) as w:
        w.write_table(table, size)
    return file


def scene(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A smooth random field with the spectrum of photographs, 1/f in amplitude."""
    rng = np.random.default_rng(seed)
    height, width = size[1], size[0]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    wave = np.fft.fft2(rng.normal(size=(3, height, width)))
    field = np.fft.ifft2(wave / np.maximum(radius, 1 / width)).real
    field = 128 + 45 * (field - field.mean()) / field.std()
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


TILE_OUTLINE = "POLYGON ((2 2, 9 2, 9 7, 2 7, 2 2))"


def put_tile(
    root: Path, part: str, name: str, disaster: str, grades: Sequence[str] = ("no-damage",),
    *, strip: str = "", suffix: str = ".png", size: tuple[int, int] = (12, 10),
) -> None:  # fmt: skip
    """Write the four files of a tile of xBD after the form of its real label files.

    Args:
        root: folder of xBD.
        part: official split.
        name: ``<event>_<8 digits>``.
        disaster: kind of the disaster.
        grades: damage of each building.
        strip: catalogue number of the strip that the image after the event is from.
        suffix: that of the images.
        size: width and height of the images, pixels.
    """
    for moment in ("pre", "post"):
        buildings = [
            {"properties": {"feature_type": "building", "uid": f"{i}"}
             | ({"subtype": grade} if moment == "post" else {}), "wkt": TILE_OUTLINE}
            for i, grade in enumerate(grades)
        ]  # fmt: skip
        label = {
            "features": {"lng_lat": buildings, "xy": buildings},
            "metadata": {
                "sensor": "WORLDVIEW02", "gsd": 2.35, "capture_date": "2011-05-29T17:29:25.433Z",
                "disaster": name.rpartition("_")[0], "disaster_type": disaster,
                "catalog_id": strip if moment == "post" else f"before-{strip}",
                "original_width": size[0], "original_height": size[1],
                "width": size[0], "height": size[1], "img_name": f"{name}_{moment}_disaster.png",
            },
        }  # fmt: skip
        for folder in ("images", "labels", "targets"):
            (root / part / folder).mkdir(parents=True, exist_ok=True)
        stem = f"{name}_{moment}_disaster"
        (root / part / "labels" / f"{stem}.json").write_text(json.dumps(label))
        colour = (crc32(name.encode()) % 256, 200 if moment == "post" else 50, len(grades))
        picture = Image.new("RGB", size, colour)
        picture.save(root / part / "images" / f"{stem}{suffix}")
        picture.save(root / part / "targets" / f"{stem}_target.png")


def tiles_of_xbd() -> list[Tile]:
    """Return a tile for each of the 11,034 pairs of xBD, by event and official split."""
    tiles = []
    for row in packed_table("events"):
        parts = [part for part in PARTS for _ in range(int(row[part]))]
        for i, part in enumerate(parts):
            name = f"{part}/images/{row['event']}_{i:08d}"
            tiles.append(
                Tile(
                    row["event"], f"{i:08d}", row["class"], part, f"{name}_post_disaster.png", "",
                    f"{name}_pre_disaster.png", strip=f"{i // 50}",
                )
            )  # fmt: skip
    return tiles


def tiff_of(samples: np.ndarray, colours: Sequence[str] = (), **profile: Any) -> bytes:
    """Return the TIFF, or other file, that GDAL writes of samples (bands, height, width).

    Args:
        samples: the samples, whose type is that of the file.
        colours: what the file says of its bands, such as red; by default what GDAL makes of them.
        profile: how they are stored, in the words of rasterio and GDAL.
    """
    from rasterio.enums import ColorInterp
    from rasterio.io import MemoryFile

    bands, height, width = samples.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore")  # An image without a place on the earth is meant.
        shape = {"width": width, "height": height, "count": bands, "dtype": samples.dtype}
        with memory.open(**{"driver": "GTiff", **shape, **profile}) as file:
            file.write(samples)
            if colours:
                file.colorinterp = [ColorInterp[colour] for colour in colours]
        return bytes(memory.getbuffer())


def pickled_by_python_2(value: Any) -> bytes:
    """Return a pickle of protocol 2 as Python 2 and its NumPy write it: texts are bytes."""
    return b"\x80\x02" + _by_python_2(value) + b"."


def _by_python_2(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * b"J\xff\xff\xff\xff"
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
            + _by_python_2(value.shape) + dtype + b"K\x00tb\x89" + _by_python_2(value.tobytes())
            + b"tb"
        )  # fmt: skip
    if isinstance(value, str | bytes):
        text = value.encode("latin-1") if isinstance(value, str) else value
        length = len(text)
        return (b"U" + bytes([length]) if length < 256 else b"T" + pack("<i", length)) + text
    if isinstance(value, int):
        return b"J" + pack("<i", value)
    if isinstance(value, dict):
        parts = (_by_python_2(part) for item in value.items() for part in item)
        return b"}(" + b"".join(parts) + b"u"
    begin, end = (b"](", b"e") if isinstance(value, list) else (b"(", b"t")
    return begin + b"".join(map(_by_python_2, value)) + end


def write_cifar(
    folder: Path,
    form: str,
    names: Sequence[str] = ("airplane", "cat"),
    n: int = 4,
    parts: Sequence[str] = ("data_batch_1", "data_batch_2", "test_batch"),
) -> Path:
    """Write batches as those of CIFAR-10 or CIFAR-100 into a folder, and return it.

    Args:
        folder: the folder.
        form: ``binary``, ``python`` (as Python 2 wrote it), or ``python 3``.
        names: the classes, of which images are by turns; the red of a class tells it.
        n: images of a batch.
        parts: names of the batches; the set is CIFAR-100 if they are train and test.
    """
    rng = np.random.default_rng(n)
    is_fine = "train" in parts
    label_key, names_key = ("fine_labels", "fine_label_names") if is_fine else (
        "labels", "label_names")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    dump = pickled_by_python_2 if form == "python" else partial(pickle.dumps, protocol=4)
    for part in parts:
        labels = [i % len(names) for i in range(n)]
        pixels = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        pixels[:, 0] = (np.array(labels)[:, None, None] * 200 + pixels[:, 0] % 50).astype(np.uint8)
        pixels = pixels.reshape(n, -1)
        if form == "binary":
            coarse = b"\0" if is_fine else b""
            records = [
                coarse + bytes([k]) + row.tobytes() for k, row in zip(labels, pixels, strict=True)
            ]
            (folder / f"{part}.bin").write_bytes(b"".join(records))
        else:
            values = {"batch_label": part, label_key: labels, "data": pixels,
                      "filenames": [f"{part}_{i}.png" for i in range(n)]}  # fmt: skip
            (folder / part).write_bytes(dump(values))
    if form == "binary":
        file = "fine_label_names.txt" if is_fine else "batches.meta.txt"
        (folder / file).write_text("\n".join((*names, "", "")))
    else:
        (folder / ("meta" if is_fine else "batches.meta")).write_bytes(
            dump({names_key: [*names], "num_vis": 3072})
        )
    return folder


def letters() -> Any:
    """A tokenizer of CLIP whose words are letters."""
    from transformers import CLIPTokenizer

    signs = [chr(code) for code in range(33, 127)]
    words = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def text_encoder() -> Any:
    """A tiny one of CLIP, for the tokens of `letters`."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=190, hidden_size=8, intermediate_size=16, num_attention_heads=2,
        num_hidden_layers=1, bos_token_id=188, eos_token_id=189, pad_token_id=189,
    )  # fmt: skip
    return CLIPTextModel(config)


def save_pipeline(pipeline: str, channels: int, folder: Path) -> None:
    """Save a tiny Stable Diffusion for 64 × 64 pixels, its UNet taking so many channels."""
    import diffusers

    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=32, in_channels=channels, out_channels=4, block_out_channels=(4, 8),
        layers_per_block=1, norm_num_groups=2, cross_attention_dim=8, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 8), latent_channels=4, norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    getattr(diffusers, pipeline)(
        unet=unet, vae=vae, text_encoder=text_encoder(), tokenizer=letters(),
        # It adds noise in every step, so that each image needs a generator for itself.
        scheduler=diffusers.EulerAncestralDiscreteScheduler(steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
