"""Folders of classes stand beside all else in the folder of the images."""

from __future__ import annotations

import pytest

from xprobe.generation.table import folder_of


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("collapsed building", "collapsed_building"),
        ("洪水", "洪水"),
        ("a/../b\\c", "a_b_c"),
        ("..", "_"),
        # What anything else in that folder is called.
        ("to-do", "to-do_"),
        ("Done", "Done_"),
        ("unusable", "unusable_"),
        ("manifest.csv", "manifest_csv"),
        (".tmp-1", "_tmp-1"),
    ],
)
def test_a_class_has_a_folder_whatever_it_is_called(label: str, folder: str) -> None:
    assert folder_of(label) == folder


def test_a_folder_of_a_class_has_a_name_that_file_systems_take() -> None:
    assert len(folder_of("损" * 300).encode()) < 255
