"""``xprobe adopt``: the table that it writes, and the sweep that heeds it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, SavePicture, error_of, usage_error_of

from xprobe.base import documents
from xprobe.images.adopted.adopt import Adopted

ASKED = ("adopt", "made", "--data", "study.csv", "--generator", "net")
PATTERN = ("--parent-from", "{scene}__*")


@pytest.fixture
def study(tmp_path: Path, save_picture: SavePicture) -> Path:
    """Two classes of four scenes, each an event of its own; images made of each, and one more."""
    with (tmp_path / "study.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("path", "label", "source", "event"))
        for k, label in enumerate("ab"):
            for i in range(4):
                file = f"real/{label}/{label}{i}__post.png"
                save_picture(tmp_path / file, colour=60 + 120 * k)
                rows.writerow((file, label, "real", f"event {label}{i}"))
                for j in range(2):
                    made = tmp_path / f"made/{label}/{label}{i}__net{j}.png"
                    save_picture(made, colour=60 + 120 * k)
            save_picture(tmp_path / f"made/{label}/elsewhere.png", colour=60 + 120 * k)
    return tmp_path


def joined(*files: str) -> None:
    """Write one table of several, whose paths are then relative to this folder."""
    rows: list[dict[str, str]] = []
    for file in files:
        with Path(file).open(newline="") as stream:
            for row in csv.DictReader(stream):
                path = Path(file).parent / row["path"]
                rows.append(row | {"path": path.as_posix()})
    names = dict.fromkeys(name for row in rows for name in row)
    with Path("all.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)


def test_what_is_adopted_is_counted_and_written(study: Path, xprobe: Callable[..., Ran]) -> None:
    ran = xprobe(*ASKED, *PATTERN)
    assert ran.code == 0
    assert "with parent       16" in ran.out
    assert "without parent     2  a/elsewhere.png, b/elsewhere.png" in ran.out
    assert ran.out.endswith("wrote made/manifest.csv\n")
    first = (study / "made/manifest.csv").read_text()
    again = xprobe(*ASKED, *PATTERN)
    assert again.out.endswith("nothing new: made/manifest.csv had all of it\n")
    assert (study / "made/manifest.csv").read_text() == first
    document = xprobe(*ASKED, *PATTERN, "--json").json
    assert documents.to_json(documents.from_json(Adopted, document)) == document
    assert (document["images"], document["table"]) == (18, "made/manifest.csv")
    assert [row["n"] for row in document["counts"]] == [9, 9]
    assert {part["name"]: part["n"] for part in document["parts"]}["without parent"] == 2


def test_a_sweep_keeps_the_edits_of_test_images_out(
    study: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe(*ASKED, *PATTERN)
    joined("study.csv", "made/manifest.csv")
    xprobe("embed", "all.csv", "--encoder", "pixels")
    rows = xprobe("sweep", "all.csv", *FAST, "--json").json["results"]
    assert {row["dropped_by_lineage"] for row in rows if row["setting"] == "mix"} == {16}


def test_a_generator_that_has_seen_all_is_refused_and_its_leak_can_be_shown(
    study: Path, xprobe: Callable[..., Ran]
) -> None:
    Path("seen.txt").write_text("".join(f"Event_{c}{i}\n" for c in "ab" for i in range(4)))
    assert xprobe(*ASKED, *PATTERN, "--trained-on", "seen.txt").code == 0
    joined("study.csv", "made/manifest.csv")
    xprobe("embed", "all.csv", "--encoder", "pixels")
    said = "generator net was trained on events that are tested (column trained_on): of its 18 "
    assert f"{said}images none are left" in error_of(xprobe("sweep", "all.csv", *FAST))
    assert xprobe("plan", "all.csv", "--ratios", "1", "--json").json["left"][0]["most"] == 0
    shown = xprobe("sweep", "all.csv", *FAST, "--ignore-lineage", "--json").json
    assert "in a fold up to 18 synthetic images" in shown["warnings"][0]


def test_a_dry_run_counts_what_is_kept_out(study: Path, xprobe: Callable[..., Ran]) -> None:
    Path("seen.txt").write_text("event a0\n")
    xprobe(*ASKED, *PATTERN, "--trained-on", "seen.txt")
    table = study / "study.csv"
    lines = [line + (",test" if "a0" in line or "b0" in line or "b1" in line else ",")
             for line in table.read_text().splitlines()]  # fmt: skip
    lines[0] = lines[0].removesuffix(",") + ",split"
    table.write_text("\n".join(lines) + "\n")
    made = Path("made/manifest.csv")  # Half of the images are of a part that has seen nothing.
    seen = made.read_text().splitlines(keepends=True)
    made.write_text("".join(x if "net1" in x else x.replace("event a0", "") for x in seen))
    joined("study.csv", "made/manifest.csv")
    xprobe("embed", "all.csv", "--encoder", "pixels")
    ran = xprobe("sweep", "all.csv", *FAST, "--dry-run", "--allow-fewer", "--json")
    assert "of its 18 images 7 are left to train on" in ran.err
    assert ran.json["studies"][0]["dropped_by_lineage"] == 3 * 11


def test_bad_input_is_one_line(study: Path, xprobe: Callable[..., Ran]) -> None:
    def refusal(*options: str) -> str:
        return error_of(xprobe(*ASKED, *options))

    assert "matches none of the images" in refusal("--parent-from", "tile-{n}")
    assert "has no field" in refusal("--parent-from", "a*")
    assert "no such table" in refusal("--parent-from", "lineage.csv")
    assert "no such file" in refusal("--trained-on", "nowhere.txt")
    assert not (study / "made/manifest.csv").exists()
    assert "Missing option '--generator'" in usage_error_of(
        xprobe("adopt", "made", "--data", "study.csv")
    )
