"""Where images lie and under which licence, of one folder of results or of several."""

from __future__ import annotations

from pathlib import Path

from makers import make_study, manifest_of
from msgspec import structs

from xprobe.base.arrays import frozen_strings
from xprobe.images.manifest import Manifest
from xprobe.results.images import Place, load_places, places_file, save_places
from xprobe.results.study import Study


def of(table: Manifest) -> Study:
    study = make_study()
    images = structs.replace(study.manifest, fingerprint=table.fingerprint)
    return structs.replace(study, manifest=images)


def test_a_licence_is_kept_where_an_image_has_one(tmp_path: Path) -> None:
    table = manifest_of("a", "b")
    save_places(tmp_path, table, frozen_strings(["xBD", ""]))
    places = load_places(tmp_path, of(table))
    assert [places[digest] for digest in table.sha256] == [Place("0-a", "xBD"), Place("1-b", "")]


def test_without_licences_the_file_is_as_it_was_before_there_were_any(tmp_path: Path) -> None:
    import numpy as np

    table = manifest_of("a")
    save_places(tmp_path, table, frozen_strings([""]))
    with np.load(places_file(tmp_path, table.fingerprint)) as data:
        assert sorted(data.files) == ["path", "sha256"]
    assert load_places(tmp_path, of(table)) == {table.sha256[0]: Place("0-a", "")}


def test_of_several_folders_one_that_knows_a_licence_is_enough(tmp_path: Path) -> None:
    table = manifest_of("a")
    for folder, licence in (("before", ""), ("after", "xBD")):
        save_places(tmp_path / folder, table, frozen_strings([licence]))
    for order in (("before", "after"), ("after", "before"), ("none", "after")):
        places = load_places([tmp_path / folder for folder in order], of(table))
        assert set(places.values()) == {Place("0-a", "xBD")}
