"""Fields that are options."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest

from xprobe.base.declared import (
    PANELS,
    PROTOCOL,
    check_least,
    option,
    options,
    parse_counts,
    parse_names,
    parse_numbers,
    parse_shares,
    same,
    split_names,
)  # fmt: skip
from xprobe.base.errors import OptionError, XprobeError
from xprobe.design.config import C_GRID, DENSE_C_GRID, Grid, SweepConfig
from xprobe.engine.execution import Execution
from xprobe.learners.finetune.recipe import Recipe


@dataclass(frozen=True)
class Chosen:
    size: int | None = option(3, "How large.", panel=PROTOCOL, least=2)
    parts: tuple[float, ...] = option((1.0, 2.5), "Which.", parse=parse_numbers)
    both: tuple[str, ...] = option((), "Which.", flag="--part")
    hidden: int = 7


@dataclass(frozen=True)
class Other:
    size: int | None = same(Chosen, "size")


def test_a_field_says_what_a_command_line_needs() -> None:
    declared = {field.name: words for field, words in options(Chosen)}
    assert list(declared) == ["size", "parts", "both"]
    assert (declared["size"].flag, declared["size"].panel) == ("--size", PROTOCOL)
    assert (declared["parts"].shown, declared["parts"].parse) == ("1,2.5", parse_numbers)
    assert (declared["both"].flag, declared["both"].name) == ("--part", "part")
    assert Chosen() == Chosen(3, (1.0, 2.5), (), 7)


def test_an_option_is_declared_again_by_its_name() -> None:
    assert [words for _, words in options(Other)] == [words for _, words in options(Chosen)][:1]
    assert Other().size == 3


def test_numbers_below_the_least_are_refused() -> None:
    check_least(Chosen(size=2))
    check_least(Chosen(size=None))
    with pytest.raises(XprobeError, match=r"^--size must be 2 or more$"):
        check_least(Chosen(size=1))
    with pytest.raises(OptionError):
        check_least(Chosen(size=1), OptionError)
    for none in ("nan", "inf"):  # As limits both would be none.
        with pytest.raises(XprobeError, match=rf"^--size must be a number, not {none}$"):
            check_least(replace(Chosen(), size=float(none)))  # type: ignore[arg-type]


def test_lists_are_read_from_text() -> None:
    assert parse_numbers("1, 2.5") == (1.0, 2.5)
    assert parse_names(" a,, b ") == ("a", "b")
    assert parse_counts("20,40") == (20, 40)
    assert parse_names("") == parse_counts("") == ()
    for parse, text in ((parse_numbers, "one"), (parse_numbers, ""), (parse_counts, "0,2")):
        with pytest.raises(ValueError, match=r"^takes numbers"):
            parse(text)


@pytest.mark.parametrize("kind", [SweepConfig, Recipe, Grid, Execution])
def test_every_field_that_may_be_chosen_has_help_and_panel(kind: type) -> None:
    declared = dict(options(kind))
    assert all(words.help.endswith(".") and words.panel in PANELS for words in declared.values())
    without = {field.name for field in fields(kind)} - {field.name for field in declared}
    assert without <= {"head", "real_fraction", "train_per_class", "recipe"}


def test_what_is_shown_as_default_is_the_default() -> None:
    for field, words in options(SweepConfig):
        if words.parse is not None and words.shown:
            assert words.parse(words.shown) == field.default
    (c_grid,) = [words.parse for field, words in options(SweepConfig) if field.name == "c_grid"]
    assert c_grid is not None
    assert (c_grid("default"), c_grid("dense")) == (C_GRID, DENSE_C_GRID)
    assert (len(C_GRID), C_GRID[0], C_GRID[-1]) == (10, 0.01, 10_000)
    ratios = [b / a for a, b in pairwise(C_GRID)]
    assert ratios == pytest.approx([10 ** (2 / 3)] * 9, rel=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(SweepConfig(), margin=1.0),
        lambda: Grid(real_curve=(20,)),
        lambda: Grid(real_curve=(20, 40), real_fractions=(0.5,)),
        lambda: Execution(workers=0),
        lambda: Execution(memory_gib=-1),
    ],
)
def test_values_that_cannot_be_are_wrong_usage(make: object) -> None:
    with pytest.raises(OptionError):
        make()  # type: ignore[operator]


def test_a_list_of_names_is_split_unless_it_is_a_name() -> None:
    known = {"a", "b", "a,b", "c"}.__contains__
    assert split_names(["a,b", "c, a", "c"], known) == ("a,b", "c", "a")
    assert split_names(["b,c"], known) == ("b", "c")
    assert split_names([], known) == ()


def test_shares_are_above_0_and_at_most_1() -> None:
    assert parse_shares("0.25,1") == (0.25, 1)
    for text in ("50%", "0", "1.5", "", "nan"):
        with pytest.raises(ValueError, match="takes shares above 0 and up to 1"):
            parse_shares(text)
