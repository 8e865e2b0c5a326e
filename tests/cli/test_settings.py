"""The settings file: what it may say, what is refused, and who wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from makers import Ran

from xprobe.cli.app import COMMANDS, app
from xprobe.encoders.presets import DEFAULT_ENCODER

Xprobe = Callable[..., Ran]

STUDY = """
[embed]
encoder = ["pixels"]

[sweep]
ratios = [1, 2]
repeats = 1
c-grid = "1,100"
workers = 1
"""


def error_of(ran: Ran) -> str:
    assert (ran.code, ran.out) == (1, ""), ran.err
    (line,) = ran.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def planned(make_data: Callable[..., Path], xprobe: Xprobe) -> Callable[..., Ran]:
    """Run ``xprobe plan`` beside an ``xprobe.toml`` of this text."""
    make_data(real=10, synthetic=0)

    def run(text: str, *arguments: str) -> Ran:
        Path("xprobe.toml").write_text(text)
        return xprobe("plan", *arguments)

    return run


def comparisons(ran: Ran) -> int:
    return int(ran.json["plan"][0]["comparisons"])


def test_a_study_keeps_which_option_came_from_where(
    make_data: Callable[..., Path], xprobe: Xprobe
) -> None:
    make_data(real=5, synthetic=10)
    Path("xprobe.toml").write_text(STUDY)
    assert xprobe("embed", "--json").json["encoders"][0]["name"] == "pixels"
    assert xprobe("sweep", "--ratios", "1", "--heads", "ridge").code == 0
    (file,) = Path("results/studies").glob("*.json")
    study = json.loads(file.read_text())
    assert study["option_sources"] == {
        "ratios": "command line",
        "heads": "command line",
        "repeats": "xprobe.toml",
        "c_grid": "xprobe.toml",
        "workers": "xprobe.toml",
    }
    assert (study["config"]["ratios"], study["config"]["repeats"]) == ([1], 1)
    Path("xprobe.toml").unlink()
    same = ("--ratios", "1", "--heads", "ridge", "--repeats", "1", "--c-grid", "1,100")
    assert xprobe("sweep", *same).code == 0
    assert list(Path("results/studies").glob("*.json")) == [file]  # sources are part of no key
    assert set(json.loads(file.read_text())["option_sources"].values()) == {"command line"}


@pytest.mark.parametrize(
    "line", ["ratios = [1, 2]", 'ratios = "1,2"', 'ratios = ["1", 2.0]', '"ratios" = [1,2]']
)
def test_a_list_is_written_as_a_list_or_as_text(line: str, planned: Callable[..., Ran]) -> None:
    assert comparisons(planned(f"[plan]\n{line}", "--json")) == 2


def test_the_command_line_wins_and_arguments_count_too(planned: Callable[..., Ran]) -> None:
    text = '[plan]\nratios = 3\njson = true\ndata = "elsewhere"'
    assert "elsewhere: no such folder" in planned(text).err
    assert comparisons(planned(text, "data", "--ratios", "1,2,4")) == 3


def test_booleans_and_both_spellings_count(planned: Callable[..., Ran]) -> None:
    for name in ("leave-one-group-out", "leave_one_group_out"):
        text = f"[plan]\n{name} = true\nfolds = 3"
        assert "choose one of --folds, --holdout" in error_of(planned(text))
        assert planned(text, "--no-leave-one-group-out").code == 0


def test_a_file_that_is_named_takes_the_place_of_that_of_the_folder(
    planned: Callable[..., Ran], xprobe: Xprobe
) -> None:
    Path("study.toml").write_text("[plan]\nratios = [1]")
    assert comparisons(planned("[plan]\nratios = [1, 2, 3]", "--json")) == 3
    assert comparisons(xprobe("plan", "--config", "study.toml", "--json")) == 1
    assert "missing.toml: there is no such file" in error_of(
        xprobe("plan", "--config", "missing.toml")
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[swep]\nratios = 1", "there is no command for [swep] (did you mean sweep?)"),
        ("[store.inf]", "there is no command for [store.inf] (did you mean info?)"),
        ("[sweep]\nratio = 1", "[sweep] has no option ratio (did you mean ratios?)"),
        ("[report]\nconfig = 'x'", "[report] has no option config"),
        ("[plan]\nno-leave-one-group-out = true", "has no option no-leave-one-group-out"),
        ("ratios = [1]", "ratios stands outside of a table"),
        ("[plan]\nreal-curve = [1]\n", "[plan] has no option real-curve"),
        ("[sweep]\nreal-fraction = 1\nreal_fraction = 1", "is there twice, with - and with _"),
        ("[plan]\nrepeats = 'ten'", "[plan] repeats takes a whole number, not 'ten'"),
        ("[plan]\nrepeats = 2.5", "takes a whole number, not 2.5"),
        ("[plan]\nrepeats = true", "takes a whole number, not True"),
        ("[sweep]\nlr = '1e-3'", "[sweep] lr takes a number, not '1e-3'"),
        ("[sweep]\nbalanced = 1", "[sweep] balanced takes true or false, not 1"),
        ("[report]\nout = 3", "[report] out takes a path as text, not 3"),
        ("[report]\ncost-real = -1", "[report] cost-real must be 0 or more, not -1"),
        ("[sweep]\nheads = [true]", "takes text, a number or a list of them, not [True]"),
        ("[embed]\nencoder = {a = 1}", "[embed] encoder takes text, a number or a list"),
        ("[plan]\nratios = 'one'", "xprobe.toml: --ratios takes numbers like 1,2,3,4, not 'one'"),
        ("[plan]\nrepeats = 0", "xprobe.toml: --repeats must be 1 or more"),
        ("[plan\n", "xprobe.toml: "),
    ],
)
def test_what_cannot_be_is_one_line_with_the_file(
    text: str, said: str, planned: Callable[..., Ran]
) -> None:
    line = error_of(planned(text))
    assert line.startswith("error: xprobe.toml: ")
    assert said in line


@pytest.mark.parametrize("value", ['"own:Encoder"', '["hog", "own:Encoder"]', '"hog, own:Encoder"'])
@pytest.mark.parametrize("table", ["embed", "sweep", "encoders.fetch"])
def test_a_file_that_lies_in_the_folder_runs_no_code_of_it(
    table: str, value: str, make_data: Callable[..., Path], xprobe: Xprobe
) -> None:
    make_data()
    key = "names" if table == "encoders.fetch" else "encoder"
    Path("own.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    Path("xprobe.toml").write_text(f"[{table}]\n{key} = {value}")
    for command in (("embed",), ("scan",), ("encoders", "fetch", "hog")):
        said = error_of(xprobe(*command))
        assert "own:Encoder would run code of this folder; name it on the command line" in said
        assert "--config xprobe.toml" in said
    assert not Path("ran").exists()


def test_a_file_that_is_named_may_name_own_code(
    make_data: Callable[..., Path], xprobe: Xprobe
) -> None:
    make_data()
    Path("named_in_a_file.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    Path("xprobe.toml").write_text("[embed]\nencoder = 'named_in_a_file:Encoder'")
    said = error_of(xprobe("embed", "--config", "xprobe.toml"))
    assert "has no attribute 'Encoder'" in said  # so the module was run
    assert Path("ran").exists()


def test_long_names_of_encoders_are_no_code(make_data: Callable[..., Path], xprobe: Xprobe) -> None:
    make_data()
    Path("xprobe.toml").write_text('[embed]\nencoder = "timm:test_vit.r160_in1k"\ndevice="cuda:1"')
    assert xprobe("scan").code == 0


def test_an_empty_list_is_the_default(
    make_data: Callable[..., Path], xprobe: Xprobe, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data()
    Path("xprobe.toml").write_text("[embed]\nencoder = []")
    names: list[Any] = []
    monkeypatch.setattr(
        "xprobe.features.embed.embed_all", lambda *_, **given: names.append(given["names"]) or []
    )
    xprobe("embed")
    assert names == [(DEFAULT_ENCODER,)]


def test_a_broken_file_does_not_hide_the_help(xprobe: Xprobe) -> None:
    Path("xprobe.toml").write_text("[")
    for arguments in (("-h",), ("sweep", "-h"), ("--version",)):
        assert xprobe(*arguments).code == 0


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return all commands, those of groups included, with their paths."""
    everything = [(path, group)]
    for name, command in getattr(group, "commands", {}).items():
        everything += commands(command, (*path, name))
    return everything


