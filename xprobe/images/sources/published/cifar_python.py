"""CIFAR-10 and CIFAR-100 as pickles of Python, which are read without running what is in them."""

from __future__ import annotations

from xprobe.images.containers.batches import BatchError, as_text, unpickled
from xprobe.images.sources.published.cifar import CifarForm, CifarSet


def _names_in(file: str, cifar: CifarSet) -> list[str]:
    """Return the names in a pickle, a list of texts.

    Raises:
        BatchError: there is no such list.
    """
    names = unpickled(file).get(cifar.key)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise BatchError(
            f"{file}: it holds no list {cifar.key} of the names of classes; fetch or unpack the "
            f"data set again"
        )
    return [as_text(name) for name in names]


_FORM = CifarForm(
    (
        CifarSet(
            "CIFAR-10", r"data_batch_\d+|test_batch", "batches.meta", "label_names", is_told=True
        ),
        CifarSet("CIFAR-100", r"train|test", "meta", "fine_label_names"),
    ),
    _names_in,
)

recognises, read = _FORM.recognises, _FORM.read
