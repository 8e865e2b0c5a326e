"""How fast are tar shards, Parquet and Arrow read, compared with a folder of the same images?

    python benchmarks/bench_sources.py [--quick] [--n 20000] [--rounds 5]

20,000 JPEG images of 64 pixels and some 3 KB, in 20 classes, are written once as

- ``folder``: class folders, an ImageFolder;
- ``tar``: four shards of WebDataset, a .cls beside each image;
- ``parquet, 100`` and ``parquet, 1000``: as Hugging Face writes them, struct<bytes, path>, snappy,
  with so many rows in a row group;
- ``arrow``: the stream of Arrow IPC that `save_to_disk` of Hugging Face writes.

All must hold the same contents. Then the contenders alternate in one process, from the page cache,
and medians are shown:

- ``listed``: DATA into the image table, without hashing, as `xprobe embed` begins;
- ``read``: all contents read and hashed in the order of the ids, by two threads as embed does;
- ``both``: the one after the other.

``× folder`` are the seconds of the folder over those of the form: above 1, the form is faster;
asked: 1, of reading and of both. ``peak_mib`` is the most anonymous memory that both take in a
process of its own beyond what it has after its imports: the contents of the files are not among it.
Forms that this xprobe does not read are left out with a line.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from racing import race

from xprobe.features.decode_process import Eyes, Failure
from xprobe.features.items import Item, items_of
from xprobe.images.containers.registry import CONTAINERS
from xprobe.images.manifest import Manifest
from xprobe.images.read import read

QUESTION = "How fast are shards and tables of images read, compared with a folder?"
CLASSES, SHARDS, THREADS, ASKED = 20, 4, 2, 1.0

Entry = tuple[str, int, bytes]
"""Key of an image, number of its class, and its content."""


# --- the forms -----------------------------------------------------------------------------


def pictures(n: int) -> list[Entry]:
    """Return n small JPEG images."""
    rng = np.random.default_rng(0)
    entries = []
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=92)
        entries.append((f"{i:06}", i % CLASSES, buffer.getvalue()))
    return entries


def class_of(number: int) -> str:
    return f"class{number:02}"


def parts(entries: list[Entry]) -> Iterator[tuple[int, list[Entry]]]:
    size = -(-len(entries) // SHARDS)
    for i in range(SHARDS):
        yield i, entries[i * size : (i + 1) * size]


def as_folder(entries: list[Entry], data: Path) -> None:
    for number in range(CLASSES):
        (data / class_of(number)).mkdir(parents=True)
    for key, number, content in entries:
        (data / class_of(number) / f"{key}.jpg").write_bytes(content)


def as_tar(entries: list[Entry], data: Path) -> None:
    data.mkdir()
    for i, part in parts(entries):
        with tarfile.open(data / f"{i:06}.tar", "w") as tar:
            for key, number, content in part:
                for suffix, text in (("jpg", content), ("cls", class_of(number).encode())):
                    member = tarfile.TarInfo(f"{key}.{suffix}")
                    member.size = len(text)
                    tar.addfile(member, io.BytesIO(text))


def table_of(entries: list[Entry]) -> Any:
    """Return images as Hugging Face's libraries hold them, the names of classes in the schema."""
    import pyarrow as pa

    names = [class_of(number) for number in range(CLASSES)]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    images = [{"bytes": content, "path": f"{key}.jpg"} for key, _, content in entries]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [pa.array(images, kind), pa.array([number for _, number, _ in entries], pa.int64())]
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns, names=["image", "label"]).replace_schema_metadata(about)


def as_parquet(entries: list[Entry], data: Path, rows: int) -> None:
    import pyarrow.parquet as pq

    (data / "data").mkdir(parents=True)
    for i, part in parts(entries):
        file = data / f"data/train-{i:05}-of-{SHARDS:05}.parquet"
        pq.write_table(table_of(part), file, row_group_size=rows, compression="snappy")


def as_arrow(entries: list[Entry], data: Path) -> None:
    import pyarrow as pa

    data.mkdir()
    names = []
    for i, part in parts(entries):
        names.append(f"data-{i:05}-of-{SHARDS:05}.arrow")
        table = table_of(part)
        with pa.ipc.new_stream(data / names[-1], table.schema) as stream:
            stream.write_table(table, max_chunksize=1000)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]
    (data / "dataset_info.json").write_text(json.dumps(features))
    files = [{"filename": name} for name in names]
    (data / "state.json").write_text(json.dumps({"_data_files": files, "_split": "train"}))


