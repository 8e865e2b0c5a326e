"""Prompts of generators: built-in ones, and files that people write."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from xprobe.base.errors import XprobeError
from xprobe.base.packed import packed_table
from xprobe.generation.presets import PROMPTS
from xprobe.generation.prompts import read_prompts
from xprobe.images.manifest import NULL_EDIT

ROOT = Path(__file__).parents[2]

EVENTS = packed_table("events")
CLASSES = sorted({row[column] for row in EVENTS for column in ("class", "study_class")})

VALUES = {"event": "santa-rosa-wildfire", "caption": "houses beside a river"}

CONTROLS = ("null", "null-zh")


def file_of(folder: Path, content: Any, name: str = "my.json") -> str:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(file)


def for_all(*templates: str) -> dict[str, dict[str, list[str]]]:
    return {"templates": {"*": list(templates)}}


def test_the_built_in_names_are_the_packed_files() -> None:
    folder = ROOT / "data/prompts"
    files = [*folder.glob("edits/*"), *folder.glob("texts/*")]
    assert sorted(f.stem for f in files if f.suffix == ".json") == sorted(PROMPTS)
    assert len(files) == len(PROMPTS)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_built_in_prompt_is_filled_for_every_disaster(name: str) -> None:
    prompts = read_prompts(name)
    assert prompts.name == name
    assert prompts.control == (NULL_EDIT if name in CONTROLS else "")
    prompts.check(CLASSES, with_source=prompts.use == "edit")
    for label in CLASSES:
        filled = [template.fill(VALUES, "a") for template in prompts.of_class(label)]
        assert filled
        assert len(set(filled)) == len(filled)
        for prompt in filled:
            assert not re.search(r"[{}]|\s\s|^\s|\s$", prompt)
            assert bool(re.search("[\u4e00-\u9fff]", prompt)) == name.endswith("-zh")
            if name.endswith("-zh"):
                assert not re.search("[a-z]", prompt.replace("santa rosa wildfire", ""))


@pytest.mark.parametrize("name", ["disasters-en", "disasters-zh"])
def test_edits_differ_in_strength_and_no_two_classes_share_one(name: str) -> None:
    prompts = read_prompts(name)
    texts: set[str] = set()
    n = 0
    for label in sorted({row["class"] for row in EVENTS}):
        templates = prompts.of_class(label)
        assert {template.strength for template in templates} == {"light", "moderate", "heavy"}
        assert templates[0].strength == "moderate"
        texts |= {template.text for template in templates}
        n += len(templates)
    assert len(texts) == n == 24


def test_both_languages_have_the_same_strengths() -> None:
    english, chinese = map(read_prompts, ("disasters-en", "disasters-zh"))
    for label in CLASSES:
        assert [t.strength for t in english.of_class(label)] == [
            t.strength for t in chinese.of_class(label)
        ]


def test_the_prompts_of_the_study_are_word_for_word() -> None:
    prompts = read_prompts("study")
    filled = {c: [t.fill({}) for t in prompts.of_class(c)] for c in CLASSES}
    assert filled["flooding"] == ["make it suffer from flooding", "flooded"]
    assert filled["earthquake"][1:] == ["collapsed building"]
    assert filled["wildfire"] == filled["fire"] == ["make it suffer from wildfire"]


def test_a_text_file_has_a_prompt_a_line_for_every_class(tmp_path: Path) -> None:
    name = file_of(
        tmp_path, "\ufeff# two\r\n\r\nflooded\r\n  after\t{class},  {event} \r\nflooded", "a.TXT"
    )
    prompts = read_prompts(name)
    assert [t.fill(VALUES) for t in prompts.of_class("coastal_Flood-plain")] == [
        "flooded", "after coastal Flood plain, santa rosa wildfire", "flooded",
    ]  # fmt: skip
    assert (prompts.name, prompts.use, prompts.control) == (name, "", "")
    prompts.check(["a", "b"], with_source=True)
    prompts.check(["a", "b"], with_source=False)


def test_classes_are_found_in_any_spelling_and_the_rest_by_default(tmp_path: Path) -> None:
    prompts = read_prompts(
        file_of(
            tmp_path,
            {
                "frame": "Show {text}!",
                "templates": {"Wild Fire": [{"text": "{class}", "strength": "heavy"}], "*": ["x"]},
                "words": {"wild-fire": "a blaze"},
                "like": {"bush_fire": "WILD_FIRE"},
            },
        )
    )
    (wild,) = prompts.of_class("wild_fire")
    assert (wild.fill({}), wild.strength) == ("Show a blaze!", "heavy")
    assert [t.fill({}) for t in prompts.of_class("Bush Fire")] == ["Show Bush Fire!"]
    assert [t.fill({}) for t in prompts.of_class("other")] == ["Show x!"]


def test_what_a_manifest_says_is_no_template_and_stays_on_one_line(tmp_path: Path) -> None:
    (template,) = read_prompts(file_of(tmp_path, for_all("{caption} in {class}"))).of_class(
        "{event}\n"
    )
    assert template.fill({"caption": "a\r\n{class}\x1b[2J \u202eb\u200d"}) == (
        "a {class}[2J b\u200d in {event}"
    )


def test_a_value_that_an_image_lacks_is_an_error_with_both_names(tmp_path: Path) -> None:
    (template,) = read_prompts(file_of(tmp_path, "so\n", "a.txt")).of_class("x")
    assert template.fill({}) == "so"
    (template,) = read_prompts(file_of(tmp_path, "after {event}", "a.txt")).of_class("x")
    for values in ({}, {"event": " \u200b"}):
        with pytest.raises(XprobeError, match=r"^im 7 has no event, and .*a\.txt, line 1 needs it"):
            template.fill(values, "im 7")


def test_a_prompt_that_its_caption_makes_too_long_is_refused(tmp_path: Path) -> None:
    (template,) = read_prompts("captions").of_class("x")
    with pytest.raises(XprobeError, match=r"im: a prompt of 8,0\d\d characters; .* 8,000"):
        template.fill({"caption": "a" * 8000}, "im")


def test_all_classes_without_a_prompt_are_named_at_once() -> None:
    prompts = read_prompts("disasters-en")
    with pytest.raises(
        XprobeError,
        match=r"no prompt for 2 classes: floods, drought \(did you mean flooding\?\); add them, or",
    ):
        prompts.check(["fire", "floods", "drought", "floods"], with_source=True)


@pytest.mark.parametrize(
    ("name", "with_source", "says"),
    [("null", False, "sends none; use others"), ("scenes-zh", True, "use them with --from text")],
)
def test_prompts_for_something_else_are_refused(name: str, with_source: bool, says: str) -> None:
    with pytest.raises(XprobeError, match=says):
        read_prompts(name).check(["fire"], with_source)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("disasters", r"no prompts 'disasters' \(did you mean disasters-\w\w or disasters-\w\w"),
        ("make it suffer from flooding", "name a .txt file with a prompt a line"),
        ("my.csv", "no prompts 'my.csv'"),
        ("missing.json", "no prompts 'missing.json'"),
        ("a" * 5000 + ".txt", "no prompts 'aaa"),
        ("\0.txt", r"no prompts '\\x00.txt'"),
        ("clip", "clip are words for classes, of `embed --prompts`"),
    ],
)
def test_unknown_prompts_are_refused_with_those_that_there_are(name: str, says: str) -> None:
    with pytest.raises(XprobeError, match=says) as error:
        read_prompts(name)
    assert "null-zh" in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "content",
    [
        {"templates": ["an aerial photo of {}."]},
        {"templates": ["an aerial photo."], "classes": {"flooding": "a flood"}},
        (ROOT / "data/prompts/classes/disasters-zh.json").read_text(encoding="utf-8"),
    ],
)
def test_a_file_of_embed_is_refused_with_that_word(tmp_path: Path, content: Any) -> None:
    with pytest.raises(XprobeError, match=r"my\.json is a file of `embed --prompts`"):
        read_prompts(file_of(tmp_path, content))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "after {clas}",
            r"line 2: unknown field \{clas\} \(did you mean class\?\); known: \{class\}",
        ),
        ("a photo of {}", r"unknown field \{\} \(did you mean \{class\}\?\)"),
        ("{class.__class__}", "unknown field"),
        ("{class!r}", "unknown field"),
        ("{ class }", r"unknown field \{ class \} \(did you mean class"),
        ("{text}", "unknown field"),
        ("{0}", "unknown field"),
        ("{{class}}", "'{' stands alone"),
        ("{class", "'{' stands alone"),
        ("class}", "'}' stands alone"),
        ("｛class｝之后", "'｛' stands alone"),
        ("a\x1b[2Jb", r"holds \\x1b, a character that nobody sees"),
        ("a\u202eb", r"holds \\u202e"),
        ("a\0b", r"holds \\x00"),
        ("a" * 8001, "8,001 characters; a prompt has 1 to 8,000"),
    ],
)
def test_a_faulty_template_is_refused_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(XprobeError, match=says) as error:
        read_prompts(file_of(tmp_path, f"fine\n{line}", "a.txt"))
    assert "a.txt, line 2: " in str(error.value)
    with pytest.raises(XprobeError, match=r"my\.json, prompt 2 of \*: "):
        read_prompts(file_of(tmp_path, for_all("fine", line)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no prompts in JSON: Expecting value"),
        ("[]", "Expected `object`, got `array`"),
        ("[" * 100_000, "no prompts in JSON: "),
        ('{"templates": {"a": ["x"], "a": ["y"]}}', "the key 'a' is there twice"),
        ({"templates": {}}, "0 prompts; it must have 1 to 10,000"),
        ({"templates": {"a": [], "b": ["x"]}}, "a has no template"),
        ({"templates": {"a": [""]}}, "prompt 1 of a: 0 characters"),
        ({"templates": {"a": "x"}}, r"Expected `array`, got `str` - at `\$\.templates\[\.\.\.\]`"),
        ({"templates": {"a": [7]}}, "Expected `str | object`, got `int`"),
        ({"templates": {"a": [{"text": "x", "strenght": "light"}]}}, "did you mean strength"),
        ({"templates": ["x"]}, "Expected `object`, got `array`"),
        ({"template": {"a": ["x"]}}, "missing required field `templates`"),
        ({"templates": {"a": ["x"]}, "word": {}}, r"unknown key 'word' \(did you mean words"),
        ({"templates": {"a b": ["x"], "A_B": ["y"]}}, "of 'a b' and 'A_B', which are one"),
        ({"templates": {"a": ["x"]}, "like": {"b": "c"}}, "b is to be like 'c', which has no"),
        ({"templates": {"a": ["x"]}, "words": {"a": "{event}"}}, r"words of a: \{event\} cannot"),
        ({"templates": {"a": ["x"]}, "words": {"a": " "}}, "words of a: 0 characters"),
        ({"templates": {"a": ["x"]}, "frame": "x"}, r"the frame has \{text\} once"),
        ({"templates": {"a": ["x"]}, "frame": "{text}{text}"}, r"the frame has \{text\} once"),
        ({"templates": {"a": ["x"]}, "frame": "{text} {"}, "frame: '{' stands alone"),
        ({"templates": {"a": ["x"]}, "use": "edits"}, "use 'edits'; it is edit or text"),
        ({"templates": {"a": ["x"]}, "control": "null"}, "control 'null'; it is null-edit"),
        ('{"templates": {"a": ["\\ud800"]}}', r"holds \\ud800"),
        ({"templates": {"*": ["x"] * 10_001}}, "10,001 prompts; it must have"),
    ],
)  # fmt: skip
def test_a_faulty_json_file_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(XprobeError, match=says) as error:
        read_prompts(file_of(tmp_path, content))
    assert "my.json" in str(error.value)


@pytest.mark.parametrize("content", ["", "\n \n", "# only\n# comments"])
def test_a_text_file_without_prompts_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(XprobeError, match=r"a\.txt: 0 prompts; it must have 1 to 10,000"):
        read_prompts(file_of(tmp_path, content, "a.txt"))


def test_a_long_list_is_refused_before_it_is_read_through(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match="100,000 prompts; it must have"):
        read_prompts(file_of(tmp_path, "{\n" * 100_000, "a.txt"))
    with pytest.raises(XprobeError, match="larger than 4 MiB"):
        read_prompts(file_of(tmp_path, "x" * (4 * 2**20 + 1), "a.txt"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_usual_encodings_are_read(tmp_path: Path, encoding: str, name: str) -> None:
    text = "被淹没" if name == "a.txt" else json.dumps(for_all("被淹没"), ensure_ascii=False)
    (tmp_path / name).write_bytes(text.encode(encoding))
    (template,) = read_prompts(str(tmp_path / name)).of_class("x")
    assert template.text == "被淹没"


@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_another_encoding_is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("被淹没".encode("gbk"))
    with pytest.raises(XprobeError, match=r"line 1: byte 0x.* save the file as UTF-8"):
        read_prompts(str(tmp_path / name))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(XprobeError, match="not a regular file, but a named pipe"):
        read_prompts(str(tmp_path / "a.txt"))
