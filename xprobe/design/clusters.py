"""What the standard errors of a study are taken over: groups of test images, or something wider."""

from __future__ import annotations

from collections import Counter

from xprobe.base.arrays import Strings, frozen_strings
from xprobe.base.errors import XprobeError, counted, first_few
from xprobe.images.manifest import Manifest
from xprobe.images.parents import Groups


def clusters_of(tested: Manifest, column: str = "") -> Strings:
    """Return what each test image (n,) varies with: its group, or its value in a wider column.

    Values that share a group are one cluster, since what shares a group is not independent.

    Args:
        tested: the test images.
        column: the wider column, one of `images.config.WIDER`; empty: their groups.

    Raises:
        XprobeError: a test image has no value in that column.
    """
    if not column:
        return tested.group
    values = tested.column(column)
    lacking = tested.id[values == ""]
    if len(lacking):
        raise XprobeError(
            f"--errors-by {column}: {len(lacking)} of "
            f"{counted(len(tested), 'test image has', 'test images have')} no {column}, such as "
            f"{first_few(lacking, 2)}; name it in the manifest's column {column}"
        )
    joined = Groups()
    first: dict[str, str] = {}
    for group, value in zip(tested.group, values, strict=True):
        joined.join(first.setdefault(group, value), value)
    return frozen_strings([joined.name(value) for value in values])


def check_clusters(tested: Manifest, column: str = "") -> int:
    """Return the number of clusters of the test images.

    Raises:
        XprobeError: there are fewer than two, or a test image is of none.
    """
    clusters = clusters_of(tested, column)
    n = len(set(clusters))
    if n < 2:
        way = "--errors-by" if column else "--group"
        raise XprobeError(
            f"all {len(tested)} test images are of one {column or 'group'} ({clusters[0]}): how "
            f"much {column or 'group'}s vary cannot be told from one; put a second one into the "
            f"test part, or leave out {way} where images rather than {column or 'group'}s are what "
            f"varies"
        )
    return n


def cluster_warnings(tested: Manifest, column: str = "") -> list[str]:
    """Return warnings of clusters that are several values in one, or most of the test images."""
    clusters = clusters_of(tested, column)
    warnings = []
    if column and (joined := sorted(set(tested.column(column)) - set(clusters))):
        warnings.append(
            f"{column}s that share a group of test images, or a copy, are one in the standard "
            f"errors: {first_few(joined)} with others"
        )
    cluster, n = Counter(clusters).most_common(1)[0]
    if len(set(clusters)) < len(tested) and 3 * n > len(tested):
        warnings.append(
            f"{n} of {len(tested)} test images are of one {column or 'group'} ({cluster}): the "
            f"intervals, which are about further {column or 'group'}s, rest on little else"
        )
    return warnings
