"""A folder of images of elsewhere: who is adopted, with what class, parent, prompt and events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import SavePicture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from xprobe.base.errors import XprobeError
from xprobe.images.adopted.adopt import Request, adopt
from xprobe.images.manifest import Manifest
from xprobe.images.read import read

Adopt = Callable[..., tuple[Manifest, dict[str, tuple[int, tuple[str, ...]]], list[str]]]

PATTERN = "{scene}__*"


@pytest.fixture
def study(tmp_path: Path, save_picture: SavePicture) -> Path:
    """Real images of three scenes: two of class a, one of class b, in a table with events."""
    lines = ["id,path,label,source,group,event,licence,generator"]
    for scene, label, event in (("s1", "a", "flood"), ("s2", "a", "flood"), ("s3", "b", "storm")):
        save_picture(tmp_path / f"real/{scene}__post.png")
        lines.append(
            f"{scene}-post,real/{scene}__post.png,{label},real,{scene},{event},CC-{label},"
        )
    file = tmp_path / "study.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def made(tmp_path: Path, save_picture: SavePicture) -> Callable[..., Path]:
    """Return a function that makes a folder of images of these names."""

    def make(*names: str) -> Path:
        for name in names:
            save_picture(tmp_path / "made" / name)
        return tmp_path / "made"

    return make


@pytest.fixture
def adopted(study: Path) -> Adopt:
    """Return a function that adopts a folder: its table, its counts with examples, its warnings."""

    def run(folder: Path, parent_from: str = PATTERN, **asked: object) -> object:
        request = Request("net", parent_from, **asked)  # type: ignore[arg-type]
        table, parts, notes = adopt(folder, read(study, whole=False, hashed=False), request)
        return table, {part.name: (part.n, part.examples) for part in parts if part.n}, notes

    return run  # type: ignore[return-value]


def test_images_have_the_scene_that_their_name_has(
    made: Callable[..., Path], adopted: Adopt
) -> None:
    folder = made("a/s1__net.png", "a/s2__net.png", "a/other.png", "b/s3__net.png")
    table, parts, notes = adopted(folder)
    assert table.id.tolist() == [f"net/{n}" for n in (
        "a/other.png", "a/s1__net.png", "a/s2__net.png", "b/s3__net.png"
    )]  # fmt: skip
    assert table.parent.tolist() == ["", "s1-post", "s2-post", "s3-post"]
    assert table.label.tolist() == ["a", "a", "a", "b"]
    assert set(table.generator) == {"net"}
    assert set(table.source) == {"synthetic"}
    assert table.column("licence").tolist() == ["", "CC-a", "CC-a", "CC-b"]
    assert "trained_on" not in table.further
    assert {name: n for name, (n, _) in parts.items()} == {
        "adopted": 4, "with parent": 3, "without parent": 1,
    }  # fmt: skip
    assert parts["without parent"] == (1, ("a/other.png",))
    assert notes == []


def test_files_stay_as_they_are(made: Callable[..., Path], adopted: Adopt) -> None:
    folder = made("a/s1__net.png")
    info = PngInfo()
    info.add_text("Prompt", "a flood")
    info.add(b"caBX", b"jumb")
    Image.new("RGB", (4, 4)).save(folder / "a/s2__net.png", pnginfo=info)

    def state() -> dict[str, tuple[str, int]]:
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in folder.rglob("*.png")
        }

    before = state()
    table, parts, _ = adopted(folder)
    assert table.prompt.tolist() == ["", "a flood"]
    assert any("Content Credentials" in name for name in parts)
    assert state() == before


def test_masks_and_unreadable_files_are_left_out_and_counted(
    made: Callable[..., Path], adopted: Adopt
) -> None:
    folder = made("images/a/s1.png", "images/a/s1_mask.png", "masks/a/s1.png", "images/a/s2.png")
    (folder / "images/a/s2.png").write_text("broken")
    table, parts, notes = adopted(folder, "")
    assert [Path(path).name for path in table.path] == ["s1.png"]
    assert parts["masks"][0] == 2
    assert parts["unreadable"][0] == 1
    assert "images/a/s2.png (not an image" in parts["unreadable"][1][0]
    assert any(note.startswith("left out label masks: 2") for note in notes)


def test_the_class_is_that_of_the_folder_then_that_of_the_parent(
    made: Callable[..., Path], adopted: Adopt
) -> None:
    folder = made("A/s1__n.png", "b/s2__n.png", "s3__n.png", "fire/s1__n.png", "fire/x.png")
    table, parts, _ = adopted(folder)
    label = dict(zip(table.id, table.label, strict=True))
    assert label == {
        "net/A/s1__n.png": "a", "net/b/s2__n.png": "b", "net/s3__n.png": "b",
        "net/fire/s1__n.png": "a",
    }  # fmt: skip
    assert parts["class disagrees"] == (1, ("b/s2__n.png (b, but by its parent a)",))
    assert parts["no class"] == (1, ("fire/x.png",))
    by_parent = adopted(folder, label="parent")[0]
    assert sorted(by_parent.label) == ["a", "a", "a", "b"]
    table, parts, _ = adopted(folder, label="a")
    assert set(table.label) == {"a"}
    assert (len(table), parts["class disagrees"][0]) == (5, 2)
    with pytest.raises(XprobeError, match="--label fire: it is folder, table, parent, or a class"):
        adopted(folder, label="fire")
    with pytest.raises(XprobeError, match="--label table: --parent-from names no table"):
        adopted(folder, label="table")


def test_a_folder_may_be_named_for_its_class_itself(
    made: Callable[..., Path], adopted: Adopt
) -> None:
    assert adopted(made("b/x.png") / "b", "")[0].label.tolist() == ["b"]
    with pytest.raises(XprobeError, match=r"no image has a class of DATA \(a, b\)"):
        adopted(made("fire/x.png") / "fire", "")


def test_a_table_says_parent_prompt_date_and_class(
    made: Callable[..., Path], adopted: Adopt, tmp_path: Path
) -> None:
    folder = made("1.png", "2.png", "3.png")
    lines = ("file,parent,prompt,date,label", "1.png,s1,a flood,2025-06-03,", "2.png,mars,,,b")
    (tmp_path / "lineage.csv").write_text("\n".join(lines))
    table, parts, _ = adopted(folder, str(tmp_path / "lineage.csv"))
    assert table.parent.tolist() == ["s1", "mars"]
    assert table.prompt.tolist() == ["a flood", ""]
    assert table.column("date").tolist() == ["2025-06-03", ""]
    assert table.label.tolist() == ["a", "b"]
    assert parts["parent outside DATA"] == (1, ("2.png (mars)",))
    assert parts["no class"] == (1, ("3.png",))


def test_an_image_may_name_its_parent_itself(
    made: Callable[..., Path], adopted: Adopt, tmp_path: Path
) -> None:
    folder = made("b/1.png")
    info = PngInfo()
    info.add_text("parent", "s3__post.png")
    info.add_text("Software", "rsdiff 0.1")
    Image.new("RGB", (4, 4)).save(folder / "b/2.png", pnginfo=info)
    table, _, notes = adopted(folder, "file")
    assert table.parent.tolist() == ["", "s3-post"]
    assert notes == ["the images say that they were made by rsdiff 0.1 (1)"]


def test_scenes_that_cannot_be_told_apart_are_listed(
    made: Callable[..., Path], adopted: Adopt, study: Path
) -> None:
    text = study.read_text().replace("s2__post", "s1__again")
    study.write_text(text)
    (study.parent / "real/s2__post.png").rename(study.parent / "real/s1__again.png")
    table, parts, _ = adopted(made("a/s1__net.png", "b/s3__net.png"))
    assert table.parent.tolist() == ["", "s3-post"]
    assert parts["ambiguous parent"] == (1, ("a/s1__net.png (s1-post, s2-post)",))


def test_one_parent_for_all_is_warned_of(made: Callable[..., Path], adopted: Adopt) -> None:
    _, _, notes = adopted(made("a/s1__x.png", "a/s1__y.png"))
    assert any("all 2 images with a parent have the same one, s1-post" in n for n in notes)
    _, _, notes = adopted(made("b/s3__x.png"))
    assert not any("the same one" in n for n in notes)


def test_without_lineage_it_is_said_what_that_means(
    made: Callable[..., Path], adopted: Adopt
) -> None:
    _, parts, notes = adopted(made("a/x.png"), "")
    assert parts["without parent"][0] == 1
    assert "a sweep cannot keep edits of test images out" in notes[0]


def test_the_events_that_a_generator_has_seen_fill_a_column(
    made: Callable[..., Path], adopted: Adopt, study: Path
) -> None:
    folder = made("a/s1__net.png")
    table, _, notes = adopted(folder, trained_on=("Flood", "quake"))
    assert table.column("trained_on").tolist() == ["Flood;quake"]
    assert notes == []
    _, _, notes = adopted(folder, trained_on=("quake",))
    assert notes == [
        "none of the events of --trained-on (quake) is one of DATA's (flood, storm): nothing will "
        "be kept out of a sweep"
    ]
    study.write_text(study.read_text().replace(",event,", ",damage,"))
    _, _, notes = adopted(folder, trained_on=("flood",))
    assert notes[0].startswith("DATA has no column event")


def test_images_that_data_has_are_no_further_ones(
    made: Callable[..., Path], adopted: Adopt, study: Path
) -> None:
    folder = made("a/s1__net.png", "a/s2__net.png")
    with study.open("a") as lines:
        lines.write("x,made/a/s1__net.png,a,synthetic,,,,\n")
    table, parts, _ = adopted(folder)
    assert table.parent.tolist() == ["s2-post"]
    assert parts["already in DATA"] == (1, ("a/s1__net.png",))
    with pytest.raises(XprobeError, match=r"real: all 3 images of it are in DATA already; .* scan"):
        adopted(study.parent / "real")


def test_a_generator_that_data_has_is_warned_of(
    made: Callable[..., Path], adopted: Adopt, study: Path, save_picture: SavePicture
) -> None:
    save_picture(study.parent / "old.png")
    with study.open("a") as lines:
        lines.write("x,old.png,a,synthetic,,,,net\n")
    _, _, notes = adopted(made("a/s1__net.png"))
    assert "DATA has 1 image of a generator net already" in notes[0]
    study.write_text(study.read_text().replace("x,old", "net/a/s1__net.png,old"))
    with pytest.raises(XprobeError, match="DATA has other images of the ids net/a/s1__net"):
        adopted(made("a/s1__net.png"))


def test_equal_names_in_several_classes_are_several_images(
    made: Callable[..., Path], adopted: Adopt, tmp_path: Path
) -> None:
    folder = made("a/1.png", "b/1.png")
    (tmp_path / "lineage.csv").write_text("file,parent\n1.png,s1\n")
    table, parts, notes = adopted(folder, str(tmp_path / "lineage.csv"))
    assert table.label.tolist() == ["a", "b"]
    assert parts["without parent"][0] == 2
    assert "1 rows name several images of the folder" in notes[0]


@pytest.mark.parametrize("name", ["", "none", " net", "a,b", "a\nb"])
def test_a_generator_needs_a_name_that_options_can_say(name: str) -> None:
    with pytest.raises(XprobeError, match="--generator"):
        Request(name)


def test_a_folder_without_images_is_refused(tmp_path: Path, adopted: Adopt) -> None:
    with pytest.raises(XprobeError, match="no such folder"):
        adopted(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("")
    with pytest.raises(XprobeError, match="there are no images in it"):
        adopted(tmp_path / "empty")
    (tmp_path / "empty/1.png").write_text("broken")
    with pytest.raises(XprobeError, match="none of the 1 files holds a readable image"):
        adopted(tmp_path / "empty")
