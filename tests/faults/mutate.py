"""Do archives, shards or manifests that were damaged change a result without a word?

    python tests/faults/mutate.py --tars 2000 --shards 2000 --manifests 300 [--seed 0] [--keep DIR]

Each case damages a small whole file in one way, runs a command on it, and asks an oracle that
shares no code with xprobe what is right:

- a tar is embedded. If a strict reading of its blocks finds nothing wrong, every member that is an
  image must have been embedded or counted as failed; else every image that went in must have been
  embedded, or something must have been said;
- a shard is exported, merged, gathered by gc, swept or measured. What ends without an error must
  give the rows, or the results, of the undamaged store to the bit;
- a manifest is scanned. What JSON and CSV readers of Python make of it must be what was counted,
  or something must have been said.

A **silent difference** is a case that ended with status 0, warned of nothing, and differs. A
**fault** is a traceback, a signal or a hang. Both are printed with the number of the case, from
which `--only N` makes it again, and counted in the last line, which is JSON. Asked: 0.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import h5py
import numpy as np
from faults.forked import Ended, load, make_data, run
from PIL import Image

BLOCK = 512
Rng = np.random.Generator
Outcome = tuple[str, str] | None
"""Kind of a case that is not right (silent, fault), and what happened; None: it is right."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def place(rng: Rng, content: bytes) -> int:
    return int(rng.integers(len(content)))


# --- damage of any file --------------------------------------------------------------------


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: place(rng, content)]


