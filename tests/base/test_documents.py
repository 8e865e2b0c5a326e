from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from xprobe.base import documents
from xprobe.base.documents import Document
from xprobe.base.errors import XprobeError


class Row(Document, frozen=True, kw_only=True):
    """A row that is
    short.

    Attributes:
        class_: one of
            two.
    """

    class_: str = msgspec.field(name="class")
    value: float | None = None


class Table(Document, frozen=True, kw_only=True):
    version: int
    rows: tuple[Row, ...] = ()
    by_name: dict[str, Row] = msgspec.field(default_factory=dict)


TABLE = Table(
    version=1, rows=(Row(class_="a", value=0.5), Row(class_="b")), by_name={"c": Row(class_="c")}
)
JSON = {
    "version": 1,
    "rows": [{"class": "a", "value": 0.5}, {"class": "b", "value": None}],
    "by_name": {"c": {"class": "c", "value": None}},
}


def test_a_document_is_the_json_of_its_fields_and_back(tmp_path: Path) -> None:
    documents.write(tmp_path / "new" / "table.json", TABLE)
    assert json.loads((tmp_path / "new" / "table.json").read_text()) == JSON
    assert documents.read(Table, tmp_path / "new" / "table.json", "", 1) == TABLE


def test_any_text_is_kept_and_none_of_it_is_obeyed_by_a_terminal(tmp_path: Path) -> None:
    """Also the name of a file that is no UTF-8, of which Python makes halves of characters."""
    texts = ("caf\udce9.png", "\x1b[31m\x9b", "\u202egnp", "日本", "\U000e0041")
    table = Table(version=1, rows=tuple(Row(class_=text) for text in texts))
    documents.write(tmp_path / "table.json", table)
    assert documents.read(Table, tmp_path / "table.json", "", 1) == table
    text = (tmp_path / "table.json").read_text(encoding="utf-8")
    assert "日本" in text
    assert not re.search("[\x1b\x9b\u202e]", text)


def test_fields_of_a_newer_xprobe_are_kept_however_deep() -> None:
    raw: dict[str, Any] = json.loads(json.dumps(JSON)) | {"colour": "red"}
    raw["rows"][1]["weight"] = {"kg": [1, 2]}
    raw["by_name"]["c"]["weight"] = 3
    value = documents.from_json(Table, raw)
    assert value.rows[0] == TABLE.rows[0]
    assert documents.to_json(value) == raw
    changed = msgspec.structs.replace(value, rows=value.rows[1:])
    assert documents.to_json(changed) == raw | {"rows": raw["rows"][1:]}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"version": 1, "rows": [{"class": "a"}, {"class": 3}]}', r"\$\.rows\[1\]\.class"),
        ('{"version": 1, "rows": [{"value": 1}]}', r"\$\.rows\[0\]"),
        ('{"version": 1, "rows": [{"class": "a", "value": NaN}]}', "NaN is no number"),
        (
            '{"version": 1, "rows": [{"class": "a", "value": 1e999}]}',
            "Infinity is no number",
        ),
        ('{"version": 1, "rows"', "line 1 column"),
        ("[]", "Expected `object`"),
        ("[" * 100_000, "recursion"),
        ("", "line 1 column 1"),
    ],
)
def test_damage_is_one_line_with_the_file_the_place_and_the_remedy(
    tmp_path: Path, text: str, place: str
) -> None:
    file = tmp_path / "table.json"
    file.write_text(text)
    with pytest.raises(
        XprobeError, match=rf"table\.json: damaged \(.*{place}.*buy a new one$"
    ) as e:
        documents.read(Table, file, "buy a new one", 1)
    assert "\n" not in str(e.value)


def test_a_newer_version_says_so_before_anything_else(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text('{"version": 2, "rows": "of another form"}')
    with pytest.raises(XprobeError, match="newer xprobe; upgrade"):
        documents.read(Table, file, "", 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        documents.write(
            tmp_path / "table.json", Table(version=1, rows=(Row(class_="a", value=value),))
        )
    assert not list(tmp_path.iterdir())


def test_a_document_is_made_from_a_value_with_the_same_attributes() -> None:
    values = SimpleNamespace(class_="a", value=0.5, other=3)
    assert documents.from_value(Row, values) == TABLE.rows[0]
    with pytest.raises(msgspec.ValidationError, match="value"):
        documents.from_value(Row, SimpleNamespace(class_="a", value="b"))


def test_descriptions_are_those_of_the_docstrings() -> None:
    definition = documents.schema(Table)["$defs"]["Row"]
    assert definition["description"] == "A row that is short."
    assert definition["properties"]["class"] == {"description": "one of two.", "type": "string"}


def test_the_schema_takes_the_document_and_what_a_newer_one_adds() -> None:
    validator = Draft202012Validator(documents.schema(Table))
    validator.validate(JSON | {"colour": "red"})
    assert "*" not in json.dumps(documents.schema(Table))
    assert not validator.is_valid(JSON | {"rows": [{"value": 1}]})
