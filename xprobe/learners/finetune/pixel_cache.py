"""Images as an encoder sees them, decoded once and kept in a file that all fine-tunes read."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Ints, digest_of
from xprobe.base.atomic import discard_stale
from xprobe.base.errors import XprobeError
from xprobe.base.progress import Progress, no_progress
from xprobe.encoders.base import Encoder
from xprobe.images import contents
from xprobe.images.decode import UnusableImageError, decode
from xprobe.images.manifest import Manifest

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

# A temporary file without a write for so long was left behind by a process that was killed.
_STALE_S = 24 * 3600


@dataclass(frozen=True, eq=False)
class PixelCache:
    """The images of a manifest in its order, mapped from a file that holds equal contents once.

    Attributes:
        array: (m, h, w, 3) uint8, read-only, mapped from a file.
        row: (n,) position of each image in `array`.
    """

    array: NDArray[np.uint8]
    row: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process map the same file, instead of sending the images to it."""
        if isinstance(self.array, np.memmap):
            return _map_file, (self.array.filename, self.row)
        return PixelCache, (self.array, self.row)

    def __getitem__(self, rows: Ints) -> NDArray[np.uint8]:
        """Return the images (len(rows), h, w, 3) at these positions; no others are read."""
        return np.asarray(self.array[self.row[rows]])


def cached_pixels(
    manifest: Manifest,
    encoder: Encoder,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> PixelCache:
    """Return the preprocessed images of a manifest, decoded by the first call alone.

    The file in `folder` is named for the contents and all that decides their pixels. It appears
    whole or not at all, so that a process may be killed, and two processes may write it at once.

    Args:
        workers: number of threads that decode; by default one a core.

    Raises:
        XprobeError: an image cannot be used, or the disk has no room for all images.
    """
    digests, first, row = _distinct_contents(manifest)
    file = folder / f"{_key(digests, encoder)[:32]}.npy"
    if not file.exists():
        _write_images(file, manifest.select(first), encoder, workers, progress)
    return _map_file(file, row)


def _map_file(file: Path, row: Ints) -> PixelCache:
    return PixelCache(np.load(file, mmap_mode="r"), row)


def size_mib(manifest: Manifest, encoder: Encoder) -> float:
    """Return how much room `cached_pixels` takes on the disk, in MiB."""
    height, width = encoder.spec.input_px
    return len(set(manifest.sha256)) * height * width * 3 / 2**20


def _distinct_contents(manifest: Manifest) -> tuple[list[str], Ints, Ints]:
    """Return the sorted distinct digests, the first image of each, and the digest of each image.

    Images and digests are given by position.
    """
    digests, first, row = np.unique(
        manifest.sha256.astype(str), return_index=True, return_inverse=True
    )
    return digests.tolist(), first, row


def _key(digests: list[str], encoder: Encoder) -> str:
    spec = encoder.spec
    view: list[Any] = [spec.input_px, spec.resize, spec.interpolation, spec.resize_px]
    view += [spec.preprocessing, *([spec.codec] if spec.codec else [])]
    view += [[spec.bands, spec.stretch]] if spec.bands or spec.stretch else []
    # An encoder with a `preprocess` of its own shares its pixels with no other encoder.
    has_own_preprocess = type(encoder).preprocess is not Encoder.preprocess
    return digest_of([view, spec.source if has_own_preprocess else "", digests])


def _write_images(
    file: Path, manifest: Manifest, encoder: Encoder, workers: int | None, progress: Progress
) -> None:
    """Write the images of a manifest, all of different contents, in its order.

    They are written to a stream, where a full disk is an error. It would kill a process that
    writes to a mapped file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    discard_stale(file.parent, _STALE_S)
    shape, mib = (len(manifest), *encoder.spec.input_px, 3), size_mib(manifest, encoder)
    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        if shutil.disk_usage(file.parent).free < mib * 2**20:
            # The error is better raised now than after an hour of decoding.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with temporary.open("xb") as stream, progress("decode", len(manifest)) as advance:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for pixels in _preprocess_in_order(manifest, encoder, workers or joblib.cpu_count()):
                stream.write(pixels.tobytes())
                advance(1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise XprobeError(
            f"{file.parent}: the disk is full; the decoded images need {mib:,.1f} MiB there; "
            f"free some space or choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _preprocess_in_order(
    manifest: Manifest, encoder: Encoder, workers: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield preprocessed images in order, at most four a worker ahead of the consumer."""
    queue: deque[Future[NDArray[np.uint8]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for image in zip(manifest.id, manifest.path, manifest.sha256, strict=True):
            queue.append(pool.submit(_preprocess_one, *image, encoder))
            if len(queue) > 4 * workers:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _preprocess_one(id_: str, path: str, digest: str, encoder: Encoder) -> NDArray[np.uint8]:
    """Return one image (h, w, 3) as the encoder sees it; its content must still have the digest.

    Raises:
        XprobeError: the image cannot be used, or its content has changed.
    """
    try:
        content = contents.read(path)
        if hashlib.sha256(content).hexdigest() != digest:
            raise UnusableImageError("its content is not what the image table says")
        pixels = encoder.see(decode(content, encoder.spec.reading))
    except OSError as error:
        raise _unusable(id_, contents.reason_of(error)) from error
    except UnusableImageError as error:
        raise _unusable(id_, str(error)) from error
    shape = (*encoder.spec.input_px, 3)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise XprobeError(
            f"{encoder.spec.source}: preprocess gives {pixels.dtype} of shape {pixels.shape}, "
            f"where its spec says uint8 of shape {shape}"
        )
    return pixels


def _unusable(id_: str, reason: str) -> XprobeError:
    return XprobeError(f"{id_}: {reason}; mend the file or take it out")
