"""Lists of images: the path in a line, whatever else stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.lists import ListedPath, paths_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1.png", "2.png", "my photos/3 (1).png", "#4/4.png", "5,6.png", "7;8.png 9"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def listed(folder: Path, *lines: str, encoding: str = "utf-8") -> list[ListedPath]:
    file = folder / "list.txt"
    file.write_bytes("\n".join(lines).encode(encoding, "surrogateescape"))
    return list(paths_in(file))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("a/1.png", "a/1.png"),
        ("a/1.png 0", "a/1.png"),  # train.txt of ImageNet
        ("a/1.png\t0", "a/1.png"),
        ("0\t1.0\ta/1.png", "a/1.png"),  # .lst of MXNet
        ("a/1.png,cat,2", "a/1.png"),
        ("cat;a/1.png", "a/1.png"),
        ("a/1.png | cat", "a/1.png"),
        ('"a/1.png"', "a/1.png"),
        ('"5,6.png",cat', "5,6.png"),
        ("'my photos/3 (1).png' 0", "my photos/3 (1).png"),
        ('"no suffix" 0', "no suffix"),
        ("5,6.png", "5,6.png"),
        ("my photos/3 (1).png", "my photos/3 (1).png"),
        ("my photos/3 (1).png 0", "my photos/3 (1).png"),
        ("my photos/3 (1).png,0", "my photos/3 (1).png"),
        ("#4/4.png", "#4/4.png"),
        ("#4/4.png 0", "#4/4.png"),
        ("  2.png ", "2.png"),
        ("some.tar 0", "some.tar"),
        ("gone/1.png 0", "gone/1.png"),
        ("gone, too/1.png", "gone, too/1.png"),
        ("7;8.png 9", "7;8.png"),
        ("without suffix", "without suffix"),
    ],
)
def test_the_path_of_a_line_is_read(folder: Path, line: str, path: str) -> None:
    if line == "gone, too/1.png":
        path = "too/1.png"  # A comma divides columns unless such a file exists.
    assert listed(folder, line, "2.png") == [ListedPath(path), ListedPath("2.png")]


@pytest.mark.parametrize("line", ["", "  ", "# made by hand, see a/1.png", "#", "#!columns: path"])
def test_blank_lines_and_comments_are_left_out(folder: Path, line: str) -> None:
    assert listed(folder, line, "2.png") == [ListedPath("2.png")]


@pytest.mark.parametrize(
    "header", ["path", "Path,Label", "path\tlabel", '"path";"label"', "file w"]
)
def test_a_header_is_left_out(folder: Path, header: str) -> None:
    assert listed(folder, header, "2.png") == [ListedPath("2.png")]
    assert listed(folder, "2.png", header)[1].path != "2.png"  # Only the first line is one.


@pytest.mark.parametrize("line", ["path/1.png", "path to/1.png", "pathology.png", "files/1.png 0"])
def test_a_path_is_no_header(folder: Path, line: str) -> None:
    assert len(listed(folder, line)) == 1


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("https://example.org/1.png", "download"),
        ("s3://bucket/1.png 0", "download"),
        ("2\0.png", "NUL"),
        ("2.png\ta/1.png", "names 2 images"),
        ('"2.png" "a/1.png"', "names 2 images"),
        ("other.txt", "is a list itself"),
        ("caf\udce9.png", "save the list as UTF-8"),
    ],
)
def test_a_line_that_cannot_be_read_is_no_end(folder: Path, line: str, fault: str) -> None:
    (wrong, right) = listed(folder, line, "2.png")
    assert fault in wrong.fault
    assert right == ListedPath("2.png")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_other_encodings_lead_to_the_same_files(folder: Path, encoding: str) -> None:
    (folder / "été.png").touch()
    expected = [ListedPath("2.png"), ListedPath("été.png")]
    assert listed(folder, "2.png", "été.png", encoding=encoding) == expected


def test_names_that_are_no_utf_8_are_read(folder: Path) -> None:
    (folder / "caf\udce9.png").touch()
    assert listed(folder, "caf\udce9.png") == [ListedPath("caf\udce9.png")]


def test_backslashes_are_read_and_said_once(folder: Path) -> None:
    with pytest.warns(XprobeWarning, match=r"with / instead, such as a/1.png") as told:
        assert listed(folder, "a\\1.png", "a\\1.png") == [ListedPath("a/1.png")] * 2
    assert len(told) == 1


def test_a_list_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match="no such list"):
        list(paths_in(tmp_path / "gone.txt"))
