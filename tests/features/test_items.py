"""The images that lists and archives name."""

from __future__ import annotations

import tarfile
from pathlib import Path

from makers import SavePicture

from xprobe.features.items import Item, items_in


def test_a_list_names_files_and_archives_and_goes_on_after_each_fault(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    image = save_picture(tmp_path / "1.png")
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(image, "in.png")
    (tmp_path / "broken.tar").write_bytes(b"no tar at all" * 100)
    file = tmp_path / "list.txt"
    file.write_text("1.png 0\ngone.tar\nbroken.tar\nsome.tar\nhttp://x.org/1.png\n1.png\n")
    items = list(items_in(file))
    ids = ["1.png", "gone.tar", "broken.tar", f"{tmp_path}/some.tar::in.png"]
    assert [item.id for item in items] == [*ids, "http://x.org/1.png", "1.png"]
    assert items[0] == Item("1.png", str(image))
    faults = [item.fault for item in items]
    assert [bool(fault) for fault in faults] == [False, True, True, False, True, False]
    assert faults[1] == "no such file"
    assert "no tar archive" in faults[2]
