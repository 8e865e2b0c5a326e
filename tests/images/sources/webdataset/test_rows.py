"""Labelled shards of WebDataset: what a picture's class is, and what is refused or left out."""

from __future__ import annotations

import io
import json
import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import xprobe
from xprobe.base.errors import OptionError, XprobeError
from xprobe.images import contents
from xprobe.images.captions import captions_of
from xprobe.images.config import DataConfig, FormConfig
from xprobe.images.containers import tar
from xprobe.images.manifest import Row
from xprobe.images.sources.registry import read_rows
from xprobe.images.sources.table import write_table
from xprobe.images.sources.webdataset import samples

pytestmark = pytest.mark.filterwarnings("ignore:.* taken as. WebDataset")

Members = Sequence[tuple[str, Any]]
"""Names of members, and their content: bytes, text, or a dict that is written as JSON."""


def pack(file: Path, members: Members) -> Path:
    """Write a shard."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, said in members:
            text = json.dumps(said) if isinstance(said, dict) else said
            content = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def labelled(n: int = 4, start: int = 0, suffix: str = "cls") -> list[tuple[str, bytes | str]]:
    """Return members of n keys of the classes cat and dog in turn."""
    members = list[tuple[str, bytes | str]]()
    for i in range(start, start + n):
        members += [(f"{i:03}.png", b"pixels %d" % i), (f"{i:03}.{suffix}", ("cat", "dog")[i % 2])]
    return members


def rows_of(data: Path, form: FormConfig = FormConfig()) -> tuple[list[Row], list[str]]:
    """Return the rows of DATA, and the warnings but for what it was taken as."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rows, base = read_rows(data, "", form)
    assert base == (data if data.is_dir() else data.parent)
    words = [str(warning.message) for warning in told]
    return rows, [text for text in words if "taken as: WebDataset" not in text]


def labels(data: Path, form: FormConfig = FormConfig()) -> dict[str, str]:
    rows, words = rows_of(data, form)
    assert [text for text in words if "has no image of" not in text] == []
    return {row["path"].rpartition("::")[2]: row["label"] for row in rows}


def refusal(data: Path, form: FormConfig = FormConfig()) -> str:
    with warnings.catch_warnings(), pytest.raises(XprobeError) as caught:
        warnings.simplefilter("error")
        read_rows(data, "", form)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return tmp_path / "x.tar"


@pytest.fixture
def classes(tmp_path: Path) -> FormConfig:
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\n")
    return FormConfig(classes=str(tmp_path / "names.txt"))


# --- what is read --------------------------------------------------------------------------


def test_members_of_a_key_belong_together_whatever_their_order(shard: Path) -> None:
    members = labelled(6)
    expected = {f"{i:03}.png": ("cat", "dog")[i % 2] for i in range(6)}
    for order in (members, members[::-1], members[::2] + members[1::2]):
        assert labels(pack(shard, order)) == expected


def test_a_key_ends_at_the_first_dot_of_the_name_and_keeps_its_folders(shard: Path) -> None:
    members = [("a.b/0.rgb.png", b"x"), ("a.b/0.CLS", "cat"), ("1.JPG", b"x"), ("1.cls", "dog"),
               ("a/1.png", b"x"), ("a/1.cls", "owl\n")]  # fmt: skip
    assert labels(pack(shard, members)) == {
        "a.b/0.rgb.png": "cat",
        "1.JPG": "dog",
        "a/1.png": "owl",
    }


@pytest.mark.parametrize(
    ("said", "key"),
    [({"label": "cat", "cls": "x"}, ""), ({"cls": "cat"}, ""), ({"species": "cat"}, "species")],
)
def test_the_class_may_stand_in_json(shard: Path, said: dict[str, str], key: str) -> None:
    pack(shard, [("0.png", b"x"), ("0.json", said)])
    assert labels(shard, FormConfig(label_key=key)) == {"0.png": "cat"}


