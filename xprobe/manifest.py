"""The image table: scan a folder, read and write manifest files, check them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from xprobe import contents
from xprobe.errors import XprobeError, nearest, some
from xprobe.images import UnusableImageError, is_image, probe
from xprobe.types import SOURCES, SPLITS, Manifest

REQUIRED = ("path", "label", "source")
OPTIONAL = ("id", "group", "parent", "generator", "split", "prompt", "polygons")
WIDER = ("event",)  # columns of groups that hold whole scenes, read if asked for
DEFAULT_GENERATOR = "default"
LAYOUT = "real/<class>/… and synthetic/[<generator>/]<class>/…"
_EMPTY = hashlib.sha256(b"").hexdigest()

Row = dict[str, str]


def read(data: str | Path, *, whole: bool = True, hashed: bool = True, group: str = "") -> Manifest:
    """Return the manifest of a folder or of a CSV, JSONL or Parquet file, contents hashed.

    A folder holds ``real/<class>/…`` and ``synthetic/[<generator>/]<class>/…``, optionally
    ``test/<class>/…`` (the fixed hold-out) and ``extra/<class>/…``, nested as deep as wished; a
    first folder below ``synthetic`` is a class exactly if it is a class of real. The columns of a
    file are `REQUIRED` and `OPTIONAL`, its paths relative to its own folder.

    Images with equal content share a group (real) or count as made from each other (synthetic),
    so that no copy of a test image is ever trained on.

    With `whole` every generator must have images of every class, as a sweep needs. Without
    `hashed` no file is read: digests are empty, and equal contents share no group. With `group`
    images of one value in that column of a file are a group, instead of the scenes of the column
    group: of an event, say.

    Raises:
        XprobeError: whatever is wrong with the data as a whole.
    """
    data = Path(data)
    if group not in ("", *WIDER):
        raise XprobeError(f"--group {group}: it takes the column {' or '.join(WIDER)}")
    if data.is_dir():
        if group:
            raise XprobeError(
                f"{data}: --group {group}: a folder has no columns; write a manifest with 'xprobe "
                f"scan {data} -o manifest.csv', add the column {group} to it, and name it as DATA"
            )
        rows, base = _scan_folder(data), data
    elif data.is_file():
        rows, base = iter(_read_rows(data, group)), data.parent
    else:
        raise XprobeError(
            f"{data}: no such folder or manifest file; make {data}/{LAYOUT}, or name another DATA"
        )
    manifest = _build(rows, base, hashed)
    if not len(manifest):
        raise XprobeError(f"{data}: no images found; put them into {data}/{LAYOUT}")
    if hashed and not any(manifest.sha256):
        raise XprobeError(
            f"{data}: none of the {len(manifest)} files can be read, the first is "
            f"{manifest.path[0]}; paths are relative to the folder of the manifest"
        )
    _check_classes(manifest, data, whole)
    return manifest


def write(manifest: Manifest, file: str | Path) -> None:
    """Write a manifest as CSV, JSONL or Parquet, chosen by the suffix; paths relative to it."""
    file = Path(file)
    base = file.parent.resolve()
    names = ("id", *REQUIRED, "group", "parent", "generator", "split", "prompt", "polygons")
    rows = []
    for i in range(len(manifest)):
        row = {name: getattr(manifest, name)[i] for name in names}
        row["path"] = _relative(Path(row["path"]), base)
        if row["polygons"].endswith(".json"):
            row["polygons"] = _relative(Path(row["polygons"]), base)
        if row["source"] == "real" and row["group"] == row["id"]:
            row["group"] = ""  # the default
        if _as_text(row["path"]) != row["path"]:
            raise XprobeError(
                f"{row['id']}: a file name that is no UTF-8 cannot stand in a manifest; rename it"
            )
        rows.append(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix.lower() == ".csv":
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(rows)
    elif file.suffix.lower() in (".jsonl", ".ndjson"):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.write_text("".join(lines), encoding="utf-8")
    elif file.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: [row[name] for row in rows] for name in names}), file)
    else:
        raise XprobeError(f"{file}: name a manifest .csv, .jsonl or .parquet")


def counts(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the number of images per class × source × generator × split, as flat rows."""
    keys = zip(manifest.label, manifest.source, manifest.generator, manifest.split, strict=True)
    return [
        {"class": label, "source": source, "generator": generator or None, "split": split, "n": n}
        for (label, source, generator, split), n in sorted(Counter(keys).items())
    ]


