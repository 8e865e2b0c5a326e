"""Heads of README.md: configurations, class names, licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.images.sources.huggingface.card import Card, Configuration, read_card, read_info

HEAD = """---
license: cc-by-4.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: [data/test-*, more/*]
- config_name: other
  data_dir: other
- config_name: plain
  data_files: "*.parquet"
- config_name: nothing
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '1': dog
          '0': cat
---
# A data set
"""


def card_of(folder: Path, text: str) -> Card:
    (folder / "README.md").write_text(text, encoding="utf-8")
    return read_card(folder)


def test_the_head_of_a_card_is_read(tmp_path: Path) -> None:
    card = card_of(tmp_path, HEAD)
    train, test = ("train", "data/train-*"), ("test", "data/test-*")
    assert card.configurations == (
        Configuration("default", (train, test, ("test", "more/*"))),
        Configuration("other", (("", "other/**"),)),
        Configuration("plain", (("", "*.parquet"),)),
    )
    assert card.names_in("default") == {"label": ("cat", "dog")}
    assert card.licence == "cc-by-4.0"
    default = card.configurations[0]
    assert default.is_whole(["data/train-0", "data/test-0", "more/x"])
    assert not default.is_whole(["data/train-0", "data/test-0"])


def test_class_names_are_those_of_the_configuration(tmp_path: Path) -> None:
    names = "\n      class_label: {names: {'0': %s}}"
    parts = "".join(
        f"- config_name: {name}\n  features:\n  - name: label\n    dtype:{names % f'{name}0'}\n"
        for name in "ab"
    )
    card = card_of(tmp_path, f"---\nlicense: [mit, other]\ndataset_info:\n{parts}---\n")
    assert card.names_in("b") == {"label": ("b0",)} and card.names_in("c") == {}
    assert card.licence == "mit, other"
    named = card_of(tmp_path, "---\nlicense: other\nlicense_name: my-terms\n---")
    assert named.licence == "my-terms"


@pytest.mark.parametrize(
    "text", ["", "# no head", "---\n---\n", "---\n- a list\n---\n", "---\nconfigs: 3\n---\n",
             "---\ndataset_info: {features: [1, {name: a, dtype: {class_label: 3}}]}\n---\n"]
)  # fmt: skip
def test_a_card_may_say_nothing(text: str, tmp_path: Path) -> None:
    card = card_of(tmp_path, text)
    assert (card.configurations, card.names_in("x"), card.licence) == ((), {}, "")


def test_a_head_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    for text in ("---\na: [1\n---\n", "---\na: !!python/object:os.system {}\n---\n"):
        with pytest.raises(XprobeError, match=r"README\.md: its head cannot be read"):
            card_of(tmp_path, text)


def test_aliases_may_repeat_what_was_said(tmp_path: Path) -> None:
    files = "[&one {split: train, path: a-*}, *one]"
    card = card_of(tmp_path, f"---\nconfigs:\n- data_files: {files}\n---\n")
    assert card.configurations[0].files == (("train", "a-*"), ("train", "a-*"))


@pytest.mark.parametrize("key", ["license", "x", "<<"])
def test_aliases_that_fill_the_memory_are_refused(key: str, tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"]
    for i in range(12):
        lines.append(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]")
    with pytest.raises(XprobeError, match="more than a million values, its aliases written out"):
        card_of(tmp_path, "\n".join(["---", *lines, f"{key}: *a12", "---", ""]))
    with pytest.raises(XprobeError, match=r"the alias \*a names nothing before it, or itself"):
        card_of(tmp_path, "---\nlicense: &a [*a]\n---\n")


def test_class_names_of_what_was_saved_stand_in_its_description(tmp_path: Path) -> None:
    assert read_info(tmp_path) == {}
    (tmp_path / "dataset_info.json").write_text(
        '{"features": {"a": {"names": ["x", "y"], "_type": "ClassLabel"}, "b": {"dtype": "z"}}}'
    )
    assert read_info(tmp_path) == {"a": ("x", "y")}


def test_names_of_classes_are_as_they_are_written(tmp_path: Path) -> None:
    names = "[no, On, 010, 1_0, 1e3, 2026-01-02, '7', 3]"
    head = f"features: [{{name: label, dtype: {{class_label: {{names: {names}}}}}}}]"
    (tmp_path / "README.md").write_text(f"---\nlicense: null\ndataset_info: {{{head}}}\n---\n")
    card = read_card(tmp_path)
    written = ("no", "On", "010", "1_0", "1e3", "2026-01-02", "7", "3")
    assert card.names_in("") == {"label": written} and card.licence == ""
