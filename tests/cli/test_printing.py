"""What is printed reaches a stream of any encoding, and no terminal obeys any of it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import MakeData, Ran
from rich.cells import cell_len
from rich.console import Console

from xprobe.base.documents import Document
from xprobe.base.visible import visible
from xprobe.cli import app, printing, progress
from xprobe.cli.printing import out, prepare_streams, print_json, print_table
from xprobe.cli.tables import of_rows

NASTY = "a\x1b]0;owned\x07\x1b[31m"

MARKUP = "[red]:dog:[bold]"

SAID = "−0.4 [−1.2, +0.3] · 2 × 3 … ±2.8 ≥ 12 “no” 帽子 é"

IN_ASCII = '-0.4 [-1.2, +0.3] | 2 * 3 ... +/- 2.8 >= 12 "no" \\u5e3d\\u5b50 \\xe9'


class Row(Document, frozen=True, kw_only=True):
    name: str


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], io.BytesIO]:
    """Give stdout an encoding, and return what is written there."""

    def stream_of(encoding: str) -> io.BytesIO:
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        prepare_streams()
        return written

    return stream_of


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "gbk", "latin-1", "ascii", "utf-16"])
def test_lines_tables_and_json_can_be_read_in_every_encoding(
    encoding: str, printed: Callable[[str], io.BytesIO]
) -> None:
    written = printed(encoding)
    out.print(SAID)
    print_table(of_rows("t · t", ["name"], [Row(name=SAID)]))
    print_json(Row(name=SAID + NASTY))
    line, *table, document = written.getvalue().decode(encoding).splitlines()
    assert json.loads(document) == {"name": SAID + NASTY}
    assert "\x1b" not in document
    assert any(line in cells for cells in table)
    assert "?" not in line
    if encoding == "ascii":
        assert line == IN_ASCII
        assert any(re.fullmatch("-+", cells) for cells in table)
    elif encoding.startswith("utf"):
        assert line == SAID
        assert "帽子" in document
    else:
        assert line.startswith("-0.4 [-1.2, +0.3] · 2 × 3 ")


def test_a_closed_stdout_is_no_error() -> None:
    code = "import os, sys; os.close(1); os.execv(sys.executable, ['python', *sys.argv[1:]])"
    for arguments in (["encoders"], ["encoders", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "-m", "xprobe", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_who_has_gone_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "xprobe", "encoders"],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_said_once() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xprobe", "encoders"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch("error: the disk is full; .*\n", done.stderr)


def test_names_of_files_and_classes_reach_the_terminal_written_out(
    make_data: MakeData, xprobe: Callable[..., Ran]
) -> None:
    data = make_data(classes=(NASTY, MARKUP))
    (data / "real" / NASTY / "x\x1b[2J\u202e.png").write_bytes(b"no image")
    ran = xprobe("scan")
    assert ran.code == 0
    assert visible(NASTY) in ran.out
    assert MARKUP in ran.out
    assert r"x\x1b[2J\u202e.png (" in ran.err
    assert all(visible(line) == line for line in (ran.out + ran.err).splitlines())
    assert {row["class"] for row in xprobe("scan", "--json").json["counts"]} == {
        NASTY, MARKUP,
    }  # fmt: skip
    xprobe("embed", "--encoder", "pixels")
    failed = Path("features/failed.csv").read_text(encoding="utf-8")
    assert r"x\x1b[2J\u202e.png" in failed
    assert all(visible(line) == line for line in failed.splitlines())


@pytest.mark.parametrize("arguments", [(NASTY,), ("report", NASTY), ("report", "--x" + NASTY)])
def test_wrong_usage_is_said_without_what_a_terminal_obeys(
    arguments: tuple[str, ...], xprobe: Callable[..., Ran]
) -> None:
    ran = xprobe(*arguments)
    assert ran.code == 2
    assert r"\x1b" in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.filterwarnings("always::UserWarning")
def test_errors_and_warnings_of_libraries_are_written_out(
    xprobe: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        warnings.warn(f"a library: {NASTY}", UserWarning, stacklevel=1)
        app.err.print(f"error: {NASTY}\nerror: forged")
        raise ValueError(NASTY)

    monkeypatch.setattr("xprobe.images.read.read", fail)
    with pytest.raises(ValueError, match="owned"):
        xprobe("distance")
    app._show_traceback(ValueError, ValueError(NASTY), None)
    said = capfd.readouterr().err
    assert rf"error: {visible(NASTY)}\nerror: forged" in said
    assert f"UserWarning: a library: {visible(NASTY)}" in said
    assert f"ValueError: {visible(NASTY)}" in said
    assert "\x1b" not in said


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_breaks_warnings_between_words_and_has_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "/a/folder/of/which/the/name/is/longer/than/the/terminal"
    text = f"帽子 and other names of {path} are wider than their letters are many"
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "40")
        printing.forget_warnings()
        printing.warn([text, text])
        printing.warn([text, "another\x1b"])
        *lines, last = stream.getvalue().splitlines()
        assert last == "warning: another\\x1b"
        if stream.isatty():
            assert [cell_len(line) <= 40 or line == f"  {path}" for line in lines] == [True] * 3
            assert lines[:2] == ["warning: 帽子 and other names of", f"  {path}"]
        assert " ".join(line.strip() for line in lines) == f"warning: {text}"


def test_a_command_says_again_what_the_one_before_has_said(
    make_data: MakeData, xprobe: Callable[..., Ran]
) -> None:
    data = make_data()
    first, second = (xprobe("scan", str(data), "--limit", "2").err for _ in range(2))
    assert first == second and first.count("SMOKE TEST") == 1


def test_a_bar_shows_a_title_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=160, color_system=None, emoji=False)
    monkeypatch.setattr(progress, "_console", lambda: console)
    with progress.bar(f"sweep [red]:dog:[bold] {NASTY}", 2) as advance:
        advance(1)
    with progress.busy(f"drawing [red] {NASTY}"):
        pass
    assert rf"sweep [red]:dog:[bold] {visible(NASTY)}" in shown.getvalue()
    assert rf"drawing [red] {visible(NASTY)} …" in shown.getvalue()
    assert "\x1b]0" not in shown.getvalue()


def test_no_spelled_sign_joins_the_word_beside_it() -> None:
    spelled = "".join(printing._SPELLED.values())
    assert spelled.isascii()
    assert not re.search("[A-Za-z0-9?]", spelled)
