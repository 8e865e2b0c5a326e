"""Files of weights: what is harmless is read, nothing is run, and the rest is refused in words."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from xprobe.base.errors import XprobeError
from xprobe.encoders.checkpoints import INDEX, locate_weights, read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def assert_state(content: Any) -> None:
    assert all(torch.equal(content[k], v) for k, v in STATE.items())


def test_the_content_decides_the_format_and_not_the_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights.bin")
    torch.save(STATE, tmp_path / "weights.ckpt")
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("weights.bin", "weights.ckpt", "old.pt"):
        assert_state(read_checkpoint(tmp_path / name))


def test_numbers_and_settings_beside_the_weights_are_read(tmp_path: Path) -> None:
    file = tmp_path / "run.ckpt"
    beside = {
        "args": argparse.Namespace(lr=0.1, out=tmp_path), "loss": np.float64(0.5),
        "epoch": np.int64(3), "history": np.arange(3.0),
    }  # fmt: skip
    torch.save({"state_dict": STATE, **beside}, file)
    content = read_checkpoint(file)
    assert_state(content["state_dict"])
    assert content["loss"] == 0.5


class Trap:
    """An object whose making, if a file asks for it, would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def contents(folder: Path) -> dict[str, tuple[Any, str]]:
    return {
        "a whole network": (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        "a hostile object": ({"state_dict": STATE, "x": Trap(folder / "sprung")}, "pathlib.Path"),
        "objects of NumPy": (
            {"state_dict": STATE, "x": np.array([Trap(folder / "sprung")])},
            "pathlib",
        ),
    }


@pytest.mark.parametrize("kind", ["a whole network", "a hostile object", "objects of NumPy"])
def test_objects_whose_code_would_run_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    content, name = contents(tmp_path)[kind]
    file = tmp_path / "weights.pt"
    torch.save(content, file)
    with pytest.raises(XprobeError, match=rf"not readable as weights.*{name}.*state_dict") as said:
        read_checkpoint(file)
    message = str(said.value)
    assert "weights_only" not in message  # torch's own advice is to trust the file
    assert "\x1b" not in message
    assert "\n" not in message
    assert not (tmp_path / "sprung").exists()


def test_a_program_of_torchscript_is_answered_with_how_to_save_its_weights(tmp_path: Path) -> None:
    file = tmp_path / "scripted.pt"
    with zipfile.ZipFile(file, "w") as archive:  # as torch.jit writes it
        archive.writestr("scripted/data.pkl", b"")
        archive.writestr("scripted/constants.pkl", b"")
    with pytest.raises(XprobeError, match=r"TorchScript.*torch\.jit\.load"):
        read_checkpoint(file)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt", "nonsense.pt", "empty.bin"])
def test_a_damaged_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.startswith("cut"):
        (save_file if file.suffix == ".safetensors" else torch.save)(STATE, file)
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.write_bytes(b"nonsense" if name == "nonsense.pt" else b"")
    with pytest.raises(XprobeError, match=rf"{name}: not readable as weights: it is cut off") as e:
        read_checkpoint(file)
    assert "\n" not in str(e.value)


def put_shards(folder: Path, files: dict[str, str]) -> Path:
    for i, (name, tensor) in enumerate(STATE.items()):
        save_file({name: tensor}, folder / f"model-{i}.safetensors")
    index = folder / f"model.safetensors{INDEX}"
    index.write_text(json.dumps({"weight_map": files}))
    return index


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    index = put_shards(
        tmp_path, {"a.weight": "model-0.safetensors", "a.bias": "model-1.safetensors"}
    )
    assert locate_weights(tmp_path, ("model.safetensors",)) == index
    assert_state(read_checkpoint(index))


@pytest.mark.parametrize(
    ("shard", "said"),
    [
        ("../model-0.safetensors", "is no name of a file beside the index"),
        ("/etc/passwd", "is no name of a file beside the index"),
        ("model-7.safetensors", "the shard model-7.safetensors is missing"),
    ],
)
def test_an_index_names_files_beside_it_alone(shard: str, said: str, tmp_path: Path) -> None:
    index = put_shards(tmp_path, {"a.weight": shard})
    with pytest.raises(XprobeError, match=said):
        read_checkpoint(index)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', "[" * 100_000])
def test_a_damaged_index_is_refused(text: str, tmp_path: Path) -> None:
    index = tmp_path / f"model.safetensors{INDEX}"
    index.write_text(text)
    with pytest.raises(XprobeError, match="not readable as an index of shards"):
        read_checkpoint(index)