def test_with_a_label_key_the_json_alone_counts(shard: Path) -> None:
    pack(shard, [("0.png", b"x"), ("0.cls", "dog"), ("0.json", {"fine": "cat"})])
    assert labels(shard, FormConfig(label_key="fine")) == {"0.png": "cat"}


def test_numbers_are_classes_by_the_file_of_names(shard: Path, classes: FormConfig) -> None:
    members = [("0.png", b"x"), ("0.cls", "2\n"), ("1.png", b"x"), ("1.json", {"label": 0}),
               ("2.png", b"x"), ("2.cls", "01"), ("2.json", {"label": "dog"})]  # fmt: skip
    assert labels(pack(shard, members), classes) == {"0.png": "owl", "1.png": "cat", "2.png": "dog"}


def test_captions_are_the_prompt_and_columns_of_the_table_are_kept(shard: Path) -> None:
    about = {"label": "cat", "source": "Synthetic", "generator": "sd", "parent": "7", "seed": 3,
             "prompt": ["one", "two"], "url": "http://x.org", "licence": None}  # fmt: skip
    members = [("0.png", b"x"), ("0.json", about), ("0.txt", "two"), ("0.caption", "three\n"),
               ("1.png", b"x"), ("1.cls", "cat"), ("1.txt", "a cat"),
               ("2.png", b"x"), ("2.cls", "cat")]  # fmt: skip
    rows, words = rows_of(pack(shard, members))
    assert words == []
    assert {name: rows[0].get(name) for name in ("source", "generator", "parent", "seed")} == {
        "source": "synthetic", "generator": "sd", "parent": "7", "seed": "3",
    }  # fmt: skip
    assert json.loads(rows[0]["prompt"]) == ["one", "two", "three"]
    assert rows[1]["prompt"] == "a cat"
    assert "prompt" not in rows[2]
    assert {"url", "licence"}.isdisjoint(rows[0])


def test_a_caption_that_looks_like_a_list_is_one_caption(shard: Path) -> None:
    members = [("0.png", b"x"), ("0.cls", "cat"), ("0.txt", '["a"]'),
               ("1.png", b"x"), ("1.json", {"label": "cat", "prompt": ['["a"]']}),
               ("2.png", b"x"), ("2.json", {"label": "cat", "prompt": '["a", "b"]'}),
               ("3.png", b"x"), ("3.json", {"label": "cat", "prompt": 3})]  # fmt: skip
    rows, _ = rows_of(pack(shard, members))
    captions = [captions_of(row.get("prompt", "")) for row in rows]
    assert captions == [['["a"]'], ['["a"]'], ["a", "b"], []]  # The cell of a table holds two.


@pytest.mark.parametrize("text", ["a\\u0000", "\\ud800"])
@pytest.mark.parametrize("name", ["id", "prompt"])
def test_texts_that_no_table_can_hold_are_refused(shard: Path, name: str, text: str) -> None:
    about = f'{{"label": "cat", "{name}": "{text}"}}'
    said = refusal(pack(shard, [("0.png", b"x"), ("0.json", about)]))
    assert said == f"{shard}::0.json: its {name} holds NUL or half a character; write it otherwise"


def test_a_number_in_json_may_be_written_with_a_point(shard: Path, classes: FormConfig) -> None:
    pack(shard, [("0.png", b"x"), ("0.json", {"label": 1.0})])
    assert labels(shard, classes) == {"0.png": "dog"}


def test_splits_are_those_of_shards_unless_a_member_says_another(tmp_path: Path) -> None:
    for start, name in enumerate(("train-0", "val-0", "imagenet-test-000", "more")):
        pack(tmp_path / f"{name}.tar", labelled(2, start * 10))
    pack(tmp_path / "test/0.tar", [("90.png", b"x"), ("90.json", {"label": "cat", "split": "dev"}),
                                   ("91.png", b"x"), ("91.cls", "cat")])  # fmt: skip
    rows, (words,) = rows_of(tmp_path)
    assert "left out shards whose names say no split" in words and "more.tar" in words
    assert {r["path"]: r["split"] for r in rows if r["path"].endswith(("0.png", "91.png"))} == {
        "train-0.tar::000.png": "train", "val-0.tar::010.png": "val",
        "imagenet-test-000.tar::020.png": "test",
        "test/0.tar::90.png": "val", "test/0.tar::91.png": "test",
    }  # fmt: skip


