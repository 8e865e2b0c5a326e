"""``xprobe scan``: the manifest that it writes, and what it warns of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from makers import FAST, Ran, error_of, usage_error_of

from xprobe.base.packed import packed


def test_scan_writes_a_manifest_that_the_other_commands_take(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    assert xprobe("scan", "-o", "manifest.csv").code == 0
    xprobe("embed", "--encoder", "pixels")
    again = xprobe("embed", "manifest.csv", "--encoder", "pixels", "--json").json
    assert again["encoders"][0]["embedded"] == 0
    assert xprobe("sweep", "manifest.csv", *FAST).code == 0


def test_a_table_that_was_corrected_by_hand_is_not_written_over(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("scan", "-o", "m.csv")
    said = xprobe("scan", "-o", "m.csv")
    assert (said.code, said.out.splitlines()[-1]) == (0, "nothing new: m.csv had all of it")
    file = Path("m.csv")
    corrected = file.read_text().replace("real/a/0.png,a,", "real/a/0.png,b,")
    file.write_text(corrected)
    assert "m.csv is there, and says otherwise of 1 images, such as" in error_of(
        xprobe("scan", "-o", "m.csv")
    )
    assert file.read_text() == corrected
    assert xprobe("scan", "m.csv", "-o", "m.csv").code == 0
    assert file.read_text() == corrected


def test_equal_content_is_a_warning(data: Path, xprobe: Callable[..., Ran]) -> None:
    content = (data / "real/a/0.png").read_bytes()
    (data / "synthetic/a/copy.png").write_bytes(content)
    (data / "test/a").mkdir(parents=True)
    (data / "test/a/copy.png").write_bytes(content)
    ran = xprobe("scan")
    assert ran.code == 0
    assert "warning: 1 image is the same file as real and as synthetic" in ran.err
    assert "warning: 1 image is the same file in training and test part" in ran.err


def test_a_manifest_with_further_columns_is_written_onto_itself(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("scan", "-o", "m.csv")
    first, *rows = Path("m.csv").read_text().replace(",", ";").splitlines()
    lines = [f"{first};event;url", *(f"{row};storm;http://x.org/{i}" for i, row in enumerate(rows))]
    Path("m.csv").write_text("\n".join(lines), encoding="utf-16")
    ran = xprobe("scan", "m.csv", "-o", "m.csv")
    assert (ran.code, ran.err.count("columns that xprobe does not use are kept: url")) == (0, 1)
    assert Path("m.csv").read_text().replace(",", ";").splitlines() == lines


def test_parents_that_name_nothing_are_counted(
    misspelt: str, data: Path, xprobe: Callable[..., Ran]
) -> None:
    said = "10 of 20 parents of synthetic images (10 different) name no real image of the study"
    assert f"warning: {said}, such as lost/0, lost/1 and 8 more:" in xprobe("scan", misspelt).err
    assert said in " ".join(xprobe("scan", misspelt, "--json").json["warnings"])
    assert "parents" not in xprobe("scan").err
    # What is written has the images that are meant, and the others as they are.
    xprobe("scan", misspelt, "-o", "again.csv")
    text = Path("again.csv").read_text()
    assert text.count(",data/real/a/a-0.png,default") == 2
    assert ",lost/0,default" in text


def test_what_was_said_of_the_folders_is_part_of_the_answer(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    (data / "real/a/notes.txt").write_text("")
    ran = xprobe("scan", "--json")
    said = "left out files that are no images by their name: 1 (1 .txt), such as data/real/a/notes"
    assert ran.err.startswith(f"warning: {said}")
    assert ran.json["warnings"][0].startswith(said)
    assert xprobe("scan").err.count("left out") == 1


def test_folders_may_stand_in_place_of_data_in_every_command(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    data.rename("elsewhere")
    named = ("--real", "elsewhere/real", "--synthetic", "g=elsewhere/synthetic")
    assert {row["generator"] for row in xprobe("scan", *named, "--json").json["counts"]} == {
        None, "g",
    }  # fmt: skip
    assert xprobe("embed", *named, "--encoder", "pixels").code == 0
    assert xprobe("plan", *named).code == 0
    assert xprobe("sweep", *named, *FAST).code == 0
    assert xprobe("distance", *named, "--permutations", "99", "--metrics", "mmd").code == 0
    Path("xprobe.toml").write_text(
        '[sweep]\nreal = ["elsewhere/real"]\nsynthetic = ["g=elsewhere/synthetic"]\n'
    )
    assert xprobe("sweep", *FAST).code == 0
    for command in ("scan", "embed", "sweep", "distance", "plan"):
        both = usage_error_of(xprobe(command, "elsewhere", "--real", "elsewhere/real"))
        assert "both say where the images are; leave DATA out" in both
    assert "--val is train or test" in " ".join(xprobe("scan", "--val", "x").err.split())


def test_several_tables_are_one_data_in_every_command(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    """A table of real images, and one of edits of them, which another folder holds."""
    real, made = Path("study.csv"), Path("made/manifest.csv")
    (data / "synthetic").rename("made")
    rows = [
        f"{path.as_posix()},{path.parent.name},real" for path in sorted(data.glob("real/*/*.png"))
    ]
    real.write_text("\n".join(["path,label,source", *rows]) + "\n")
    rows = [
        f"{path.relative_to('made').as_posix()},{path.parent.name},synthetic,"
        f"../data/real/{path.parent.name}/{int(path.stem) % 5}.png"
        for path in sorted(Path("made").glob("*/*.png"))
    ]
    made.write_text("\n".join(["path,label,source,parent", *rows]) + "\n")
    both = (str(real), str(made))
    counts = xprobe("scan", *both, "-o", "all.csv", "--json").json["counts"]
    assert {row["generator"] for row in counts} == {None, "made"}
    assert xprobe("scan", "all.csv", "--json").json["counts"] == counts
    assert xprobe("scan", str(real), "--synthetic", "made=made", "--json").json["counts"] == counts
    assert xprobe("embed", *both, "--encoder", "pixels").code == 0
    assert xprobe("plan", *both).code == 0
    assert xprobe("sweep", *both, *FAST).code == 0
    assert xprobe("distance", *both, "--permutations", "99", "--metrics", "mmd").code == 0
    export = ("store", "export", "x.parquet", "--store", "features", "--encoder", "pixels")
    data_twice = ("--data", str(real), "--data", str(made))
    assert "wrote x.parquet: " in xprobe(*export, *data_twice).out
    imported = xprobe("import-features", "x.parquet", "--encoder-name", "mine", *data_twice)
    assert imported.code == 0
    Path("xprobe.toml").write_text('[plan]\ndata = ["study.csv", "made/manifest.csv"]\n')
    assert xprobe("plan").code == 0
    assert "gone.csv: no such manifest file" in error_of(xprobe("sweep", *both, "gone.csv"))


def test_tables_that_xprobe_brings_along_are_no_images(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    before = xprobe("scan", "--json").json
    source = packed("tables/events.csv").parent.parent
    for part in ("tables", "prompts"):
        shutil.copytree(source / part, data / part)
    assert xprobe("scan", "--json").json == before
    shutil.rmtree(data / "real")
    shutil.rmtree(data / "synthetic")
    assert "no folder data/real; a study needs data/real/<class>" in error_of(xprobe("scan"))


def test_null_edits_stay_what_they_are_in_every_table(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    """A folder of real images, and the table of what a generator made of them."""
    made = data / "synthetic"
    rows = []
    for file in sorted(data.glob("real/*/*.png")):
        copy = made / "same" / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
        where = f"{copy.relative_to(made).as_posix()},{file.parent.name},synthetic"
        rows.append(f"{where},real/{file.parent.name}/{file.name},null-edit")
    for file in sorted(p for p in made.glob("*/*.png") if p.parent.parent == made):
        rows.append(f"{file.relative_to(made).as_posix()},{file.parent.name},synthetic,,")
    (made / "manifest.csv").write_text("\n".join(["path,label,source,parent,control", *rows]))
    real = ("--real", str(data / "real"))
    named = (*real, "--synthetic", f"g={made}")
    xprobe("scan", *named, "-o", "all.csv")
    xprobe("scan", *real, "-o", "real.csv")
    both = ("real.csv", str(made / "manifest.csv"))
    for what in (named, ("all.csv",), both, (*both, "--limit", "3")):
        counts = xprobe("scan", *what, "--json").json["counts"]
        found = {(row["source"], row.get("control")): row["n"] for row in counts}
        assert found.keys() == {
            ("real", None), ("synthetic", None), ("synthetic", "null-edit")
        }  # fmt: skip
        assert found["synthetic", "null-edit"] == found["real", None]
    assert "null-edit" in xprobe("scan", "all.csv").out
    assert xprobe("embed", "all.csv", "--encoder", "pixels").code == 0
    measure = ("distance", "all.csv", "--permutations", "99", "--metrics", "mmd")
    ran = xprobe(*measure, "--drop-leaks", "clean.csv", "--json")
    assert ran.json["leaks"] == []
    assert "made for the control null-edit: nothing here is measured of them" in ran.err
    assert Path("clean.csv").read_text().count("null-edit") == len(list(data.glob("real/*/*.png")))
