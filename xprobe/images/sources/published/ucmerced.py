"""UC Merced Land Use: ``Images/<class>/<class><nn>.tif``, 256 × 256 pixels."""

from __future__ import annotations

from xprobe.images.sources.published.class_folders import ClassFolders

CLASSES = (
    "agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral",
    "denseresidential", "forest", "freeway", "golfcourse", "harbor", "intersection",
    "mediumresidential", "mobilehomepark", "overpass", "parkinglot", "river", "runway",
    "sparseresidential", "storagetanks", "tenniscourt",
)  # fmt: skip
"""Names of the classes in their order in the alphabet."""

_SET = ClassFolders("UC Merced", frozenset(CLASSES), lambda folder: f"{folder}<nn>.tif")

recognises, read = _SET.recognises, _SET.read