def test_a_table_of_shards_gives_the_same_images(tmp_path: Path) -> None:
    for i in range(2):
        pack(tmp_path / f"shards/{i}.tar", labelled(4, 4 * i))
    direct = xprobe.read(tmp_path / "shards/{0..1}.tar")
    write_table(direct, tmp_path / "study.csv")
    by_table = xprobe.read(tmp_path / "study.csv")
    assert by_table.fingerprint == direct.fingerprint
    assert by_table.path.tolist() == direct.path.tolist()
    assert [contents.read(path) for path in direct.path] == [b"pixels %d" % i for i in range(8)]


def test_shards_are_synthetic_images_beside_others(tmp_path: Path) -> None:
    pack(tmp_path / "real-0.tar", labelled(6))
    for split in ("train", "test"):
        pack(tmp_path / f"sd/{split}-0.tar", labelled(4, 50 if split == "train" else 80))
    config = DataConfig(synthetic=(f"sd={tmp_path}/sd/{{train,test}}-0.tar",))
    with pytest.warns(match="4 synthetic images of a test part left out"):
        manifest = xprobe.read(tmp_path / "real-0.tar", config=config)
    assert sorted(manifest.id[manifest.source == "synthetic"]) == [
        f"synthetic/sd/train-0.tar::{i:03}.png" for i in range(50, 54)
    ]


def test_each_shard_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "x.tar", labelled(6))
    looked, plain = [], tar.headers

    def counted(file: str, *, is_told: bool) -> Any:
        looked.append(file)
        return plain(file, is_told=is_told)

    monkeypatch.setattr(tar, "headers", counted)
    manifest = xprobe.read(tmp_path / "x.tar")
    assert all(contents.spans_of(manifest.path))
    assert looked == [str(tmp_path / "x.tar")]


def test_places_of_several_shards_and_files_are_told_apart(tmp_path: Path) -> None:
    pack(tmp_path / "0.tar", [("0.png", b"a")])
    pack(tmp_path / "1.tar", [("1.png", b"bc"), ("0.png", b"d")])
    names = ("0.tar::0.png", "1.tar::1.png", "x", "1.tar::0.png", "1.tar::none", "gone.tar::0.png")
    paths = [f"{tmp_path}/{name}" for name in names]
    spans = contents.spans_of(paths)
    read = [span and contents.read(path, span) for path, span in zip(paths, spans, strict=True)]
    assert read == [b"a", b"bc", None, b"d", None, None]


# --- bad input -----------------------------------------------------------------------------


def test_numbers_without_names_are_no_classes(shard: Path) -> None:
    pack(shard, [("0.png", b"x"), ("0.cls", "3")])
    assert f"{shard}::0.png (3): its class is a number; name the classes in a file" in refusal(
        shard
    )


@pytest.mark.parametrize("number", ["3", "-1"])
def test_a_number_that_the_file_does_not_name_is_refused(
    shard: Path, classes: FormConfig, number: str
) -> None:
    pack(shard, [("0.png", b"x"), ("0.cls", number)])
    assert f"its class is {number}, and {classes.classes} names the" in refusal(shard, classes)


