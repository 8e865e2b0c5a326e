"""Whether the files of the chosen tiles fit each other."""

from __future__ import annotations

from dataclasses import replace

from xprobe.base.progress import Progress, no_progress
from xprobe.images.decode import UnusableImageError, probe
from xprobe.images.sources.xbd.labels import UNREADABLE, outlines_in, reason_of
from xprobe.images.sources.xbd.remarks import Remarks
from xprobe.images.sources.xbd.splits import Division
from xprobe.images.sources.xbd.tiles import Tile

_WITHOUT = "taken without outlines"


def check_files(division: Division, progress: Progress = no_progress) -> tuple[Division, list[str]]:
    """Return a division whose tiles have outlines that can be used, and lines about the others.

    The outlines of an image of another size than its label file says would lie elsewhere in it. Of
    images only the headers are read; an image that has none which can be read is told by ``xprobe
    scan`` and ``xprobe embed``.
    """
    remarks = Remarks()
    names = ("train", "test", "sources")
    total = sum(len(getattr(division, name)) for name in names)
    parts: dict[str, list[Tile]] = {name: [] for name in names}
    with progress("check tiles", total) as advance:
        for name in names:
            for tile in getattr(division, name):
                parts[name].append(_checked(tile, remarks))
                advance(1)
    return (
        replace(division, train=parts["train"], test=parts["test"], sources=parts["sources"]),
        remarks.lines,
    )


def _checked(tile: Tile, remarks: Remarks) -> Tile:
    post, pre = _size_of(tile.post), _size_of(tile.pre)
    if post and pre and post != pre:
        remarks.add(
            "tile has images of two sizes before and after",
            "tiles have images of two sizes before and after", "taken all the same",
            f"{tile.name} ({pre[0]} × {pre[1]}, {post[0]} × {post[1]})",
        )  # fmt: skip
    if tile.size and any(size not in (None, tile.size) for size in (post, pre)):
        remarks.add(
            "tile has an image of another size than its label file says",
            "tiles have images of another size than their label files say", _WITHOUT, tile.name,
        )  # fmt: skip
        return replace(tile, post_label="", pre_label="")
    return replace(
        tile,
        post_label=_with_outlines(tile.post_label, remarks),
        pre_label=_with_outlines(tile.pre_label, remarks),
    )


def _with_outlines(label: str, remarks: Remarks) -> str:
    """Return the path of a label file with outlines that can be used, else an empty one."""
    if not label:
        return ""
    try:
        outlines = outlines_in(label)
    except UNREADABLE as error:
        remarks.add("label file cannot be read", "label files cannot be read", _WITHOUT,
                    f"{label} ({reason_of(error)})")  # fmt: skip
        return ""
    if not all(outlines):
        remarks.add(
            "label file has outlines that do not parse",
            "label files have outlines that do not parse", _WITHOUT, label,
        )  # fmt: skip
        return ""
    return label if outlines else ""


def _size_of(path: str) -> tuple[int, int] | None:
    """Return width and height of an image, pixels; None: its header cannot be read."""
    try:
        return probe(path)[1:] if path else None
    except UnusableImageError:
        return None
