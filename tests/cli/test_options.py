"""Commands whose options are fields of dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from makers import Ran, error_of
from typer.testing import CliRunner

from xprobe.base.declared import PROTOCOL, check_least, option, parse_numbers
from xprobe.base.errors import OptionError
from xprobe.cli.commands import add
from xprobe.cli.distance import Measured
from xprobe.cli.options import filled_in, option_sources, pick
from xprobe.distance.run import measure_domain


@dataclass(frozen=True)
class Icing:
    colour: str = option("white", "Its colour.")


@dataclass(frozen=True)
class Cake:
    layers: int = option(2, "How many layers.", panel=PROTOCOL, least=1)
    weights: tuple[float, ...] = option((1.0, 2.5), "Of each layer.", parse=parse_numbers)
    fruits: tuple[str, ...] = option(("fig",), "What lies on it.", flag="--fruit")
    baked: bool = option(True, "Bake it.")
    kept: int = 5
    icing: Icing = field(default_factory=Icing)

    def __post_init__(self) -> None:
        check_least(self, OptionError)


@pytest.fixture
def bake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``bake(*arguments)``: what a command was called with, or how it ended."""
    monkeypatch.chdir(tmp_path)
    calls: list[Any] = []

    @filled_in(cake=Cake)
    def command(context: typer.Context, cake: Cake, name: str = "plain") -> None:
        calls.append((cake, name, option_sources(context)))

    def run(*arguments: str) -> Any:
        calls.clear()
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        add(app, command, "bake")
        ran = CliRunner().invoke(app, list(arguments))
        return calls[0] if calls else ran

    return run


def test_without_options_a_command_takes_the_defaults(bake: Callable[..., Any]) -> None:
    assert bake() == (Cake(), "plain", {})


def test_each_field_is_an_option(bake: Callable[..., Any]) -> None:
    cake, name, sources = bake(
        "--layers", "3", "--weights", "4,5", "--fruit", "pear", "--fruit", "plum", "--no-baked",
        "--colour", "pink", "--name", "rich",
    )  # fmt: skip
    assert cake == Cake(3, (4, 5), ("pear", "plum"), False, icing=Icing("pink"))
    assert name == "rich"
    assert set(sources) == {"layers", "weights", "fruit", "baked", "colour", "name"}
    assert set(sources.values()) == {"command line"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--weights", "one"), "--weights takes numbers like 1,2,3,4, not 'one'"),
        (("--layers", "0"), "--layers must be 1 or more"),
        (("--layers", "two"), "--layers"),
        (("--kept", "1"), "No such option"),
    ],
)
def test_what_cannot_be_is_wrong_usage(
    arguments: tuple[str, ...], said: str, bake: Callable[..., Any]
) -> None:
    ran = bake(*arguments)
    assert ran.exit_code == 2
    assert said in " ".join(ran.output.split())


def test_a_command_may_ask_a_part_of_the_fields() -> None:
    @filled_in(cake=pick(Cake, "layers", "baked"))
    def command(cake: Cake) -> None: ...

    assert list(inspect.signature(command).parameters) == ["context", "layers", "baked"]


def test_options_and_the_function_that_takes_them_have_the_same_defaults() -> None:
    taken = inspect.signature(measure_domain).parameters
    declared = {one.name: one.default for one in fields(Measured)}
    assert set(declared) <= set(taken)
    for name, default in declared.items():
        if name != "metrics":  # none means all
            assert taken[name].default == default


@pytest.mark.parametrize(
    "arguments",
    [
        ("scan", "nowhere", "-o", "study.xls"),
        ("import", "xbd", "nowhere", "-o", "study.xls"),
        ("adopt", "nowhere", "--generator", "g", "-o", "study.xls"),
        ("distance", "nowhere", "--drop-leaks", "study.xls"),
    ],
)
def test_a_table_that_cannot_be_written_is_told_before_anything_is_read(
    arguments: tuple[str, ...], xprobe: Callable[..., Ran]
) -> None:
    assert "study.xls: name a table .csv" in error_of(xprobe(*arguments))