def test_numbers_in_one_shard_and_names_in_another_name_both(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", labelled())
    pack(tmp_path / "b.tar", [("9.png", b"x"), ("9.cls", "1")])
    said = refusal(tmp_path)
    assert f"{tmp_path}/b.tar::9.png (1) and {tmp_path}/a.tar::000.png (cat)" in said


def test_names_need_no_file_of_names(shard: Path, classes: FormConfig) -> None:
    assert "the classes have names already" in refusal(pack(shard, labelled()), classes)


def test_two_classes_of_a_key_are_refused(shard: Path, classes: FormConfig) -> None:
    pack(shard, [("0.png", b"x"), ("0.cls", "cat"), ("0.json", {"label": "dog"})])
    assert "x.tar::0.png: its .cls says cat, and its .json dog" in refusal(shard)
    pack(shard, [("0.png", b"x"), ("0.cls", "0"), ("0.json", {"label": "dog"})])
    assert "x.tar::0.png: its .cls says cat, and its .json dog" in refusal(shard, classes)
    assert "its class is a number" in refusal(shard)


def test_keys_that_are_not_whole_are_counted(shard: Path) -> None:
    members = [*labelled(), ("7.png", b"x"), ("8.png", b"x"), ("8.cls", "none"), ("9.cls", "cat"),
               ("9.txt", "a cat"), ("6.json", {"label": "cat"})]  # fmt: skip
    rows, words = rows_of(pack(shard, members))
    assert len(rows) == 4
    assert len(words) == 2
    assert f"left out pictures without a class: 2, such as {shard}::7.png" in words[0]
    assert f"left out classes and captions without a picture: 2, such as {shard}::6" in words[1]


def test_pictures_without_any_class_are_an_error_that_says_how_to_embed_them(
    tmp_path: Path,
) -> None:
    pack(tmp_path / "shards/x.tar", [("0.png", b"x"), ("0.json", {"url": "x"}), ("1.png", b"x")])
    said = refusal(tmp_path / "shards")
    assert "none of its 2 pictures has a class" in said
    assert f"'xprobe embed {tmp_path}/shards/*.tar'" in said
    assert "no pictures in it" in refusal(pack(tmp_path / "y.tar", [("0.cls", "cat")]))
    said = refusal(pack(tmp_path / "z.tar", labelled()), FormConfig(label_key="species"))
    assert "has a .json with the key species" in said
    assert "correct --label-key, or leave it out" in said


def test_a_folder_without_shards_is_told(tmp_path: Path) -> None:
    assert "no shards (*.tar) in it; name the folder that holds them" in refusal(
        tmp_path, FormConfig(layout="webdataset")
    )


def test_one_of_several_pictures_of_a_key_is_taken_by_a_rule_or_none(shard: Path) -> None:
    pack(shard, [*labelled(), ("000.mask.png", b"x"), ("000.nir.png", b"x")])
    rows, (words,) = rows_of(shard)
    assert rows[0]["path"] == "x.tar::000.png"
    assert f"left out further pictures of a key: 2, such as {shard}::000.mask.png" in words
    for second in ("000.jpg", "000.PNG"):
        pack(shard, [*labelled(), (second, b"x")])
        assert f"the key 000 has several pictures, 000.png, {second}" in refusal(shard)
    pack(shard, [("0.red.png", b"x"), ("0.nir.png", b"x"), ("0.cls", "cat")])
    assert "the key 0 has several pictures, 0.red.png, 0.nir.png" in refusal(shard)


def test_of_members_that_share_a_name_the_last_one_counts(shard: Path) -> None:
    pack(shard, [*labelled(), ("000.png", b"last"), ("000.cls", "dog")])
    rows, (words,) = rows_of(shard)
    assert rows[0]["label"] == "dog"
    assert contents.read(str(shard.parent / rows[0]["path"])) == b"last"
    assert "1 members have the name of an earlier one" in words


@pytest.mark.parametrize(
    "name", ["a/b", "tab\there", "line\nend", "\x7f", "a\u2028b", "bell\a"], ids=ascii
)
def test_names_that_no_class_can_have_are_refused(shard: Path, name: str) -> None:
    pack(shard, [("0.png", b"x"), ("0.json", {"label": name})])
    assert "holds a slash or a control character" in refusal(shard)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ({"label": ["cat"]}, "neither a name nor a whole number"),
        ({"label": True}, "neither a name nor a whole number"),
        ({"label": 1.5}, "neither a name nor a whole number"),
        (b"\xff\xfe\xfa", "no text in UTF-8"),
    ],
    ids=["broken", "deep", "list", "truth", "fraction", "bytes"],
)
def test_texts_that_cannot_be_read_are_refused(shard: Path, text: Any, said: str) -> None:
    pack(shard, [("0.png", b"x"), ("0.json", text)])
    assert f"{shard}::0.json: " in refusal(shard)
    assert said in refusal(shard)


