"""AID, the Aerial Image Dataset: ``<Class>/<class>_<n>.jpg``, 600 × 600 pixels."""

from __future__ import annotations

from xprobe.images.sources.published.class_folders import ClassFolders

_CLASSES = frozenset(
    ("Airport", "BareLand", "BaseballField", "Beach", "Bridge", "Center", "Church", "Commercial",
     "DenseResidential", "Desert", "Farmland", "Forest", "Industrial", "Meadow",
     "MediumResidential", "Mountain", "Park", "Parking", "Playground", "Pond", "Port",
     "RailwayStation", "Resort", "River", "School", "SparseResidential", "Square", "Stadium",
     "StorageTanks", "Viaduct")
)  # fmt: skip

_SET = ClassFolders("AID", _CLASSES, lambda folder: f"{folder.lower()}_<n>.jpg")

recognises, read = _SET.recognises, _SET.read
