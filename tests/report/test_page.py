"""Figures and data as parts of a page, and the page as a browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, find_browser
from makers import make_study, written
from msgspec import structs

from xprobe.report.figures.drawing import Drawing
from xprobe.report.page import data_text, figure
from xprobe.results.rows import ClassResult
from xprobe.results.study import Study

SVG = b"""<?xml version="1.0"?><!DOCTYPE svg><svg width="9pt" viewBox="0 0 9 9">
<metadata>m</metadata><!-- c --><defs><style type="text/css">*{x: y}</style></defs>
<g id="figure_1"><path id="m1f2" d="M 0 0" style="fill: #1a1a1a; stroke: #0072b2"/></g></svg>"""


def test_a_figure_takes_the_colours_of_the_page() -> None:
    text = str(figure(Drawing("n", "matrix", None, 'a "<title>"', SVG, b"")))
    assert text.startswith('<svg role="img" aria-label="a &#34;&lt;title&gt;&#34;" width=')
    assert "fill: var(--ink); stroke: #0072b2" in text
    assert 'id="m1f2"' in text  # what others refer to stays
    for unwanted in ("metadata", "<!--", "<style", "figure_1", "<?xml", "DOCTYPE"):
        assert unwanted not in text


def test_a_figure_of_pictures_stays_an_image() -> None:
    assert "<img src=" in str(figure(Drawing("n", "examples", None, "t", SVG, b"")))


def test_data_cannot_end_their_script() -> None:
    value = ["</script><script>alert(1)</script>", "a & b", "日本"]
    text = str(data_text(value))
    assert json.loads(text) == value

    class Tags(HTMLParser):
        count = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.count += 1

    parser = Tags()
    parser.feed(f'<script type="application/json">{text}</script>')
    assert parser.count == 1


# --- in a browser --------------------------------------------------------------------------

CLASSES = ("cat", "a class with a name of so many words that it is cut", "dog")

LONG = "timm:some_network_with_a_name_without_any_blank_patch16_224.weights_of_this_year"


def with_classes(study: Study) -> Study:
    """Return a study that has judged each class in each of its mixes."""
    mixes = [row for row in study.results if row.setting == "mix" and row.metric == "accuracy"]
    rows = [
        ClassResult(
            setting="mix", ratio=row.ratio, generator=row.generator, class_=name,
            difference=0.1 * i - 0.0123, low=0.1 * i - 0.05, high=0.1 * i + 0.03, p_adjusted=0.01,
            verdict=("no detectable difference", "helps", "helps")[i], n_test=200, n_groups=200,
        )
        for row in mixes
        for i, name in enumerate(study.manifest.classes)
    ]  # fmt: skip
    return structs.replace(study, classes=tuple(rows))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("there is no Chrome or Chromium on PATH, and CHROME_PATH names none")
    browser = Browser(program, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def report(tmp_path: Path, no_figures: None) -> Path:
    """The folder of a report with mixes that help, hurt, and do neither, and with long names."""
    effects = {"sdxl": 0.05, "a_generator_with_quite_a_long_name": -0.04}
    studies = [
        make_study(name, generators=tuple(effects), ratios=(1, 2), classes=CLASSES,
                   effect={g: effect * (1 + i) for g, effect in effects.items()})
        for i, name in enumerate((LONG, "hog"))
    ]  # fmt: skip
    hog = structs.replace(studies[1].encoder, source="builtin:hog")
    studies[1] = structs.replace(studies[1], encoder=hog)
    _, out = written(tmp_path, *map(with_classes, studies))
    return out


@pytest.fixture
def page(browser: Browser, report: Path) -> Browser:
    """The browser, in which the page of the report was just opened."""
    browser.events.clear()
    browser.show(report / "index.html")
    return browser


def numbers(text: str) -> list[float]:
    """Return the numbers in a text of the page."""
    return [float(n.replace("−", "-")) for n in re.findall(r"[-−+]?\d+(?:\.\d+)?", text)]


def table(page: Browser, selector: str) -> list[Any]:
    """Return of each row of some tables the texts of its cells, and what they are sorted by."""
    script = f"""[...document.querySelectorAll({json.dumps(selector)})].map((row) =>
        [...row.cells].map((cell) => [cell.textContent.trim(), cell.dataset.value ?? null]))"""
    return list(page.value(script))


def judged(report: Path) -> list[dict[str, Any]]:
    rows = json.loads((report / "results.json").read_text(encoding="utf-8"))["results"]
    return [row for row in rows if row["verdict"] is not None]


def test_a_page_is_quiet_and_asks_for_nothing_but_itself(page: Browser, report: Path) -> None:
    assert not page.named("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    urls = [event["request"]["url"] for event in page.named("Network.requestWillBeSent")]
    assert [url for url in urls if not url.startswith("data:")] == [
        (report / "index.html").resolve().as_uri()
    ]


def test_every_judged_number_of_the_page_is_that_of_the_results(
    page: Browser, report: Path
) -> None:
    rows = table(page, "table.forest tbody tr")
    wanted = judged(report)
    assert len(rows) == len(wanted) == 2 * 2 * 3
    by_difference = {row["difference"]: row for row in wanted}
    for study, generator, setting, _, difference, verdict, p in rows:
        row = by_difference.pop(float(difference[1]))
        assert (generator[0], study[0].split()[0]) == (row["generator"], row["alias"])
        assert setting[0] == (f"1:{row['ratio']:g}" if row["ratio"] else row["setting"])
        ends = [100 * row[name] for name in ("difference", "difference_low", "difference_high")]
        assert numbers(difference[0]) == pytest.approx(ends, abs=0.051)
        instead = {"helps": "better than real-only", "hurts": "worse than real-only"}
        is_mix = row["setting"] == "mix"
        assert verdict[0].startswith(row["verdict"] if is_mix else instead[row["verdict"]])
        if is_mix and row["p_study_wide"] is None:  # that of an encoder which claims nothing
            assert p[0] == "–"
        else:
            assert float(p[1]) == row["p_study_wide" if is_mix else "p_adjusted"]
    cells = table(page, "table.matrix tbody tr")
    mixes = [row["difference"] for row in wanted if row["setting"] == "mix"]
    assert sorted(float(value) for row in cells for _, value in row if value) == sorted(mixes)


def test_a_table_is_sorted_by_a_click_and_back_by_another(page: Browser) -> None:
    click = """[...document.querySelector("table.forest").querySelectorAll("thead button")]
        .find((button) => button.textContent.startsWith("Difference")).click()"""

    def differences() -> list[float]:
        """Return those of the mixes, whose table is the first."""
        return [float(row[4][1]) for row in table(page, "table.forest tbody tr")[: 2 * 2 * 2]]

    before = differences()
    page.value(click)
    assert differences() == sorted(before) != before
    page.value(click)
    assert differences() == sorted(before, reverse=True)


def test_any_two_confusions_can_be_set_beside_each_other(page: Browser, report: Path) -> None:
    choose = """for (const [name, value] of [["study", 1], ["one", 2], ["two", 4]]) {
        const select = document.getElementById(`confusion-${name}`);
        select.value = value;
        select.dispatchEvent(new Event("change"));
    }"""
    page.value(choose)
    script = "document.getElementById(`confusion-${name}`).selectedOptions[0].textContent"
    study, one, two = (
        page.value(script.replace("${name}", name)) for name in ("study", "one", "two")
    )
    whole = json.loads((report / "results.json").read_text(encoding="utf-8"))
    (document,) = [s for s in whole["studies"] if s["encoder"]["alias"] == study]
    shares = []
    for title in (one, two):
        generator, ratio = title.split(" · ")
        (counts,) = [
            np.array(setting["confusion"])
            for setting in document["settings"]
            if (setting["generator"], setting["ratio"]) == (generator, float(ratio[2:]))
        ]
        shares.append(100 * counts / counts.sum(axis=1, keepdims=True))
    shares.append(shares[1] - shares[0])
    for number, wanted in enumerate(shares, start=1):
        rows = table(page, f"#confusion-views figure:nth-child({number}) tbody tr")
        cells = [[numbers(text) or [0.0] for text, _ in row[2:]] for row in rows]
        assert np.array(cells)[..., 0] == pytest.approx(wanted, abs=0.51)


@pytest.mark.parametrize("width", [390, 1200])
def test_a_page_is_no_wider_than_its_window(width: int, browser: Browser, report: Path) -> None:
    browser.show(report / "index.html", width)
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.value("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_no_tick_of_an_axis_is_cut(browser: Browser, report: Path) -> None:
    browser.show(report / "index.html", width=390)
    ends = browser.value(
        "[...document.querySelectorAll('.ticks span')].map(e => e.getBoundingClientRect().right)"
    )
    assert ends and max(ends) <= 390
