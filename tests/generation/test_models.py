"""Models that make images: prices, withdrawals and facts, of the packed table and of users' own."""

from __future__ import annotations

import json
import math
import os
import re
from datetime import date
from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.base.packed import packed_table
from xprobe.generation.base import Answer, Parameter, Request
from xprobe.generation.models import COLUMNS, Model, Models, model_of, read_models
from xprobe.generation.registry import PROVIDERS

FLARE = ("openai", "gpt-image-2.6-flare")
MEDIUM = {"quality": "medium", "size": "1024x1024"}
TODAY = date(2026, 11, 28)


@pytest.fixture(scope="module")
def models() -> Models:
    return read_models()


def file_of(folder: Path, text: str, name: str = "my.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


def edit(**parameters: Parameter) -> Request:
    return Request("k", FLARE[1], "a" * 400, parameters, 0, b"1")


def test_every_row_of_the_table_has_a_source_and_a_day(models: Models) -> None:
    rows = packed_table("image_models")
    assert tuple(rows[0]) == COLUMNS
    assert len({(row["provider"], row["model"], row["when"]) for row in rows}) == len(rows)
    assert {row["provider"] for row in rows} <= set(PROVIDERS.rows)
    for model in models.values():
        marks = set(filter(None, model.watermark.split("; ")))
        assert marks <= {"SynthID", "C2PA", "visible, unless watermark=False"}
        assert not model.terms or model.terms.startswith("https://")
        for price in model.prices:
            assert price.source and "https://" in price.source
            assert price.seen is not None and price.seen >= date(2026, 6, 1)
            assert price.per_image is None or 0.001 < price.per_image < 1
            assert all(0.1 <= usd <= 200 for usd in price.per_m_token.values())


def test_what_a_model_is_said_once(models: Models) -> None:
    named: set[tuple[str, str]] = set()
    for row in packed_table("image_models"):
        key = row["provider"], row["model"]
        facts = "".join(row[name] for name in ("watermark", "licence", "terms", "withdrawn"))
        assert not (key in named and facts), key
        named.add(key)
    assert named == set(models)


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        FLARE,
        ("openai", "gpt-image-2.6-sunburst"),
        ("openai", "gpt-image-1"),
        ("openai", "seedream-5-5-261028"),
        ("openai", "seededit-3-0-i2i-250628"),
        ("gemini", "gemini-nano-banana-2.1"),
        ("gemini", "gemini-3-pro-image"),
        ("gemini", "gemini-2.5-flash-image"),
        ("gemini", "gemini-3.1-flash-image"),
        ("openrouter", "google/gemini-nano-banana-2.1"),
        ("openrouter", "bytedance-seed/seedream-5-5"),
    ],
)
def test_the_models_of_the_study_and_those_that_follow_them_are_known(
    models: Models, provider: str, name: str
) -> None:
    model = models[provider, name]
    assert model.says_cost == (provider == "openrouter")
    assert model_of(models, provider, name) is model


def test_an_image_of_all_tokens_costs_what_an_image_costs(models: Models) -> None:
    # 1,120 tokens are an image of 1K, as Google says.
    for name, usd in (("gemini-nano-banana-2.1", 0.0336), ("gemini-3-pro-image", 0.134)):
        price = models["gemini", name].price({"image_size": "1K"})
        assert price.per_image == usd
        assert price.usd_of({"image_out": 1120}) == pytest.approx(usd, abs=5e-4)
    flex = models["gemini", "gemini-3-pro-image"].price({"service_tier": "flex"})
    assert flex.usd_of({"image_out": 1120}) == pytest.approx(0.067, abs=5e-4)


def test_the_expected_cost_is_the_image_the_words_and_the_source(models: Models) -> None:
    model = models[FLARE]
    words, source = 100 * 5 / 1e6, 1536 * 8 / 1e6
    assert model.expected_usd("a" * 400, MEDIUM, False) == pytest.approx(0.053 + words)
    assert model.expected_usd("a" * 400, MEDIUM, True) == pytest.approx(0.053 + words + source)
    assert model.expected_usd("洪" * 400, MEDIUM, False) == pytest.approx(0.053 + 3 * words)
    assert model.expected_usd("\ud800", MEDIUM, False) is not None
    seedream = models["openai", "seedream-5-5-261028"]
    assert seedream.expected_usd("x", {"size": "2K"}, True) == pytest.approx(0.035 + 0.008)


