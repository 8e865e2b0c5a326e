"""What the reader of results must know of features that say little."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xprobe.base.arrays import Floats


def remarks_on(parts: Iterable[Floats], name: str) -> list[str]:
    """Return a sentence if features are all equal, or if some are nothing but zeros.

    Args:
        parts: the features, (m, d) in each part.
        name: the encoder as it is shown.
    """
    first: Floats | None = None
    are_equal, rows, zeros = True, 0, 0
    for x in parts:
        first = x[0] if first is None and len(x) else first
        are_equal = are_equal and bool((x == first).all())
        rows, zeros = rows + len(x), zeros + int(np.count_nonzero(~x.any(axis=1)))
    if rows > 1 and are_equal:
        return [f"features of {name} are the same for all images: nothing can be learned of them"]
    if zeros:
        return [
            f"features of {name} are nothing but zeros for {zeros} of {rows} images, as of images "
            f"of one colour, or that were not embedded"
        ]
    return []
