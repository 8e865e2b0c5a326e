"""``xprobe generate``: consent before anything is sent, and images that a sweep takes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scripted
from makers import FAST, Ran, SavePicture, error_of, usage_error_of
from scripted import KEY_VARIABLE, Scripted, png

from xprobe.base import documents
from xprobe.generation.answers import Generated, GeneratePlan
from xprobe.generation.base import LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.registry import PROVIDERS

SECRET = "sk-very-secret-0123456789"

ASKED = ("generate", "study.csv", "--provider", "scripted", "--model", "maker/one",
         "--prompts", "prompts.txt", "-o", "made", "--price", "0.01")  # fmt: skip
SENT = (*ASKED, "--yes", "--max-cost", "9")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    rows = {**PROVIDERS.rows, "scripted": scripted.row()}
    monkeypatch.setattr(type(PROVIDERS), "__getitem__", lambda _self, name: rows[name])
    monkeypatch.setattr(scripted, "current", Scripted())
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    yield scripted.current
    scripted.opened.clear()


@pytest.fixture
def study(tmp_path: Path, save_picture: SavePicture) -> Path:
    """Two classes of five scenes, each with an image from before, and a file of two prompts."""
    with (tmp_path / "study.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("path", "label", "source", "split", "group", "event"))
        for k, label in enumerate(("flooding", "wind")):
            for i in range(5):
                for split in ("train", "pre"):
                    file = f"real/{label}{i}-{split}.png"
                    save_picture(tmp_path / file, colour=60 + 120 * k)
                    rows.writerow((file, label, "real", split, f"{label}{i}", f"{label} event"))
    (tmp_path / "prompts.txt").write_text("show {class}\nadd {class}\n")
    return tmp_path


Xprobe = Callable[..., Ran]


def test_a_dry_run_counts_and_sends_nothing(
    study: Path, provider: Scripted, xprobe: Xprobe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    ran = xprobe(*ASKED, "--per-image", "3", "--dry-run")
    assert ran.code == 0
    assert "flooding        5      15    15  show flooding" in ran.out
    assert "30 requests to example.org, about $0.30 (given by the user)" in ran.out
    assert "can go up to the ratio 1:3" in ran.out
    assert (provider.asked, (study / "made").exists()) == ([], False)
    plan = documents.from_json(
        GeneratePlan, xprobe(*ASKED, "--per-image", "3", "--dry-run", "--json").json
    )
    assert (plan.images, plan.open, plan.expected_usd, plan.ratio) == (30, 30, 0.3, 3)


def test_nothing_is_sent_without_consent(study: Path, provider: Scripted, xprobe: Xprobe) -> None:
    for options in ((), ("--yes",), ("--max-cost", "9")):
        words = error_of(xprobe(*ASKED, *options))
        assert "10 requests go to example.org, and nobody can be asked" in words
    assert provider.asked == []


def test_who_is_asked_may_say_no(
    study: Path, provider: Scripted, xprobe: Xprobe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xprobe.cli.generate.has_terminal", lambda: True)
    asked: list[str] = []
    for answer in (False, True):
        monkeypatch.setattr(
            "typer.confirm", lambda text, err, answer=answer: asked.append(text) or answer
        )
        ran = xprobe(*ASKED)
        assert "10 requests to example.org for images of maker/one, about $0.10" in ran.err
        assert "10 images are sent there (no licence known: 10)" in ran.err
        assert "Traceback" not in ran.err
    assert (len(asked), len(provider.asked)) == (2, 10)


def test_a_licence_that_forbids_to_pass_images_on_needs_a_word_of_its_own(
    study: Path, provider: Scripted, xprobe: Xprobe
) -> None:
    table = study / "study.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},licence", *(f"{line},xBD" for line in lines[1:])]))
    assert "10 images under licence xBD, which forbids" in error_of(xprobe(*SENT))
    assert provider.asked == []
    assert xprobe(*SENT, "--send-restricted").code == 0
    assert len(provider.asked) == 10


def test_images_go_into_a_sweep_as_they_are(
    study: Path, provider: Scripted, xprobe: Xprobe
) -> None:
    ran = xprobe(*SENT, "--per-image", "2")
    assert ran.code == 0
    assert "spent in all: $0.20" in ran.out
    answer = documents.from_json(Generated, xprobe(*SENT, "--per-image", "2", "--json").json)
    assert (answer.created, answer.already, answer.table) == (0, 20, "made/manifest.csv")
    tables = ("study.csv", "made/manifest.csv")
    assert xprobe("embed", *tables, "--encoder", "pixels").code == 0
    swept = xprobe("sweep", *tables, "--encoder", "pixels", *FAST, "--require-lineage", "--json")
    assert swept.code == 0
    (mix,) = (
        row for row in swept.json["results"]
        if (row["setting"], row["ratio"], row["metric"]) == ("mix", 2, "accuracy")
    )  # fmt: skip
    assert mix["dropped_by_lineage"] == 20  # of 5 folds, each the edits of a fifth of the images


def test_what_is_done_needs_no_key(
    study: Path, provider: Scripted, xprobe: Xprobe, monkeypatch: pytest.MonkeyPatch
) -> None:
    xprobe(*SENT)
    monkeypatch.delenv(KEY_VARIABLE)
    assert xprobe(*ASKED).code == 0
    words = error_of(xprobe(*SENT, "--per-image", "2"))
    assert f"needs a key, and the environment has none: set {KEY_VARIABLE}" in words


def test_images_that_there_are_not_are_listed(
    study: Path, provider: Scripted, xprobe: Xprobe
) -> None:
    provider.replies = {
        "show flooding": [RefusedError("no floods"), LostError("line broke"), png()]
    }
    ran = xprobe(*SENT, "--concurrency", "1")
    assert ran.code == 0  # Nothing is left that may be asked for.
    assert "1 image was refused" in ran.out
    assert "1 image may have been paid for, and its answer is lost; --retry-unknown" in ran.out
    with (study / "made/failed.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["state"], row["words"]) for row in rows] == [
        ("refused", "no floods"), ("paid-unknown", "line broke"),
    ]  # fmt: skip
    assert xprobe(*SENT, "--retry-unknown").code == 0
    assert len(provider.asked) == 11


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StoppedError("billing limit reached"), "not made: billing limit reached;"),
        (NotMadeError("away", 9999.0), "not made: away (given up after 1 tries);"),
    ],
)
def test_a_run_that_stops_says_why_and_how_to_go_on(
    study: Path, provider: Scripted, xprobe: Xprobe, error: Exception, words: str
) -> None:
    provider.replies = {"show wind": [error]}
    ran = xprobe(*SENT, "--json")
    assert ran.code == 1
    assert words in ran.err
    assert "run the command again to go on" in ran.err
    answer = documents.from_json(Generated, ran.json)
    assert answer.created + answer.left == 10
    assert answer.left > 0


def test_the_limit_needs_a_price(study: Path, provider: Scripted, xprobe: Xprobe) -> None:
    unpriced = [word for word in SENT if word not in ("--price", "0.01")]
    assert "--max-cost cannot be kept: no price is known" in error_of(xprobe(*unpriced))


def test_keys_are_in_nothing_that_is_written(
    study: Path, provider: Scripted, xprobe: Xprobe
) -> None:
    provider.replies = {"show wind": [ValueError(f"header {SECRET}")]}
    runs = [xprobe(*SENT, *options) for options in ((), ("--json",), ("--dry-run",))]
    assert scripted.opened[0].key == SECRET
    assert SECRET not in repr(scripted.opened[0])
    assert all(SECRET not in ran.out + ran.err for ran in runs)
    files = [file for file in study.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert all(SECRET.encode() not in file.read_bytes() for file in files)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--param", f"api_key={SECRET}"), "keys are taken from the environment alone"),
        (("--param", "quality"), "takes NAME=VALUE"),
        (("--param", "seed=3"), "--param seed: that is --seed"),
        (("--base-url", f"https://user:{SECRET}@example.org"), "holds a user or password"),
        (("--base-url", "http://example.org/v1"), "plain http"),
        (("--base-url", f"https://example.org/v1?key={SECRET}"), "holds more than an address"),
        (("--from", "post"), "--from is pre, real, text"),
        (("--per-image", "2", "--per-class", "3"), "give one"),
        (("--name", "a,b"), "without commas"),
    ],
)  # fmt: skip
def test_wrong_usage_is_said_before_anything_is_read(
    study: Path, provider: Scripted, xprobe: Xprobe, options: tuple[str, ...], words: str
) -> None:
    said = usage_error_of(xprobe(*SENT, *options))
    assert words in said
    assert SECRET not in said


@pytest.mark.parametrize("line", ['base_url = "https://thief.example"', "yes = true"])
def test_a_settings_file_of_the_folder_cannot_redirect_keys_and_images(
    study: Path, provider: Scripted, xprobe: Xprobe, line: str
) -> None:
    (study / "xprobe.toml").write_text(f"[generate]\n{line}\n")
    assert "decides where keys and images go" in error_of(xprobe(*SENT))
    (study / "xprobe.toml").rename(study / "mine.toml")
    assert xprobe(*SENT, "--config", "mine.toml").code == 0


def test_a_key_in_a_settings_file_is_refused(
    study: Path, provider: Scripted, xprobe: Xprobe
) -> None:
    (study / "xprobe.toml").write_text(f'[generate]\napi_key = "{SECRET}"\n')
    words = error_of(xprobe(*SENT))
    assert "[generate] has no option api_key" in words
    assert SECRET not in words


def test_a_model_that_is_withdrawn_is_warned_of_with_what_there_is(
    study: Path, provider: Scripted, xprobe: Xprobe
) -> None:
    (study / "models.csv").write_text(
        "provider,model,usd_per_image,withdrawn\nscripted,maker/one,0.01,2026-01-02\n"
    )
    ran = xprobe(*SENT, "--models", "models.csv")
    assert "maker/one of scripted was withdrawn on 2026-01-02" in ran.err
    assert "scripted lists new-model ($0.02 an image)" in ran.err


def test_the_captions_of_a_published_set_are_prompts(
    tmp_path: Path, provider: Scripted, xprobe: Xprobe, save_picture: SavePicture
) -> None:
    entries = []
    for name, split in (("beach_1", "train"), ("park_1", "train"), ("beach_2", "test")):
        save_picture(tmp_path / f"rsicd/RSICD_images/{name}.jpg")
        sentences = [{"raw": f"{name} in words"}, {"raw": f"{name} in other words"}]
        entries.append({"filename": f"{name}.jpg", "split": split, "sentences": sentences})
    (tmp_path / "rsicd/dataset_rsicd.json").write_text(json.dumps({"images": entries}))
    (tmp_path / "prompts.txt").write_text("{caption}\n")
    asked = ("generate", "rsicd", *ASKED[2:], "--from", "text", "--per-image", "2")
    ran = xprobe(*asked, "--dry-run")
    assert ran.code == 0
    assert "beach        1       2     2  beach_1 in words" in ran.out
    assert "park         1       2     2  park_1 in words" in ran.out
    assert xprobe(*asked, "--yes", "--max-cost", "9").code == 0
    assert sorted(provider.asked) == [
        "beach_1 in other words", "beach_1 in words", "park_1 in other words", "park_1 in words",
    ]  # fmt: skip