@pytest.mark.parametrize(
    ("name", "parameters", "usd"),
    [
        (FLARE, MEDIUM | {"quality": "LOW", "background": "opaque"}, 0.006),
        (FLARE, MEDIUM | {"quality": "auto"}, None),
        (FLARE, MEDIUM | {"size": "1536x1024"}, None),
        (FLARE, {}, None),
        (("gemini", "gemini-3-pro-image"), {}, 0.134),
        (("gemini", "gemini-3-pro-image"), {"image_size": "4K", "temperature": 1.0}, 0.24),
        (("gemini", "gemini-3-pro-image"), {"service_tier": "flex", "image_size": "2k"}, 0.067),
        (("gemini", "gemini-3-pro-image"), {"service_tier": "priority"}, None),
        (("gemini", "gemini-nano-banana-2.1"), {"service_tier": "flex"}, None),
        (("openrouter", "bytedance-seed/seedream-5-5"), {}, None),
        (("openai", "gpt-image-1"), MEDIUM, None),
    ],
)
def test_parameters_that_the_table_does_not_price_have_no_price(
    models: Models, name: tuple[str, str], parameters: dict[str, Parameter], usd: float | None
) -> None:
    assert models[name].price(parameters).per_image == usd
    assert (models[name].expected_usd("", parameters, False) is None) == (usd is None)


def test_a_dry_run_of_the_study_can_be_computed(models: Models) -> None:
    model = models[FLARE]
    usd = model.expected_usd("x" * 400, MEDIUM, True)
    assert usd is not None
    assert 2400 * usd == pytest.approx(157.89, abs=0.01)


def test_billed_tokens_are_paid_at_their_prices(models: Models) -> None:
    model = models[FLARE]
    usage = {"text_in": 1000, "image_in": 2000, "image_out": 3000, "text_out": 0}
    assert model.usd_of(usage, MEDIUM) == pytest.approx(0.005 + 0.016 + 0.09)
    assert model.usd_of({}, MEDIUM) is None
    assert model.usd_of({"image_out": 0}, MEDIUM) is None
    assert model.usd_of(usage | {"text_out": 1}, MEDIUM) is None
    assert model.usd_of(usage | {"audio": 1}, MEDIUM) is None
    assert model.usd_of(usage, {"quality": "auto"}) is None


def test_what_was_paid_is_the_answer_the_tokens_or_what_was_expected(models: Models) -> None:
    model = models[FLARE]
    request = edit(**MEDIUM)
    assert model.paid_usd(request, Answer(b"", cost=0.0, usage={"image_out": 1000})) == 0
    assert model.paid_usd(request, Answer(b"", usage={"image_out": 1000})) == pytest.approx(0.03)
    expected = model.expected_usd(request.prompt, MEDIUM, True)
    assert model.paid_usd(request, Answer(b"")) == expected
    twice = model.paid_usd(request, Answer(b"", n_images=2))
    assert expected is not None
    assert twice == pytest.approx(expected + 0.053)
    assert model.paid_usd(edit(), Answer(b"")) is None


def test_a_price_of_the_user_holds_for_all_parameters() -> None:
    model = Model("openai", "new").priced(0.02)
    assert model.expected_usd("x" * 4000, {"quality": "auto"}, True) == 0.02
    assert model.usd_of({"image_out": 1000}, {}) is None


def test_of_a_model_that_the_table_lacks_nothing_is_known(models: Models) -> None:
    model = model_of(models, "openrouter", "new/model")
    assert model == Model("openrouter", "new/model")
    assert model.expected_usd("x", {}, True) is None
    assert (model.watermark, model.terms, model.withdrawn_words(TODAY)) == ("", "", "")


@pytest.mark.parametrize(
    ("name", "today", "words"),
    [
        ("gpt-image-1", TODAY, "gpt-image-1 of openai was withdrawn on 2026-10-23"),
        ("gpt-image-1", date(2026, 10, 23), "gpt-image-1 of openai was withdrawn on 2026-10-23"),
        ("gpt-image-1", date(2026, 10, 22), "will be withdrawn on 2026-10-23, in 1 day"),
        ("gpt-image-1", date(2026, 9, 8), "will be withdrawn on 2026-10-23, in 45 days"),
        ("gpt-image-1", date(2026, 9, 7), ""),
        ("seededit-3-0-i2i-250628", date(2020, 1, 1), "was withdrawn before 2026-11-26"),
        ("gpt-image-2.6-flare", TODAY, ""),
    ],
)
def test_withdrawals_are_warned_of_from_some_weeks_ahead(
    models: Models, name: str, today: date, words: str
) -> None:
    said = models["openai", name].withdrawn_words(today)
    assert said.endswith(words)
    assert bool(said) == bool(words)


def test_a_day_that_is_only_the_earliest_is_called_so(models: Models) -> None:
    model = models["gemini", "gemini-2.5-flash-image"]
    assert model.withdrawn_words(TODAY).endswith("may be withdrawn from 2026-10-02 on")
    assert model.withdrawn_words(date(2026, 9, 30)).endswith("from 2026-10-02 on, in 2 days")
    assert model.withdrawn_words(date(2026, 1, 1)) == ""