EVERY = commands(typer.main.get_command(app))


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) for path, _ in EVERY])
def test_every_help_fits_80_columns_and_ends_in_an_example_that_parses(
    path: tuple[str, ...], command: Any, xprobe: Xprobe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = xprobe(*path, "-h")
    assert ran.code == 0
    assert xprobe(*path, "--help").out == ran.out
    lines = ran.out.rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-2] == "Example:"
    assert not any(line.endswith("...") for line in lines if not line.startswith("Usage"))
    for example in lines[-1].strip().split(" && "):
        name, *words = example.split()
        assert name == "xprobe"
        assert xprobe(*words[:1], *words[1:], "-h").code == 0  # all of its options are known
    assert {"-h, --help"} <= {line.strip()[:10] for line in lines}


def test_the_help_of_sweep_has_a_panel_for_each_thing(xprobe: Xprobe) -> None:
    lines = xprobe("sweep", "-h").out.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "What is compared:", "Protocol:", "Heads:", "Fine-tunes:", "Alternatives:", "Execution:",
        "Input and output:", "Example:",
    ]  # fmt: skip


def test_rows_of_commands_lead_to_them() -> None:
    group: Any = typer.main.get_command(app)
    assert list(group.commands) == [row.name for row in COMMANDS]
    assert all(group.commands[row.name].help == row.help for row in COMMANDS)
    assert group.commands.get("nothing") is None
