"""Pictures on disk: a few photographs, and as many files of different content as are asked for."""

from __future__ import annotations

import io
import shutil
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from gpu.bench import CORES, Bench

# Kind → side in pixels, and how many files a whole run embeds.
KINDS = {"jpg256": (256, 32_768), "jpg1024": (1024, 4096), "png1024": (1024, 4096)}

_PHOTOGRAPHS = 16  # of each kind; the other files are these with another comment


def photograph(px: int, number: int) -> Image.Image:
    """Return a picture of px × px pixels: a cut of a photograph, scaled, with a sensor's noise."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(number)
    sources = [Image.fromarray(image) for image in load_sample_images().images]
    source = sources[number % len(sources)]
    side = int(rng.integers(60, 400))
    left, top = (int(rng.integers(0, most - side)) for most in source.size)
    box = (left, top, left + side, top + side)
    picture = np.asarray(source.resize((px, px), Image.Resampling.BICUBIC, box=box), dtype=float)
    picture = picture + rng.normal(0, 4, picture.shape)
    if number % 3 == 1:
        picture = 255 - picture
    if number % 4 == 3:
        picture = picture[:, ::-1] * rng.uniform(0.2, 1, 3)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def pictures(folder: Path, n: int, px: int = 256) -> list[Path]:
    """Write n different photographs as JPEG files and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:05}.jpg" for number in range(n)]
    for number, file in enumerate(files):
        photograph(px, number).save(file, quality=90)
    return files


def _encoded(kind: str, number: int, px: int) -> bytes:
    buffer = io.BytesIO()
    image = photograph(px, number)
    if kind.startswith("jpg"):
        image.save(buffer, "JPEG", quality=90)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def commented(content: bytes, note: bytes) -> bytes:
    """Return a JPEG or PNG file with a comment: another content, the same pixels."""
    if content.startswith(b"\xff\xd8"):
        segment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        return content[:2] + segment + content[2:]
    chunk = b"tEXtComment\0" + note
    packed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return content[:33] + packed + content[33:]


def home(bench: Bench) -> Path:
    """Return the folder of the pictures of all measures."""
    place = bench.folder / "pictures"
    return Path(place.read_text()) if place.is_file() else place


def files_of(bench: Bench, kind: str, n: int) -> list[Path]:
    """Return n pictures that `write` has written, or as many as there was room for."""
    return sorted((home(bench) / kind).iterdir())[:n]


def write(bench: Bench, _argument: str) -> None:
    """Write the pictures that are embedded, in memory where there is room for them."""
    with bench.row("pictures written") as row:
        shared = Path("/dev/shm")
        is_roomy = shared.is_dir() and shutil.disk_usage(shared).free > 40 * 2**30
        folder = Path(tempfile.mkdtemp(prefix="xprobe-gpu-", dir=shared if is_roomy else None))
        (bench.folder / "pictures").write_text(str(folder))
        for kind, (px, n) in KINDS.items():
            n, few, jobs = (n if is_roomy else 4096), _PHOTOGRAPHS, CORES
            if bench.quick:
                n, few, jobs, px = 32, 2, 1, px // 8
            with joblib.parallel_config("loky", n_jobs=min(few, jobs)):
                made = joblib.Parallel()(joblib.delayed(_encoded)(kind, i, px) for i in range(few))
            (folder / kind).mkdir()

            def write_one(i: int, kind: str = kind, made: list[bytes] = made) -> int:
                content = commented(made[i % len(made)], b"%08d" % i)
                return (folder / kind / f"{i:06}.{kind[:3]}").write_bytes(content)

            with ThreadPoolExecutor(CORES) as pool:
                size = sum(pool.map(write_one, range(n)))
            row.values[kind] = f"{n} of {size / n / 1024:.0f} KiB"
        row.values["in memory"] = is_roomy