def test_a_long_text_fills_no_memory(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "_MOST_TEXT", 2000)
    pack(shard, [("0.png", b"x"), ("0.cls", "c" * 2001)])
    assert f"{shard}::0.cls: 2,001 bytes" in refusal(shard)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1024, 1025, 1536, 5000])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_texts_of_any_size_are_whole(shard: Path, size: int, form: int) -> None:
    text = "".join(f"{i} " for i in range(size))[:size].strip() or "0"
    with tarfile.open(shard, "w", format=form) as tar:
        for name, content in (("0.png", b"x"), ("0.cls", b"cat"), ("0.txt", text.encode())):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 0.5  # This needs an extended header in pax.
            tar.addfile(member, io.BytesIO(content))
    ((row,), _) = rows_of(shard)
    assert (row["label"], row["prompt"]) == ("cat", text)


def test_one_name_in_two_forms_of_unicode_is_one_class(shard: Path) -> None:
    pack(shard, [("0.png", b"x"), ("0.cls", "caf\u00e9"), ("1.png", b"x"), ("1.cls", "cafe\u0301")])
    assert set(labels(shard).values()) == {"caf\u00e9"}


def test_a_json_that_is_no_object_says_nothing(shard: Path) -> None:
    assert labels(pack(shard, [("0.png", b"x"), ("0.cls", "cat"), ("0.json", "[1]")])) == {
        "0.png": "cat"
    }


def test_values_that_are_no_text_or_unknown_are_counted(shard: Path) -> None:
    about = {"label": "cat", "source": "laion", "split": "fold1", "group": {"a": 1}}
    rows, words = rows_of(pack(shard, [("0.png", b"x"), ("0.json", about)]))
    assert (rows[0]["source"], rows[0]["split"]) == ("real", "train")
    assert len(words) == 3
    assert any("values of source in .json members: 1 (1 laion)" in text for text in words)
    assert any("values of split in .json members: 1 (1 fold1)" in text for text in words)
    assert any("neither text nor number: 1 (1 group)" in text for text in words)


def test_synthetic_images_of_a_part_for_tests_are_counted(tmp_path: Path) -> None:
    about = {"label": "cat", "source": "synthetic"}
    pack(tmp_path / "test-0.tar", [*labelled(), ("9.png", b"x"), ("9.json", about)])
    rows, (words,) = rows_of(tmp_path / "test-0.tar")
    assert len(rows) == 4
    assert "left out synthetic images of splits that are not trained with: 1" in words


def test_ids_that_shards_count_anew_are_not_used(tmp_path: Path) -> None:
    for i in range(2):
        pack(tmp_path / f"{i}.tar", [(f"{i}.png", b"x"), (f"{i}.json", {"label": "a", "id": 7})])
    rows, (words,) = rows_of(tmp_path)
    assert "several pictures have one id in their .json members, such as 7" in words
    assert [row["id"] for row in rows] == ["0.tar::0.png", "1.tar::1.png"]


def test_odd_names_of_members_are_names_and_lead_nowhere(shard: Path) -> None:
    """No member is ever written to disk: ``..`` and ``/`` at the start are part of its name."""
    names = ["../0", "/etc/1", "a/../2", "./3"]
    members = [(f"{name}.{end}", "cat") for name in names for end in ("png", "cls")]
    assert set(labels(pack(shard, members))) == {f"{name}.png" for name in names}
    manifest = xprobe.read(shard, whole=False)
    assert [contents.read(path) for path in manifest.path] == [b"cat"] * 4


