"""CIFAR-10 and CIFAR-100 in their binary form: files ``.bin`` of labels and pixels, a byte each."""

from __future__ import annotations

from xprobe.images.containers.batches import opened
from xprobe.images.sources.published.cifar import CifarForm, CifarSet

# No file of names is longer; CIFAR-100's has 100 lines.
_MOST_BYTES = 2**16


def _names_in(file: str, cifar: CifarSet) -> list[str]:
    """Return the names in a text file, one a line."""
    with opened(file) as stream:
        text = stream.read(_MOST_BYTES).decode("utf-8", "backslashreplace")
    return [line.strip() for line in text.strip().splitlines()]


_FORM = CifarForm(
    (
        CifarSet(
            "CIFAR-10", r"(?:data_batch_\d+|test_batch)\.bin", "batches.meta.txt", is_told=True
        ),
        CifarSet("CIFAR-100", r"(?:train|test)\.bin", "fine_label_names.txt"),
    ),
    _names_in,
)

recognises, read = _FORM.recognises, _FORM.read
