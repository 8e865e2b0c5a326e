"""The one set of weights of a network, whatever a checkpoint puts around it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.encoders.states import State, check_tensors, pick_state

FILE = Path("weights.pt")
WANTED = (
    "stem.weight",
    "stem.bias",
    "block.0.weight",
    "block.1.weight",
    "norm.num_batches_tracked",
)


def net(value: float = 1.0, prefix: str = "") -> State:
    """Return the weights of a small network, all with one value, without its counter."""
    return {f"{prefix}{k}": torch.full((2,), value) for k in WANTED[:-1]}


def picked(content: object, *, order: tuple[str, ...] = ()) -> State:
    return pick_state(content, WANTED, FILE, order)


FORMS: dict[str, Any] = {
    "plain": net(),
    "with what a training run keeps": {
        "epoch": torch.tensor(3), "model": net(), "lr": 0.1,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    },
    "of Lightning": {
        "state_dict": {**net(prefix="model."), "criterion.weight": torch.ones(3)},
        "callbacks": {"best": {"score": torch.tensor(0.5)}},
    },
    "of DataParallel": net(prefix="module."),
    "compiled": net(prefix="_orig_mod."),
    "compiled inside DataParallel inside Lightning": {
        "state_dict": net(prefix="net.module._orig_mod.")
    },
    "compiled in part": {
        k.replace("block.0", "block.0._orig_mod"): v for k, v in net().items()
    },
    "of a part of another network": {**net(prefix="encoder.backbone."), "decoder.x": torch.ones(1)},
    "beside a loss that keeps a tensor": {"teacher": net(), "dino_loss": {"center": torch.ones(9)}},
    "twice the same": {"state_dict": {**net(prefix="model."), **net(prefix="encoder.")}},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_the_weights_are_found_in_every_form(form: str) -> None:
    state = picked(FORMS[form])
    assert set(WANTED[:-1]) <= state.keys()
    assert all(torch.equal(state[k], v) for k, v in net().items())
    assert not any("criterion" in k or "decoder" in k for k in state)


AMBIGUOUS: dict[str, tuple[Any, str]] = {
    "student and teacher": ({"student": net(1), "teacher": net(2)}, r"student, teacher"),
    "two networks of one module": (
        {"state_dict": {**net(1, "model."), **net(2, "ema_model.module.")}},
        r"state_dict\[ema_model\.module\.…\], state_dict\[model\.…\]",
    ),
    "an average beside the weights": ({**net(1), "ema": net(2)}, r"\(top level\), ema"),
    "a compiled twin of other values": (
        {**net(1), **net(2, "_orig_mod.")}, r"\(top level\), \[_orig_mod\.…\]"
    ),
    "names of another library": (
        {"student": {"a": torch.ones(1)}, "teacher": {"a": torch.zeros(1)}}, r"student, teacher"
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", AMBIGUOUS)
def test_several_sets_are_refused_by_their_names(form: str) -> None:
    content, names = AMBIGUOUS[form]
    with pytest.raises(XprobeError, match=f"several sets of weights: {names}; save the one"):
        picked(content)


def test_the_choice_of_the_library_is_taken_and_said() -> None:
    content = {"model": net(1), "model_ema": net(2)}
    with pytest.warns(XprobeWarning, match="model_ema is used, as its library does, and not model"):
        state = picked(content, order=("model_ema", "model"))
    assert state["stem.bias"][0] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picked({"model": net(1), "epoch": 3}, order=("model_ema", "model"))


def test_a_preferred_set_without_a_part_is_not_replaced_by_another() -> None:
    content = {"model_ema": net(2), "model": net(1)}
    del content["model_ema"]["stem.bias"]
    with pytest.warns(XprobeWarning, match="model_ema is used"):
        state = picked(content, order=("model_ema",))
    assert "stem.bias" not in state


def test_what_lacks_a_part_still_loses_its_prefix_so_that_the_part_can_be_named() -> None:
    state = net(prefix="model.")
    del state["model.block.1.weight"]
    assert set(net()) - set(picked(state)) == {"block.1.weight"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "holds no weights"),
        ({"state_dict": {}}, "holds no weights"),
        ({"epoch": 3}, "holds no weights"),
        (torch.ones(3), "holds no weights"),
        ([net()], "holds no weights"),
        ({**net(), 3: torch.zeros(2)}, "a weight is named 3, which is no text"),
        ({"base_model.x.lora_A.weight": torch.ones(1)}, r"adapter \(LoRA\).*merge_and_unload"),
    ],
)
def test_what_is_no_network_is_refused_with_the_remedy(content: object, said: str) -> None:
    with pytest.raises(XprobeError, match=f"weights.pt: .*{said}"):
        picked(content)


ODD: dict[str, torch.Tensor] = {
    "complex64": torch.ones(2, dtype=torch.complex64),
    "int32": torch.ones(2, dtype=torch.int32),
    "bool": torch.ones(2, dtype=torch.bool),
    "uint8": torch.ones(2, dtype=torch.uint8),
    "float8_e4m3fn": torch.ones(2).to(torch.float8_e4m3fn),
    "sparse": torch.ones(2).to_sparse(),
    "without values": torch.ones(2, device="meta"),
    "NaN": torch.tensor([1, float("nan")]),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("is_known", [True, False])
def test_weights_that_are_no_plain_numbers_are_refused(kind: str, is_known: bool) -> None:
    wanted = {"stem.weight": torch.ones(2)} if is_known else {}
    with pytest.raises(XprobeError, match=f"stem.weight .*{kind}.*save"):
        check_tensors({"stem.weight": ODD[kind]}, wanted, FILE)


def test_half_precision_and_counters_are_plain_numbers() -> None:
    state = {
        "stem.weight": torch.ones(2, dtype=torch.float16),
        "stem.bias": torch.ones(2, dtype=torch.bfloat16),
        "position_ids": torch.arange(3),
    }
    check_tensors(state, {"position_ids": torch.arange(3)}, FILE)
