"""NWPU-RESISC45: ``<class>/<class>_<nnn>.jpg``, 256 × 256 pixels."""

from __future__ import annotations

from xprobe.images.sources.published.class_folders import ClassFolders

_CLASSES = frozenset(
    ("airplane", "airport", "baseball_diamond", "basketball_court", "beach", "bridge", "chaparral",
     "church", "circular_farmland", "cloud", "commercial_area", "dense_residential", "desert",
     "forest", "freeway", "golf_course", "ground_track_field", "harbor", "industrial_area",
     "intersection", "island", "lake", "meadow", "medium_residential", "mobile_home_park",
     "mountain", "overpass", "palace", "parking_lot", "railway", "railway_station",
     "rectangular_farmland", "river", "roundabout", "runway", "sea_ice", "ship", "snowberg",
     "sparse_residential", "stadium", "storage_tank", "tennis_court", "terrace",
     "thermal_power_station", "wetland")
)  # fmt: skip

_SET = ClassFolders("NWPU-RESISC45", _CLASSES, lambda folder: f"{folder}_<nnn>.jpg")

recognises, read = _SET.recognises, _SET.read
