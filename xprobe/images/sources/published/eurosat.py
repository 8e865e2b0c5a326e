"""EuroSAT in RGB: ``<Class>/<Class>_<n>.jpg``, 64 × 64 pixels of Sentinel-2."""

from __future__ import annotations

from xprobe.images.sources.published.class_folders import ClassFolders

CLASSES = frozenset(
    ("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture",
     "PermanentCrop", "Residential", "River", "SeaLake")
)  # fmt: skip

_SET = ClassFolders("EuroSAT", CLASSES, lambda folder: f"{folder}_<n>.jpg")

recognises, read = _SET.recognises, _SET.read
