"""When a forward pass on a GPU is recorded; only the recording itself needs a GPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from xprobe.encoders.fast.cuda_graphs import Replayed, on_cuda


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


class Recorder:
    """A stand-in for `on_cuda` that counts recordings and replays."""

    def __init__(self, error: Exception | None = None) -> None:
        self.recorded: list[int] = []
        self.replayed = 0
        self.error = error

    def __call__(
        self, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        self.recorded.append(len(x))
        if self.error:
            raise self.error

        def replay(x: torch.Tensor) -> torch.Tensor:
            self.replayed += 1
            return function(x)

        return replay


def test_a_shape_is_recorded_when_it_comes_again() -> None:
    record = Recorder()
    replayed = Replayed(double, record)
    for n in (8, 8, 8, 4, 4, 8):
        assert torch.equal(replayed(torch.full((n, 2), 3.0)), torch.full((n, 2), 6.0))
    assert record.recorded == [8, 4]
    assert record.replayed == 3


@pytest.mark.parametrize("error", [RuntimeError("capture"), torch.OutOfMemoryError("full")])
def test_what_cannot_be_recorded_runs_as_it_is(error: Exception) -> None:
    record = Recorder(error)
    replayed = Replayed(double, record)
    for _ in range(4):
        assert torch.equal(replayed(torch.ones(3)), torch.full((3,), 2.0))
    assert record.recorded == [3]


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_shape_is_recorded_after_another_was_too_large(is_hidden: bool) -> None:
    error: RuntimeError = torch.OutOfMemoryError("full")
    if is_hidden:
        error, error.__context__ = RuntimeError("capture"), error
    record = Recorder(error)
    replayed = Replayed(double, record)
    for n in (8, 8, 8):
        replayed(torch.ones(n))
    record.error = None
    for n in (4, 4, 4):
        assert torch.equal(replayed(torch.ones(n)), torch.full((n,), 2.0))
    assert record.recorded == [8, 4]
    assert record.replayed == 2


def test_what_cannot_be_recorded_is_not_tried_with_another_shape() -> None:
    record = Recorder(RuntimeError("capture"))
    replayed = Replayed(double, record)
    for n in (8, 8, 4, 4):
        replayed(torch.ones(n))
    assert record.recorded == [8]


def test_a_batch_that_does_not_fit_is_said_to_the_caller() -> None:
    def full(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        Replayed(full, Recorder())(torch.ones(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_gives_each_batch_its_own_value() -> None:
    graph = on_cuda(double, torch.zeros(3, device="cuda"))
    first, second = (
        graph(torch.ones(3, device="cuda")),
        graph(torch.full((3,), 2.0, device="cuda")),
    )
    assert first.tolist() == [2, 2, 2]
    assert second.tolist() == [4, 4, 4]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_thread_that_has_computed_nothing_yet_can_record() -> None:
    x = torch.ones(4, 4, device="cuda")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(on_cuda, lambda x: x @ x, x).result()(x).tolist() == [[4.0] * 4] * 4