def test_links_lead_to_files_of_the_archive_and_devices_are_none(shard: Path) -> None:
    pack(shard, labelled())
    with tarfile.open(shard, "a") as archive:
        for name, kind, target in (
            ("8.png", tarfile.SYMTYPE, "000.png"), ("8.cls", tarfile.LNKTYPE, "001.cls"),
            ("9.png", tarfile.SYMTYPE, "/etc/passwd"), ("9.cls", tarfile.CHRTYPE, ""),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    rows, (words,) = rows_of(shard)
    assert {row["path"]: row["label"] for row in rows}["x.tar::8.png"] == "dog"
    assert len(rows) == 5
    assert "1 links lead to no file of the archive and are left out: 9.png" in words


def test_members_that_are_no_pictures_are_counted(shard: Path) -> None:
    names = ("0.heic", "README", "0.npy", "__MACOSX/0.png", ".DS_Store", "000.target.cls")
    others = [(name, b"x") for name in names]
    rows, words = rows_of(pack(shard, [*labelled(), *others]))
    assert len(rows) == 4
    assert len(words) == 2
    assert any("1 without suffix" in text and "README" in text for text in words)
    assert any("1 .heic" in text for text in words)


@pytest.mark.parametrize("end", [-2000, 700])
def test_a_shard_that_is_cut_is_an_error_that_names_it_and_the_byte(shard: Path, end: int) -> None:
    content = pack(shard, labelled()).read_bytes()
    last = max(i for i in range(0, len(content), 512) if content[i : i + 1] == b"0")
    shard.write_bytes(content[: last + end])
    assert f"{shard}: damaged or cut at byte" in refusal(shard) or "its end is missing" in refusal(
        shard
    )


def test_shards_have_no_column_to_group_by(shard: Path) -> None:
    pack(shard, labelled())
    with pytest.raises(XprobeError, match=r"--group event: .*xprobe scan .*-o manifest\.csv"):
        xprobe.read(shard, group="event")


def test_options_of_shards_are_refused_where_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "data/real/a").mkdir(parents=True)
    (tmp_path / "data/real/a/0.png").write_bytes(b"x")
    config = DataConfig(form=FormConfig(label_key="x"))
    with pytest.raises(
        OptionError,
        match="if DATA is WebDataset, add --layout webdataset",
    ):
        xprobe.read(tmp_path / "data", config=config)


def test_a_number_of_a_class_may_have_as_many_digits_as_it_likes(
    shard: Path, classes: FormConfig
) -> None:
    said = refusal(pack(shard, [("0.png", b"x"), ("0.cls", "1" * 5000)]), classes)
    assert f"its class is {'1' * 40}, and" in said
    assert len(said) < 500


@pytest.mark.parametrize("none", [None, "", "nan"])
def test_a_label_that_says_no_class_leaves_it_to_cls(tmp_path: Path, none: str | None) -> None:
    said = [(f"{i}.json", {"label": none, "cls": "cat"}) for i in range(2)]
    shard = pack(tmp_path / "a.tar", [("0.png", b"x"), ("1.png", b"y"), *said])
    assert [row["label"] for row in rows_of(shard)[0]] == ["cat", "cat"]


def test_a_key_that_counts_must_not_be_there_twice(tmp_path: Path) -> None:
    for said in ('{"label": "cat", "label": "dog"}', '{"label": "cat", "prompt": 1, "prompt": 2}'):
        shard = pack(tmp_path / "a.tar", [("0.png", b"x"), ("0.json", said)])
        with pytest.raises(XprobeError, match=r"a\.tar::0\.json: the key .* is there twice"):
            rows_of(shard)
    said = '{"label": "cat", "exif": 1, "exif": 2, "further": {"label": 1, "label": 2}}'
    shard = pack(tmp_path / "a.tar", [("0.png", b"x"), ("0.json", said)])
    assert [row["label"] for row in rows_of(shard)[0]] == ["cat"]
