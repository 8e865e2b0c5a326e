"""RSSCN7: ``<letter><Class>/<letter><nnn>.jpg``, 400 × 400 pixels; the class has no letter."""

from __future__ import annotations

from xprobe.images.sources.published.class_folders import ClassFolders

_CLASSES = frozenset(
    ("aGrass", "bField", "cIndustry", "dRiverLake", "eForest", "fResident", "gParking")
)

_SET = ClassFolders(
    "RSSCN7", _CLASSES, lambda folder: f"{folder[0]}<nnn>.jpg", lambda folder: folder[1:]
)

recognises, read = _SET.recognises, _SET.read