def test_a_file_of_the_user_replaces_prices_and_keeps_other_facts(tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        "\ufeffmodel;provider;usd_per_image;licence;withdrawn\r\n"
        "gpt-image-2.6-flare;openai;0.01;mine;2027-01-02\r\nnew;mine;;;\r\n",
    )
    mine, table = read_models(file), read_models()
    assert set(mine) == set(table) | {("mine", "new")}
    banana = ("openrouter", "google/gemini-nano-banana-2.1")
    other = read_models(file_of(tmp_path, f"provider,model\n{','.join(banana)}\n"))[banana]
    assert other.says_cost
    flare = mine[FLARE]
    assert flare.expected_usd("x" * 400, {"quality": "auto"}, True) == 0.01
    assert (flare.watermark, flare.terms) == (table[FLARE].watermark, table[FLARE].terms)
    assert flare.licence == "mine"
    assert flare.withdrawn is not None
    assert flare.withdrawn.day == date(2027, 1, 2)
    assert mine["mine", "new"].expected_usd("x", {}, False) is None
    same = {key: model for key, model in mine.items() if key not in (FLARE, ("mine", "new"))}
    assert same == {key: model for key, model in table.items() if key != FLARE}


def test_a_file_may_be_json_with_numbers(tmp_path: Path) -> None:
    row = {"provider": "p", "model": "m", "usd_per_image": 0.05, "usd_per_m_text_in": 5e-05,
           "tokens_per_input_image": 10, "when": None}  # fmt: skip
    price = read_models(file_of(tmp_path, json.dumps(row), "my.jsonl"))["p", "m"].price({})
    assert (price.per_image, price.per_m_token) == (0.05, {"text_in": 5e-05})
    assert price.input_image_tokens == 10


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"usd_per_image": "$0.05"}, "row 2, column usd_per_image: '$0.05' is no number; write"),
        ({"usd_per_image": "0,05"}, "column usd_per_image: '0,05' is no number"),
        ({"usd_per_image": "-1"}, "is no number"),
        ({"usd_per_image": "nan"}, "is no number"),
        ({"usd_per_image": "inf"}, "is no number"),
        ({"usd_per_image": "1e400"}, "is no number"),
        ({"usd_per_image": "1_0"}, "is no number"),
        ({"usd_per_image": "０.０５"}, "is no number"),
        ({"usd_per_m_text_in": "five"}, "column usd_per_m_text_in: 'five' is no number"),
        ({"tokens_per_input_image": "1.5"}, "tokens_per_input_image: 1.5 is no whole number"),
        ({"seen": "28.11.2026"}, "column seen: '28.11.2026' is no day; write it as 2026-11-28"),
        ({"seen": "2026-02-30"}, "column seen: '2026-02-30' is no day"),
        ({"seen": "before 2026-02-03"}, "is no day"),
        ({"withdrawn": "2026"}, "write it as 2026-11-28 or 'before 2026-11-28' or 'from 2026"),
        ({"says_cost": "maybe"}, "column says_cost: 'maybe'; it is yes, no or empty"),
        (
            {"when": "quality"},
            "column when: 'quality'; write each parameter once, as in quality=lo",
        ),
        ({"when": "=low"}, "column when: '=low'"),
        ({"when": "a=1 a=2"}, "column when: 'a=2'"),
        ({"when": "a=2 b=1"}, "column when: is that of an earlier row of the model"),
        ({"watermark": "none"}, "column watermark: differs from that of the model's first row"),
        ({"provider": " "}, "column provider: is empty"),
        ({"model": ""}, "column model: is empty"),
        ({"note": "a\x1bb"}, "column note: 'a.*x1bb' has characters that nobody sees"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(
    tmp_path: Path, cells: dict[str, str], says: str
) -> None:
    first = {"provider": "p", "model": "m", "watermark": "visible", "when": "b=1 a=2"}
    second = {"provider": "p", "model": "m", "when": "c=1"} | cells
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in (first, second))
    pattern = says if ".*" in says else re.escape(says)
    with pytest.raises(XprobeError, match=pattern) as error:
        read_models(file_of(tmp_path, lines, "my.jsonl"))
    assert "my.jsonl, row 2, column " in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the column provider, model is missing"),
        ("provider,model\n", "there are no models in it"),
        ("provider,price\np,1\n", r"unknown column 'price'.*; known: provider, model, when, "),
        ("provider,usd_per_imag\np,1\n", "did you mean usd_per_image"),
        ("provider\np\n", "the column model is missing"),
        ("provider,model,model\np,m,m\n", "the column 'model' is there twice"),
        ("provider,model\np,m,0.05\n", "line 2: 3 cells, but there are 2 columns"),
        ('provider,model\n"p,m\n', "line 2: cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(XprobeError, match=says):
        read_models(file_of(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match=r"none\.csv: no such table of models"):
        read_models(tmp_path / "none.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(XprobeError, match="a named pipe"):
        read_models(tmp_path / "pipe.csv")
    with pytest.raises(XprobeError, match="line 1: byte 0xb1"):
        (tmp_path / "gbk.csv").write_bytes("provider,model,备注\n".encode("gbk"))
        read_models(tmp_path / "gbk.csv")


def test_expected_costs_are_finite_and_grow_with_the_prompt(models: Models) -> None:
    for model in models.values():
        for price in model.prices:
            short, long = (price.expected_usd("x" * n, True) for n in (1, 4000))
            assert (short is None) == (long is None) == (price.per_image is None)
            if short is not None and long is not None:
                assert 0 < short <= long
                assert math.isfinite(long)
