"""Progress on stderr: a bar that fits, a line a minute where there is no terminal, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from makers import MakeData, Ran
from rich.cells import cell_len

from xprobe.cli import progress
from xprobe.cli.printing import notes

LONG = "fine-tune timm:tf_efficientnet_lite0/home/somebody/weights/lite0.safetensors, 50 % of real"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Set the seconds since the beginning of some work."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    yield lambda seconds: now.__setitem__(0, seconds)
    notes.wanted = True


@pytest.mark.parametrize("total", [None, 5, 5000, 12_345_678])
@pytest.mark.parametrize("title", ["embed hog", LONG, "埋め込み" * 20])
def test_count_rate_and_time_have_room_behind_any_title(title: str, total: int | None) -> None:
    words, bar = progress.laid_out(title, total, 80)
    count = 2 * len(str(total or 0)) + 1
    behind = len("12345.6/s 00:00:00")
    assert cell_len(words) + bar + count + behind + 4 <= 80 + 1
    assert bar >= 10
    assert words == title or "…" in words
    if title == LONG:
        assert words.startswith("fine-tune timm:t")
        assert words.endswith("of real")


def test_a_drawn_bar_keeps_count_rate_and_time_at_80_columns() -> None:
    from io import StringIO

    from rich.console import Console

    screen = StringIO()
    console = Console(file=screen, width=80, force_terminal=True, legacy_windows=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "_console", lambda: console)
        with progress.bar(LONG, 12_345) as advance:
            advance(40)
    assert "40/12345" in screen.getvalue()
    assert "-:--:--" in screen.getvalue()
    assert "/s" in screen.getvalue()


def test_work_says_how_far_it_is(clock: Callable[[float], None]) -> None:
    work = progress._Work("embed hog", 5000)
    clock(30)
    assert work.line() == "embed hog: 30 s so far"
    work.advance(1000)
    clock(200)
    assert work.line() == "embed hog: 1,000 of 5,000 (5/s, about 13 min left)"
    unknown = progress._Work("read", None)
    unknown.advance(1)
    clock(600)
    assert unknown.line() == "read: 1 (0.0025/s, 7 min so far)"


@pytest.mark.usefixtures("clock")
def test_long_work_beats_where_stderr_is_no_terminal_and_short_work_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[float] = []
    second = threading.Event()

    def wait(event: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 2:
            second.set()
            threading.Event.wait(event)  # Until the work ends.
        return event.is_set()

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return super().wait() if timeout is None else wait(self, timeout)

    with progress.bar("short", 3) as advance:
        advance(3)
    with progress.busy("short, too"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "Event", Ended)
    with progress.bar("long", None) as advance:
        second.wait(10)
    assert waits == [60, 60]
    assert capsys.readouterr().err == "long: 0 s so far\n"
    assert [thread.name for thread in threading.enumerate() if thread.name == "progress"] == []


def test_a_beat_does_not_keep_python_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress.bar("long", 3):
        (thread,) = [one for one in threading.enumerate() if one.name == "progress"]
        assert thread.daemon


def test_quiet_leaves_out_progress_and_notes_and_keeps_warnings(
    make_data: MakeData, xprobe: Callable[..., Ran]
) -> None:
    data = make_data(real=4, synthetic=0)
    (data / "real/a/x.png").write_bytes(b"no image")
    said = xprobe("scan", "-o", "table.csv")
    assert "wrote table.csv" in said.out
    quiet = xprobe("scan", "-o", "table.csv", "--quiet")
    assert quiet.out == said.out.replace("wrote table.csv\n", "")
    assert quiet.err == said.err
    assert "1 file holds no readable image" in quiet.err
    assert not notes.wanted
    assert "Detectable:" in xprobe("plan").out
    assert notes.wanted
    assert "Detectable:" not in xprobe("plan", "-q").out
    assert "Any other" not in xprobe("encoders", "-q").out
    with progress.bar("nothing", 3) as advance:
        advance(1)
        assert "progress" not in [thread.name for thread in threading.enumerate()]