def flip(content: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        changed[place(rng, content)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(content: bytes, rng: Rng) -> bytes:
    start, n = place(rng, content), int(rng.choice([1, 4, 64, 600]))
    filling = rng.bytes(n) if rng.random() < 0.5 else bytes(n)
    return (content[:start] + filling + content[start + n :])[: len(content)]


def insert(content: bytes, rng: Rng) -> bytes:
    start = place(rng, content)
    return content[:start] + rng.bytes(int(rng.choice([1, 2, 512]))) + content[start:]


def remove(content: bytes, rng: Rng) -> bytes:
    start = place(rng, content)
    return content[:start] + content[start + int(rng.choice([1, 2, 512])) :]


def double(content: bytes, rng: Rng) -> bytes:
    start, n = place(rng, content), int(rng.choice([8, 100, 1024]))
    return content[:start] + content[start : start + n] + content[start:]


ANY = (cut, flip, overwrite, insert, remove, double)


# --- archives ------------------------------------------------------------------------------


def pictures(rng: Rng, n: int) -> list[bytes]:
    contents = []
    for _ in range(n):
        buffer = io.BytesIO()
        pixels = rng.integers(0, 256, (int(rng.integers(4, 12)), 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "png")
        contents.append(buffer.getvalue())
    return contents


def packed(contents: list[bytes], form: int, folder: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for i, content in enumerate(contents):
            member = tarfile.TarInfo(f"{folder}{i}.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def headers_of(content: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [member.offset_data - BLOCK for member in tar.getmembers()]


def at_header(content: bytes, rng: Rng) -> bytes:
    """Damage a header, or what a whole number of blocks at it holds."""
    start = int(rng.choice(headers_of(content)))
    kind = rng.integers(5)
    if kind == 0:
        return content[: start + int(rng.choice([0, 1, 200, 512]))]
    if kind == 1:
        return content[:start] + bytes(BLOCK) + content[start:]
    if kind == 2:
        return content[:start] + bytes(BLOCK) + content[start + BLOCK :]
    if kind == 3:
        return content[:start] + content[start + BLOCK :]
    changed = bytearray(content)
    changed[start + int(rng.integers(BLOCK))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def forge_header(content: bytes, rng: Rng) -> bytes:
    """Change a field of a header, and mend its checksum."""
    start = int(rng.choice(headers_of(content)))
    header = bytearray(content[start : start + BLOCK])
    kind = rng.integers(4)
    if kind == 0:
        size = [b"77777777777\0", b"00000000000\0", b"00000000777\0", b"\x80" + bytes(11)]
        header[124:136] = size[int(rng.integers(len(size)))]
    elif kind == 1:
        header[156:157] = [b"1", b"2", b"5", b"7", b"S", b"x", b"g", b"Z"][int(rng.integers(8))]
    elif kind == 2:
        header[0:100] = [b"../up.png", b"noext", b"a.PNG", b"._x.png"][int(rng.integers(4))].ljust(
            100, b"\0"
        )
    else:
        header[int(rng.integers(100, 148))] = int(rng.integers(256))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:start] + bytes(header) + content[start + BLOCK :]


def joined(content: bytes, rng: Rng) -> bytes:
    other = packed(pictures(rng, 3), tarfile.USTAR_FORMAT, "more/")
    return content.rstrip(b"\0") + other if rng.random() < 0.2 else content + other


def without_end(content: bytes, rng: Rng) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        last = tar.getmembers()[-1]
    return content[: last.offset_data + -(-last.size // BLOCK) * BLOCK]


def strict_members(content: bytes) -> list[tuple[str, bytes]] | None:
    """Return name and content of the files of a tar in which nothing is wrong; else None."""
    files = []
    start = 0
    while True:
        header = content[start : start + BLOCK]
        if len(header) < BLOCK:
            return None  # It lacks its end.
        if not any(header):
            return files if not any(content[start:]) and len(content) - start > BLOCK else None
        try:
            asked, size = int(header[148:156].strip(b" \0"), 8), int(header[124:135], 8)
        except ValueError:
            return None
        kind = header[156:157]
        if asked != sum(header[:148]) + 256 + sum(header[156:]) or kind not in b"0\0":
            return None  # Links and extensions never went in.
        start += BLOCK
        if start + size > len(content):
            return None
        name = header[:100].split(b"\0")[0].decode(errors="replace")
        files.append((name, content[start : start + size]))
        start += -(-size // BLOCK) * BLOCK


def is_image(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:
        return False
    return True


def embedded(store: Path) -> set[str]:
    """Return the digests of all rows of a store, by h5py alone."""
    rows: set[str] = set()
    for file in store.glob("*/shards/*.h5"):
        with h5py.File(file) as h5:
            rows |= {bytes(row).hex() for row in h5["sha256"][:]}
    return rows


def try_tar(folder: Path, rng: Rng) -> tuple[str, Outcome]:
    contents = pictures(rng, 6)
    whole = packed(contents, int(rng.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])))
    damage = pick(rng, (*ANY, at_header, at_header, forge_header, joined, without_end))
    content = damage(whole, rng)
    (folder / "a.tar").write_bytes(content)
    ran = run(
        ["embed", "a.tar", "--encoder", "pixels", "--workers", "1", "--out", "f", "--json"], folder
    )
    if ran.is_fault:
        return damage.__name__, ("fault", ended(ran))
    if ran.is_told:
        return damage.__name__, None
    (row,) = json.loads(ran.out)["encoders"]
    rows = embedded(folder / "f")
    members = strict_members(content)
    if members is None:
        lost = len({digest(c) for c in contents} - rows)
    else:
        # What macOS keeps beside a file is no image, whatever it holds.
        images = [c for name, c in members if not name.startswith("._") and is_image(c)]
        lost = len({digest(c) for c in images} - rows)
    if damage is joined:
        lost = max(lost, 9 - row["images"])
    if lost and not row["failed"]:
        return damage.__name__, ("silent", f"{lost} images lost, images {row['images']}, failed 0")
    return damage.__name__, None


# --- shards --------------------------------------------------------------------------------


def forge_hdf5(content: bytes, rng: Rng) -> bytes:
    """Change a shard by HDF5's own means, as a program might that knows no better."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as h5:
        kind = rng.integers(4)
        if kind == 0:
            h5.move("x" if rng.random() < 0.5 else "sha256", "other")
        elif kind == 1:
            row = int(rng.integers(len(h5["x"])))
            h5["x"][row, int(rng.integers(h5["x"].shape[1]))] += 0.5
        elif kind == 2:
            h5["sha256"][:] = np.roll(h5["sha256"][:], 1, axis=0)
        else:
            x = h5["x"][:]
            del h5["x"]
            h5["x"] = x[:, ::-1] if rng.random() < 0.5 else x[:-1]
    return buffer.getvalue()


def flip_values(content: bytes, rng: Rng) -> bytes:
    """Flip a bit of the features or digests themselves, which HDF5 cannot know of."""
    with h5py.File(io.BytesIO(content)) as h5:
        data = h5["x"] if rng.random() < 0.8 else h5["sha256"]
        start, n = data.id.get_offset(), data.id.get_storage_size()
    changed = bytearray(content)
    changed[start + int(rng.integers(n))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


class Stores:
    """A whole store, its rows and its results, made once."""

    SWEEP = ("sweep", "--encoder", "pixels", "--ratios", "1", "--repeats", "1", "--c-grid", "1",
             "--workers", "1", "--json")  # fmt: skip
    DISTANCE = ("distance", "--encoder", "pixels", "--permutations", "99", "--workers", "1",
                "--json")  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        make_data(folder / "data", 6, 8)
        embed = ["embed", "--encoder", "pixels", "--workers", "1", "--out", "warm"]
        load(folder, embed, ["scan", "data"], ["store", "gc", "warm"])
        load(folder, ["store", "export", "x.npz", "--encoder", "pixels", "--store", "warm"])
        shutil.rmtree(folder / "warm")
        for part in ("1/2", "2/2"):
            arguments = ["embed", "--encoder", "pixels", "--workers", "1", "--shard", part]
            assert run(arguments, folder).code == 0
        self.rows = self.exported(folder)
        slow = ("torch", "sklearn.linear_model", "sklearn.model_selection")
        load(folder, [*self.SWEEP], [*self.DISTANCE], libraries=slow)
        shutil.rmtree(folder / "results")
        self.results = json.loads(run([*self.SWEEP], folder).out)["results"]
        shutil.rmtree(folder / "results")
        self.distances = json.loads(run([*self.DISTANCE], folder).out)["distances"]
        shutil.rmtree(folder / "results")

    def exported(self, folder: Path, store: str = "features") -> dict[str, bytes] | Ended:
        ran = run(["store", "export", "x.npz", "--encoder", "pixels", "--store", store], folder)
        if ran.code:
            return ran
        with np.load(folder / "x.npz") as arrays:
            return {
                name: row.tobytes()
                for name, row in zip(arrays["sha256"].tolist(), arrays["x"], strict=True)
            }


def try_shard(folder: Path, rng: Rng, stores: Stores) -> tuple[str, Outcome]:
    shutil.copytree(stores.folder, folder, dirs_exist_ok=True)
    shards = sorted(folder.glob("features/*/shards/*.h5"))
    shard = shards[int(rng.integers(len(shards)))]
    damage = pick(rng, (*ANY, flip_values, flip_values, flip_values, forge_hdf5))
    whole = shard.read_bytes()
    shard.write_bytes(content := damage(whole, rng))
    if content == whole:
        return damage.__name__, None
    command = str(rng.choice(["export", "merge", "gc", "embed", "sweep", "distance"],
                             p=[0.4, 0.2, 0.2, 0.1, 0.06, 0.04]))  # fmt: skip
    name = f"{damage.__name__}, {command}"
    store = "features"
    if command in ("sweep", "distance"):
        ran = run([*(Stores.SWEEP if command == "sweep" else Stores.DISTANCE)], folder)
        if ran.is_fault:
            return name, ("fault", ended(ran))
        if ran.code:
            return name, None
        results = json.loads(ran.out)["results" if command == "sweep" else "distances"]
        expected = stores.results if command == "sweep" else stores.distances
        return name, None if results == expected else ("silent", "other results")
    if command == "merge":
        store = "merged"
        ran = run(["store", "merge", "features", "--into", store], folder)
    elif command == "gc":
        ran = run(["store", "gc", "features"], folder)
    elif command == "embed":
        ran = run(["embed", "--encoder", "pixels", "--workers", "1"], folder)
    else:
        ran = Ended(0, "", "")
    if ran.is_fault:
        return name, ("fault", ended(ran))
    if ran.code:
        return name, None
    rows = stores.exported(folder, store)
    if isinstance(rows, Ended):
        return name, ("fault", ended(rows)) if rows.is_fault else None
    # A digest that was flipped is a row of a file that nobody has; the rows of files must be right.
    same = rows == stores.rows
    return name, None if same else ("silent", "other rows")


# --- manifests -----------------------------------------------------------------------------

FIELDS = ("path", "label", "source")


def rows_of_jsonl(content: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in content.decode("utf-8-sig").splitlines():
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line that is no object")
            rows.append(row)
    return rows


def rows_of_csv(content: bytes) -> list[dict[str, Any]]:
    text = content.decode("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = list(reader)
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a line of another length")
    return rows


def counted(rows: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """Return how many images a class, source, generator and split has."""
    if not rows or any(not str(row.get(field, "")).strip() for row in rows for field in FIELDS):
        raise ValueError("a row without path, label or source")
    if len({row["path"] for row in rows}) < len(rows):
        raise ValueError("a path that is there twice")
    return Counter(
        (
            unicodedata.normalize("NFC", str(row["label"])),
            str(row["source"]),
            str(row.get("generator") or ""),
            str(row.get("split") or "train"),
        )
        for row in rows
    )


def misname(content: bytes, rng: Rng) -> bytes:
    """Misspell, rename or swap the names of columns."""
    old = [b"label", b"parent", b"group", b"source", b"split", b"generator"][int(rng.integers(6))]
    new = [old[:-1], old.upper(), old[::-1], old + b"s", b"other"][int(rng.integers(5))]
    return content.replace(old, new)


def encode(content: bytes, rng: Rng) -> bytes:
    text = content.decode()
    forms = ["utf-16", "utf-8-sig", "utf-16-le", "latin-1"]
    return text.encode(str(rng.choice(forms)), errors="replace")


def change_lines(content: bytes, rng: Rng) -> bytes:
    lines = content.splitlines(keepends=True)
    i, j = (int(rng.integers(len(lines))) for _ in range(2))
    kind = rng.integers(4)
    if kind == 0:
        lines.insert(i, lines[j])
    elif kind == 1:
        del lines[i]
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    else:
        lines[i] = lines[i].rstrip(b"\r\n")
    return b"".join(lines)


def change_values(content: bytes, rng: Rng) -> bytes:
    pairs = [
        (b'"a"', b"NaN"), (b'"a"', b"null"), (b'"a"', b"1"), (b'"a"', b'"e\xcc\x81"'),
        (b'"b"', b'"B"'), (b"real", b"Real"), (b"synthetic", b"synth"), (b",", b";"),
        (b",", b"\t"), (b"/", b"\\\\"), (b"train", b"test"), (b",g,", b",,"),
    ]  # fmt: skip
    old, new = pairs[int(rng.integers(len(pairs)))]
    return content.replace(old, new, int(rng.choice([1, 5, 10_000])))


def try_manifest(folder: Path, rng: Rng, stores: Stores) -> tuple[str, Outcome]:
    (folder / "data").symlink_to(stores.folder / "data")
    suffix, read = ((".jsonl", rows_of_jsonl), (".csv", rows_of_csv))[int(rng.integers(2))]
    assert run(["scan", "data", "-o", f"whole{suffix}"], folder).code == 0
    whole = (folder / f"whole{suffix}").read_bytes()
    damage = pick(rng, (*ANY, misname, encode, change_lines, change_values, change_values))
    content = damage(whole, rng)
    (folder / f"m{suffix}").write_bytes(content)
    ran = run(["scan", f"m{suffix}", "--json"], folder)
    name = f"{damage.__name__}, {suffix}"
    if ran.is_fault:
        return name, ("fault", ended(ran))
    if ran.code or json.loads(ran.out)["warnings"] != warnings_of(stores) or ran.is_told:
        return name, None
    counts: Counter[tuple[str, ...]] = Counter()
    for row in json.loads(ran.out)["counts"]:
        counts[row["class"], row["source"], row["generator"] or "", row["split"]] += row["n"]
    if counts == counted(read(whole)):
        return name, None  # Another encoding or delimiter changes nothing that is read.
    try:
        expected = counted(read(content))
    except (ValueError, csv.Error, UnicodeError) as error:
        return name, ("silent", f"read, though {error}")
    return name, None if counts == expected else ("silent", f"{counts - expected} too many")


def warnings_of(stores: Stores) -> list[str]:
    """Return what is said of the undamaged images."""
    if not hasattr(stores, "warnings"):
        stores.warnings = json.loads(run(["scan", "data", "--json"], stores.folder).out)["warnings"]
    warnings: list[str] = stores.warnings
    return warnings


# --- the run -------------------------------------------------------------------------------


def pick(rng: Rng, damages: tuple[Callable[[bytes, Rng], bytes], ...]) -> Any:
    return damages[int(rng.integers(len(damages)))]


def ended(ran: Ended) -> str:
    lines = ran.err.strip().splitlines() or ["nothing"]
    return f"exit {ran.code}: {lines[-1][:200]}"


def cases(
    chosen: argparse.Namespace, work: Path, stores: Stores
) -> Iterator[tuple[str, int, str, Outcome]]:
    """Yield kind, number, name and outcome of each case."""
    kinds: dict[str, Callable[[Path, Rng], tuple[str, Outcome]]] = {
        "tars": try_tar,
        "shards": lambda folder, rng: try_shard(folder, rng, stores),
        "manifests": lambda folder, rng: try_manifest(folder, rng, stores),
    }
    for number, (kind, attempt) in enumerate(kinds.items()):
        for i in range(getattr(chosen, kind)):
            if chosen.only is not None and i != chosen.only:
                continue
            folder = (chosen.keep or work) / f"{kind}-{i}"
            folder.mkdir(parents=True)
            rng = np.random.default_rng([chosen.seed, number, i])
            yield kind, i, *attempt(folder, rng)
            if not chosen.keep:
                shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for kind in ("tars", "shards", "manifests"):
        parser.add_argument(f"--{kind}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="only the case of this number")
    parser.add_argument("--keep", type=Path, help="keep the files of the cases in this folder")
    chosen = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        stores = Stores(Path(name) / "whole")
        for kind, i, damage, outcome in cases(chosen, Path(name), stores):
            said = outcome[0] if outcome else "right"
            counts.setdefault(kind, Counter())[said] += 1
            if outcome:
                print(f"{outcome[0]}: {kind} {i} ({damage}): {outcome[1]}", flush=True)
    print(json.dumps({kind: dict(count) for kind, count in counts.items()}))
    sys.exit(any(set(count) - {"right"} for count in counts.values()))


if __name__ == "__main__":
    main()
