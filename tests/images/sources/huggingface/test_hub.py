"""Data sets of the hub by name: from a local cache offline, fetched, or missing in words."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import errors
from makers import rows_of_images, save_rows

import xprobe
from xprobe.base.errors import XprobeError, XprobeNote
from xprobe.images.config import DataConfig, FormConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.huggingface import hub

COMMIT, CONVERTED = "0123456789abcdef" * 2 + "01234567", "f" * 40
TABLE = rows_of_images([b"a", b"b"], ["cat", "dog"], label=[0, 1])
PARTS = "---\nconfigs:\n" + "".join(
    f"- {{config_name: {name}, data_files: [{{split: train, path: {name}/train-*}}]}}\n"
    for name in "ab"
) + "---\n"  # fmt: skip

Put = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the one data set in a local hub cache, and a network that must not be asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = tmp_path / "hub/datasets--owner--name"
    for ref, commit in {"main": COMMIT, "refs/convert/parquet": CONVERTED}.items():
        (root / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (root / "refs" / ref).write_text(commit)
        (root / "snapshots" / commit).mkdir(parents=True)
    return root


@pytest.fixture
def snapshot(cache: Path) -> Path:
    return cache / "snapshots" / COMMIT


def put(snapshot: Path, *names: str, card: str = "") -> None:
    """Write files of rows into a snapshot, as links to blobs."""
    for i, name in enumerate(names):
        blob = save_rows(TABLE, snapshot.parent.parent / f"blobs/{i}{Path(name).suffix}")
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).unlink(missing_ok=True)
        (snapshot / name).symlink_to(blob)
    if card:
        (snapshot / "README.md").write_text(card)


def rows_of(name: str = "owner/name") -> tuple[list[Row], Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hub.read(Path(name), "", FormConfig())


def error_of(name: str = "owner/name") -> str:
    with pytest.raises(XprobeError) as error:
        rows_of(name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_in_the_cache_is_read_offline_and_its_commit_recorded(snapshot: Path) -> None:
    names = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    put(snapshot, *names, card="---\nlicense: cc-by-4.0\n---\n")
    name = f"hf:owner/name@{COMMIT}"
    words = rf"hf:owner/name: taken as: {name} \(Hugging Face\), 2 classes × 2$"
    with pytest.warns(XprobeNote, match=words):
        images = xprobe.read("hf:owner/name")
    assert images.id.tolist() == [f"{name}::{i}" for name in names for i in range(2)]
    assert images.path[0] == str(snapshot.resolve() / names[0]) + "::0" and all(images.sha256)
    assert set(images.column("dataset")) == {name}
    assert set(images.column("licence")) == {"cc-by-4.0"}
    assert rows_of(f"owner/name@{COMMIT}")[0] == rows_of()[0]


def test_a_revision_may_hold_slashes_and_a_part_be_named(cache: Path) -> None:
    converted = cache / "snapshots" / CONVERTED
    put(converted, *(f"{name}/train/0000.parquet" for name in "ab"))
    said = error_of("owner/name@refs/convert/parquet")
    assert "it holds several configurations, a, b; name the folder of one, such as " in said
    rows, base = rows_of("owner/name/b@refs/convert/parquet")
    assert base == converted and rows[0]["path"] == "b/train/0000.parquet::0"
    assert rows[0]["dataset"] == f"hf:owner/name@{CONVERTED}"


def test_configurations_of_the_card_are_named(snapshot: Path) -> None:
    put(snapshot, "a/train-00000-of-00001.parquet", card=PARTS)
    said = error_of("owner/name@main")
    assert said.endswith("several configurations, a, b; name one, such as hf:owner/name/a@main")
    assert len(rows_of("owner/name/a")[0]) == 2
    assert "is not on this machine, or not all of it" in error_of("owner/name/b")


def test_what_was_saved_to_disk_may_lie_on_the_hub(snapshot: Path) -> None:
    put(snapshot, "saved/data-00000-of-00001.arrow")
    state = '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'
    (snapshot / "saved/state.json").write_text(state)
    rows, base = rows_of("owner/name/saved")
    assert rows[1]["path"] == "data-00000-of-00001.arrow::1" and base == snapshot / "saved"


def test_synthetic_images_may_be_a_data_set_of_the_hub(snapshot: Path) -> None:
    put(snapshot, "train.parquet")
    real = save_rows(
        rows_of_images([b"c", b"d"], label=["cat", "dog"]), snapshot / "../../r.parquet"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = xprobe.read(real, config=DataConfig(synthetic=("sd=hf:owner/name",)))
    assert images.generator.tolist() == ["", "", "sd", "sd"]


@pytest.mark.parametrize(
    "name", ["name", "owner/", "owner/na me", "owner/name@", "owner/a--b", "owner/x/../..",
             "owner/x@../refs"]
)  # fmt: skip
def test_what_is_no_name_is_refused(name: str) -> None:
    assert error_of(name).startswith(f"hf:{Path(name)}: name a data set as its page on")


def test_what_is_missing_gives_the_remedy(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "hf:owner/name@v2: owner/name is not on this machine, or not all of it; run 'hf download "
        "owner/name --repo-type dataset --revision v2' on one with a network and copy "
        f"{snapshot.parents[2]} here; or set HF_ENDPOINT to a mirror; or name a local folder "
        "instead [offline, as asked]"
    )
    assert error_of("owner/name@v2") == words
    put(snapshot, "data/train-00000-of-00002.parquet")
    assert error_of().endswith("[offline, as asked]")
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr("xprobe.base.network.is_reachable", lambda _: False)
    assert error_of().endswith("[https://huggingface.co cannot be reached]")


def test_a_script_is_never_run(snapshot: Path) -> None:
    (snapshot / "name.py").write_text("raise SystemExit")
    assert error_of() == (
        "hf:owner/name: it is made by a script, name.py, which is never run; name what the hub "
        "made of it, hf:owner/name@refs/convert/parquet, or download it and name its folder"
    )


class Network:
    """A hub that answers: what was fetched is put into the cache."""

    def __init__(self, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.snapshot, self.asked = snapshot, list[Sequence[str]]()
        self.files: list[str] = []
        self.card = ""
        self.error: Exception | None = None
        monkeypatch.setenv("HF_HUB_OFFLINE", "")
        monkeypatch.setattr("xprobe.base.network.is_reachable", lambda _: True)
        monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_, **__: self.files)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)

    def download(self, *_: Any, **options: Any) -> str:
        if options.get("local_files_only"):
            return str(self.snapshot)
        if self.error is not None:
            raise self.error
        self.asked.append(options["allow_patterns"])
        rows = [name for name in self.files if name.endswith(".parquet")]
        put(self.snapshot, *(rows if len(self.asked) > 1 else []), card=self.card)
        return str(self.snapshot)


@pytest.fixture
def network(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(snapshot, monkeypatch)


def test_what_is_not_whole_is_fetched(network: Network) -> None:
    network.files = ["data/train-00000-of-00001.parquet"]
    assert len(rows_of()[0]) == 2
    assert network.asked[0][0] == "README.md"
    assert network.asked[1][-2:] == ["*.parquet", "*.arrow"]


def test_of_several_configurations_the_one_that_is_named_is_fetched(network: Network) -> None:
    network.files, network.card = ["b/train-00000-of-00001.parquet"], PARTS
    assert error_of().endswith("several configurations, a, b; name one, such as hf:owner/name/a")
    assert len(rows_of("owner/name/b")[0]) == 2
    assert network.asked[-1][-1] == "b/train-*"


def test_what_holds_no_rows_is_told_with_what_it_holds(network: Network) -> None:
    network.files = ["a.zip", "b.zip", "c.jpg"]
    assert "it holds no Parquet or Arrow files, but .zip, .jpg; name what the hub" in error_of()
    network.files = ["name.py", "a.zip"]
    assert "it is made by a script, name.py, which is never run" in error_of()
    network.files = ["a/train.parquet"]
    network.asked = []
    assert error_of("owner/name/z").endswith("no configuration z; there are a")


def test_what_the_hub_refuses_is_told_with_the_remedy(network: Network) -> None:
    page = "https://huggingface.co/datasets/owner/name"
    refusals: dict[type[Exception], str] = {
        errors.GatedRepoError: f"consent; give it on {page}, then run",
        errors.RepositoryNotFoundError: "or it is private; correct",
        errors.RevisionNotFoundError: f"no revision v2; {page}/tree",
        OSError: "[the download failed: OSError]",
    }
    for kind, words in refusals.items():
        network.error = kind.__new__(kind)  # Its initialiser needs a server's answer.
        assert words in error_of("owner/name@v2")
