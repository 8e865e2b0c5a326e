"""Images decoded once, as an encoder sees them: a hundred fine-tunes are not a hundred decodes."""

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

_FULL = (errno.ENOSPC, errno.EDQUOT)

_STALE_S = 24 * 3600  # a file that was not written to for so long is nobody's any more


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images of a manifest in its order, held on disk; equal contents are there once.

    Attributes:
        array: (m, h, w, 3) uint8, read-only, mapped from a file.
        row: (n,) where each image stands in `array`.
    """

    array: NDArray[np.uint8]
    row: Ints

    def __len__(self) -> int:
        return len(self.row)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process map the same file, instead of sending it the images."""
        if isinstance(self.array, np.memmap):
            return _mapped, (self.array.filename, self.row)
        return Pixels, (self.array, self.row)

    def __getitem__(self, rows: Ints) -> NDArray[np.uint8]:
        """Return the images (len(rows), h, w, 3) at these positions, read from the file alone."""
        return np.asarray(self.array[self.row[rows]])


def cached_pixels(
    manifest: Manifest,
    encoder: Encoder,
    folder: Path,
    *,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Pixels:
    """Return the preprocessed images of a manifest, decoded by the first call alone.

    The file in `folder` is named for the contents and all that decides their pixels. It comes
    into being whole, so a kill leaves none, and of two processes either may be the last.

    Args:
        workers: threads that decode; default one a core.

    Raises:
        XprobeError: an image that cannot be used, or no room for them all.
    """
    digests, first, row = _contents(manifest)
    file = folder / f"{_key(digests, encoder)[:32]}.npy"
    if not file.exists():
        _write(file, manifest.select(first), encoder, workers, progress)
    return _mapped(file, row)


def _mapped(file: Path, row: Ints) -> Pixels:
    return Pixels(np.load(file, mmap_mode="r"), row)


def size_mib(manifest: Manifest, encoder: Encoder) -> float:
    """Return how much of a disk `cached_pixels` takes, MiB."""
    height, width = encoder.spec.input_px
    return len(set(manifest.sha256)) * height * width * 3 / 2**20


def _contents(manifest: Manifest) -> tuple[list[str], Ints, Ints]:
    """Return the distinct digests, sorted, the first image of each, and each image's digest."""
    digests, first, row = np.unique(
        manifest.sha256.astype(str), return_index=True, return_inverse=True
    )
    return digests.tolist(), first, row


def _key(digests: list[str], encoder: Encoder) -> str:
    spec = encoder.spec
    view: list[Any] = [spec.input_px, spec.resize, spec.interpolation, spec.resize_px]
    view += [spec.preprocessing, *([spec.codec] if spec.codec else [])]
    # an encoder with a method of its own shares pixels with no other
    own = type(encoder).preprocess is not Encoder.preprocess
    return digest_of([view, spec.source if own else "", digests])


def _write(
    file: Path, manifest: Manifest, encoder: Encoder, workers: int | None, progress: Progress
) -> None:
    """Write the images of a manifest, all of different contents, in its order.

    One after the other and not through a map, since a full disk ends a process that writes to a
    mapped file, and is an error to one that writes to a stream.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    discard_stale(file.parent, _STALE_S)
    shape, mib = (len(manifest), *encoder.spec.input_px, 3), size_mib(manifest, encoder)
    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        if shutil.disk_usage(file.parent).free < mib * 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # now, not after an hour
        with temporary.open("xb") as stream, progress("decode", len(manifest)) as advance:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for pixels in _decoded(manifest, encoder, workers or joblib.cpu_count()):
                stream.write(pixels.tobytes())
                advance(1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise XprobeError(
            f"{file.parent}: the disk is full; the decoded images need {mib:,.1f} MiB there; "
            f"free some space or choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _decoded(manifest: Manifest, encoder: Encoder, workers: int) -> Iterator[NDArray[np.uint8]]:
    """Yield preprocessed images in order, at most four a worker ahead of the consumer."""
    queue: deque[Future[NDArray[np.uint8]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for image in zip(manifest.id, manifest.path, manifest.sha256, strict=True):
            queue.append(pool.submit(_one, *image, encoder))
            if len(queue) > 4 * workers:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one(id_: str, path: str, digest: str, encoder: Encoder) -> NDArray[np.uint8]:
    """Return one image (h, w, 3) as the encoder sees it, if its file is still what it was."""
    try:
        content = contents.read(path)
        if hashlib.sha256(content).hexdigest() != digest:
            raise UnusableImageError("its content is not what the image table says")
        pixels = encoder.see(decode(content))
    except OSError as error:
        raise _unusable(id_, (error.strerror or str(error)).lower()) from error
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