FORMS: dict[str, Callable[[list[Entry], Path], None]] = {
    "folder": as_folder,
    "tar": as_tar,
    "parquet, 100": partial(as_parquet, rows=100),
    "parquet, 1000": partial(as_parquet, rows=1000),
    "arrow": as_arrow,
}


def is_read(form: str) -> bool:
    """Return whether this xprobe reads images in such files."""
    kinds = {"folder", *(container.name for container in CONTAINERS)}
    return form.partition(",")[0] in kinds


# --- reading -------------------------------------------------------------------------------


def listed(data: Path) -> Manifest:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(data, whole=False, hashed=False)


def digests(manifest: Manifest) -> list[str]:
    """Return the digests of all contents, which two threads read in turns."""
    items, lock = items_of(manifest), threading.Lock()
    every: list[str] = []

    def take() -> list[Item]:
        with lock:
            return list(islice(items, 1))

    def work() -> None:
        eyes = Eyes([])
        while taken := take():
            (digest,) = eyes.digests([(item.path, item.span) for item in taken])
            if isinstance(digest, Failure):
                raise RuntimeError(f"{taken[0].path}: {digest.reason}")
            every.append(digest)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return every


def both(data: Path) -> list[str]:
    return digests(listed(data))


def anonymous_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def peak_here(data: Path) -> float:
    """Return by how much anonymous memory grew at most while a form was listed and read, MiB."""
    before = peak = anonymous_mib()
    reader = threading.Thread(target=both, args=(data,))
    reader.start()
    while reader.is_alive():
        reader.join(0.01)
        peak = max(peak, anonymous_mib())
    return peak - before


def peak_of(data: Path) -> float | None:
    """Return `peak_here` of a new process; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    command = [sys.executable, __file__, "--peak", str(data)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# --- the run -------------------------------------------------------------------------------


def measured(folder: Path, n: int, rounds: int) -> list[dict[str, Any]]:
    entries = pictures(n)
    for form in FORMS:
        if not is_read(form):
            print(f"{form}: not read by this version of xprobe; left out")
    forms = {form: folder / form.replace(", ", "-") for form in FORMS if is_read(form)}
    for form, data in forms.items():
        FORMS[form](entries, data)
    expected = sorted(both(forms["folder"]))
    for form, data in forms.items():
        if sorted(both(data)) != expected:
            raise RuntimeError(f"{form}: other contents than those of the folder")
    tables = {form: listed(data) for form, data in forms.items()}
    listing = race({form: partial(listed, data) for form, data in forms.items()}, rounds)
    reading = race({form: partial(digests, table) for form, table in tables.items()}, rounds)
    whole = race({form: partial(both, data) for form, data in forms.items()}, rounds)
    return [
        {
            "form": form, "n": n, "listed_s": listing[form], "read_s": reading[form],
            "both_s": whole[form], "images_per_s": n / whole[form],
            "× folder, listed": listing["folder"] / listing[form],
            "× folder, read": reading["folder"] / reading[form],
            "× folder": whole["folder"] / whole[form], "peak_mib": peak_of(data),
        }
        for form, data in forms.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="few images, to see that it works")
    parser.add_argument("--n", type=int, default=20_000, help="images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peak:
        print(peak_here(chosen.peak))
        return
    n, rounds = (300, 1) if chosen.quick else (chosen.n, chosen.rounds)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), n, rounds)
    for row in rows:
        print("; ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}"
                        for k, v in row.items()))  # fmt: skip
    targets = [
        {"name": f"{row['form']}: {name}", "asked": f">= {ASKED:g}", "measured": row[name],
         "met": row[name] >= ASKED}
        for row in rows[1:]
        for name in ("× folder, read", "× folder")
    ]  # fmt: skip
    versions = {name: importlib.metadata.version(name) for name in ("xprobe", "pyarrow", "numpy")}
    machine = f"{platform.machine()}, {platform.system()}"
    print(json.dumps({"question": QUESTION, "machine": machine, "versions": versions,
                      "rows": rows, "targets": targets}))  # fmt: skip


if __name__ == "__main__":
    main()