def shapes(manifest: Manifest) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return file formats and sizes (pixels) per source, and the images without a readable header.

    Returns:
        rows ``{"source", "format", "n", "width": [min, median, max], "height": …}``; and a
        dictionary id → reason.
    """
    seen: dict[tuple[str, str], list[tuple[int, int]]] = {}
    unusable: dict[str, str] = {}

    def look(i: int) -> tuple[str, int, int] | UnusableImageError:
        try:
            return probe(manifest.path[i])
        except UnusableImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for i, found in enumerate(pool.map(look, range(len(manifest)))):
            if isinstance(found, UnusableImageError):
                unusable[manifest.id[i]] = str(found)
            else:
                seen.setdefault((manifest.source[i], found[0]), []).append(found[1:])
    rows = []
    for (source, kind), sizes in sorted(seen.items()):
        spread = {
            side: [int(v) for v in np.quantile(values, [0, 0.5, 1], method="nearest")]
            for side, values in zip(("width", "height"), zip(*sizes, strict=True), strict=True)
        }
        rows.append({"source": source, "format": kind, "n": len(sizes), **spread})
    return rows, unusable


def find_problems(manifest: Manifest) -> list[str]:
    """Return what looks wrong but stops nothing: equal content where there should be none."""
    by_content: dict[str, list[int]] = {}
    for i, digest in enumerate(manifest.sha256):
        if digest and digest != _EMPTY:
            by_content.setdefault(digest, []).append(i)
    found: dict[str, list[str]] = {}
    for rows in by_content.values():
        if len(rows) > 1:
            for problem in _problems_of_copies(manifest, rows):
                found.setdefault(problem, []).append(manifest.id[rows[0]])
    problems = [f"{len(ids)} images {text}: {some(ids, 3)}" for text, ids in sorted(found.items())]
    train = (manifest.source == "real") & (manifest.split == "train")
    test = manifest.split == "test"
    missing = sorted(set(manifest.classes) - set(manifest.label[test]))
    if test.any() and missing:
        problems.append(f"the hold-out has no image of class {some(missing)}")
    for name in sorted(set(manifest.generator) - {""}):
        if lacking := sorted(
            set(manifest.classes) - set(manifest.label[manifest.generator == name])
        ):
            problems.append(f"generator {name} has no images of class {some(lacking)}")
    few = [
        c for c in manifest.classes if len(set(manifest.group[train & (manifest.label == c)])) < 2
    ]
    if few:
        problems.append(f"fewer than two real images or groups of class {some(few)}")
    return problems


def codec_problems(formats: list[dict[str, Any]]) -> list[str]:
    """Return what `shapes` rows say of a shortcut: a classifier may tell sources by file format."""
    kinds = {s: {row["format"] for row in formats if row["source"] == s} for s in SOURCES}
    if not all(kinds.values()) or kinds["real"] == kinds["synthetic"]:
        return []
    said = " but ".join(f"{s} images are {some(sorted(kinds[s]))}" for s in SOURCES)
    return [f"{said}: traces of compression can tell them apart"]


def _problems_of_copies(manifest: Manifest, rows: list[int]) -> Iterator[str]:
    sources = set(manifest.source[rows])
    splits = {manifest.split[i] for i in rows if manifest.source[i] == "real"}
    if len(sources) > 1:
        yield "are the same file as real and as synthetic (never trained on when tested on)"
    if "test" in splits and len(splits) > 1:
        yield "are the same file in training and test part (left out of training)"
    if len(set(manifest.label[rows])) > 1:
        yield "are the same file under several classes"
    if len(sources) == 1 and len(splits) < 2:
        yield f"are the same file as another {sources.pop()} image"


# --- folders -------------------------------------------------------------------------


def _scan_folder(data: Path) -> Iterator[Row]:
    real = data / "real"
    if not real.is_dir():
        raise XprobeError(f"{data}: no folder {real}; a study needs {data}/{LAYOUT}")
    parts = {"train": real, "test": data / "test", "extra": data / "extra"}
    inside = {folder.name for folder in _folders(real)}
    if "train" in inside and inside <= set(parts):  # real/train/<class>, real/test/<class>
        for split in inside:
            if split != "train" and parts[split].is_dir():
                raise XprobeError(f"both {real / split} and {parts[split]} exist; keep one")
            parts[split] = real / split
    classes: list[str] = []
    for split, root in parts.items():
        for folder in _folders(root) if root.is_dir() else ():
            if split == "train":
                classes.append(folder.name)
            for file in _images(folder):
                yield _row(data, file, folder.name, "real", split=split)
    if not classes:
        raise XprobeError(f"{real}: no class folders; put images into {real}/<class>/…")
    yield from _scan_synthetic(data, set(classes))


def _scan_synthetic(data: Path, classes: set[str]) -> Iterator[Row]:
    root = data / "synthetic"
    for first in _folders(root) if root.is_dir() else ():
        if first.name in classes:
            for file in _images(first):
                yield _row(data, file, first.name, "synthetic", generator=DEFAULT_GENERATOR)
            continue
        inside = [folder for folder in _folders(first) if folder.name in classes]
        if not inside and any(_images(first)):
            raise XprobeError(
                f"{first} is no class of {data / 'real'}{nearest(first.name, classes)}, nor a "
                f"generator with class folders; add real images of that class, or remove it"
            )
        for folder in _folders(first):
            for file in _images(folder):
                yield _row(data, file, folder.name, "synthetic", generator=first.name)


def _row(
    data: Path, file: str, label: str, source: str, generator: str = "", split: str = "train"
) -> Row:
    path = file[len(str(data)) :].replace(os.sep, "/").lstrip("/") if str(data) != "." else file
    return {
        "id": _as_text(path), "path": path, "label": _as_text(label), "source": source,
        "generator": _as_text(generator), "split": split,
    }  # fmt: skip


def _as_text(name: str) -> str:
    """Return a file name with bytes that are no UTF-8 written out."""
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(root: Path) -> list[str]:
    """Return the image files below a folder, sorted; links are followed, circles are not."""
    found: list[str] = []  # a Path of each would take most of the time that a scan takes
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        found.extend(
            f"{folder}{os.sep}{name}"
            for name in names
            if not name.startswith(".") and is_image(name)
        )
    return sorted(found)


# --- manifest files ------------------------------------------------------------------


def _read_rows(file: Path, group: str = "") -> list[Row]:
    suffix = file.suffix.lower()
    try:
        if suffix == ".csv":
            with file.open(newline="", encoding="utf-8-sig") as stream:
                reader = csv.DictReader(stream, strict=True)
                columns: Iterable[str] = reader.fieldnames or ()
                rows: list[dict[str, Any]] = list(reader)
        elif suffix in (".jsonl", ".ndjson"):
            lines = file.read_text(encoding="utf-8-sig").split("\n")  # not U+2028
            rows = [json.loads(line) for line in lines if line.strip()]
            columns = dict.fromkeys(name for row in rows for name in row)
        elif suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(file)
            columns, rows = table.column_names, table.to_pylist()
        else:
            raise XprobeError(f"{file}: a manifest is a .csv, .jsonl or .parquet file")
    except (csv.Error, ValueError, AttributeError, TypeError) as error:
        raise XprobeError(f"{file}: cannot be read as a manifest: {error}") from error
    columns = [str(name) for name in columns]
    if len(set(columns)) < len(columns) or any(None in row for row in rows):
        raise XprobeError(f"{file}: a column is there twice, or a row has more cells than columns")
    missing = [name for name in REQUIRED if name not in columns]
    if group and group not in columns:
        raise XprobeError(
            f"{file}: --group {group}: no such column; add it, with a name for every real image"
        )
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL, *WIDER)]
    if unknown:
        hints = "".join(nearest(name, REQUIRED + OPTIONAL, 1) for name in unknown[:1])
        raise XprobeError(
            f"{file}: unknown column {some(map(repr, unknown))}{hints}; the columns are "
            f"{', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}"
        )
    if missing:
        raise XprobeError(f"{file}: the column {some(missing)} is missing")
    clean = [_clean(row, f"{file}, row {i}") for i, row in enumerate(rows, 1)]
    return _regroup(clean, group, file) if group else clean


def _regroup(rows: list[Row], column: str, file: Path) -> list[Row]:
    """Return rows whose group is what they have in another column, scenes within it whole.

    A synthetic image that names its scene, as group or parent, belongs to that of the scene.
    """
    wider: dict[str, str] = {}
    for i, row in enumerate(rows, 1):
        if row["source"] != "real":
            continue
        if not row.get(column):
            raise XprobeError(f"{file}, row {i}: {column} is empty, and it is to be the group")
        scene = row.get("group") or _id(row)
        if wider.setdefault(scene, row[column]) != row[column]:
            raise XprobeError(
                f"{file}, row {i}: images of the group {scene} are of several {column}s, "
                f"{wider[scene]} and {row[column]}"
            )
    found = []
    for i, row in enumerate(rows, 1):
        scene, parent = row.get("group", ""), row.get("parent", "")
        own = row.get(column) or wider.get(scene, scene)
        if wider.get(scene, own) != own:
            raise XprobeError(
                f"{file}, row {i}: {column} is {own}, but that of its group {scene} is "
                f"{wider[scene]}"
            )
        found.append({**row, "group": own, "parent": wider.get(parent, parent)})
    return found


def _id(row: Row) -> str:
    return row.get("id") or Path(row["path"]).as_posix()


def _clean(row: dict[str, Any], where: str) -> Row:
    clean = {name: str(value).strip() for name, value in row.items() if value is not None and name}
    for name in REQUIRED:
        if not clean.get(name):
            raise XprobeError(f"{where}: {name} is empty")
    if clean["source"] not in SOURCES:
        raise XprobeError(
            f"{where}: source {clean['source']!r}{nearest(clean['source'], SOURCES, 1)}; "
            f"it is {' or '.join(SOURCES)}"
        )
    split = clean.get("split") or "train"
    if split not in SPLITS:
        raise XprobeError(f"{where}: split {split!r}; it is {', '.join(SPLITS)} or empty")
    if clean["source"] == "synthetic" and split != "train":
        raise XprobeError(
            f"{where}: a synthetic image of split {split!r}; tests are always on real images, so "
            f"leave the split of synthetic images empty"
        )
    return clean


def _build(rows: Iterator[Row], base: Path, hashed: bool) -> Manifest:
    columns: dict[str, list[str]] = {name: [] for name in Manifest.columns()}
    root = base.resolve()
    for row in rows:
        synthetic = row["source"] == "synthetic"
        id_ = _id(row)
        columns["id"].append(id_)
        columns["path"].append(os.path.join(root, row["path"]))  # noqa: PTH118  # many
        columns["label"].append(row["label"])
        columns["source"].append(row["source"])
        columns["group"].append(row.get("group") or ("" if synthetic else id_))
        columns["parent"].append(row.get("parent", ""))
        generator = (row.get("generator") or DEFAULT_GENERATOR) if synthetic else ""
        columns["generator"].append(generator)
        columns["split"].append(row.get("split") or "train")
        columns["prompt"].append(row.get("prompt", ""))
        polygons = row.get("polygons", "")
        columns["polygons"].append(str(root / polygons) if polygons.endswith(".json") else polygons)
    columns["sha256"] = [""] * len(columns["id"])
    if hashed:
        with ThreadPoolExecutor() as pool:
            columns["sha256"] = list(pool.map(_hash, columns["path"]))
    _tie_copies(columns)
    order = sorted(range(len(columns["id"])), key=columns["id"].__getitem__)
    for name in columns:
        columns[name] = [columns[name][i] for i in order]
    return Manifest(**columns)  # type: ignore[arg-type]  # checked and frozen there


def _hash(path: str) -> str:
    try:
        return hashlib.sha256(contents.read(path)).hexdigest()
    except OSError:
        return ""


def _tie_copies(columns: dict[str, list[str]]) -> None:
    """Give real images of equal content one group, and synthetic copies of them that group."""
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        while (above := parent.get(group, group)) != group:
            group = above
        return group

    first: dict[str, str] = {}
    real = [i for i, source in enumerate(columns["source"]) if source == "real"]
    for i in real:
        digest = columns["sha256"][i]
        if digest and digest != _EMPTY:
            a, b = root(first.setdefault(digest, columns["group"][i])), root(columns["group"][i])
            parent[max(a, b)] = min(a, b)
    for i, source in enumerate(columns["source"]):
        own = columns["group"][i]
        if source == "synthetic":  # a copy of a real image is made from it, whatever else was said
            own = first.get(columns["sha256"][i], own)
            columns["parent"][i] = root(columns["parent"][i])
        columns["group"][i] = root(own)


def _check_classes(manifest: Manifest, data: Path, whole: bool) -> None:
    """Raise on a class without real images and, if asked, on one that a generator has none of."""
    train = (manifest.source == "real") & (manifest.split == "train")
    real = set(manifest.label[train])
    if not real:
        raise XprobeError(f"{data}: no real images to train on; put them into real/<class>/…")
    parts = {
        f"synthetic (generator {name})": manifest.generator == name
        for name in sorted(set(manifest.generator) - {""})
    }
    parts["test"] = manifest.split == "test"
    parts["extra"] = manifest.split == "extra"
    for part, mask in parts.items():
        own = set(manifest.label[mask])
        if unknown := sorted(own - real):
            raise XprobeError(
                f"{data}: class {some(map(repr, unknown))} of {part} has no real images to train "
                f"on{nearest(unknown[0], real, 1)}; add them to real, or remove the class"
            )
        if whole and part.startswith("synthetic") and (missing := sorted(real - own)):
            raise XprobeError(
                f"{data}: class {some(map(repr, missing))} of real has no images in {part}; add "
                f"them, or remove the class from real"
            )


def _relative(path: Path, base: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return os.path.relpath(path, base).replace(os.sep, "/")
