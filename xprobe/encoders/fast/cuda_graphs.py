"""Forward passes on a GPU as CUDA graphs: one launch a batch instead of hundreds of kernels.

Each kernel is launched by a call from Python, and the threads that feed the GPU hold up such calls
whenever they have Python's lock. A graph that was recorded once needs a single call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Function = Callable[["torch.Tensor"], "torch.Tensor"]


class Replayed:
    """A function of tensors on a GPU, which is recorded at the second call with one shape.

    The first call with a shape runs the function itself. So do all calls where recording fails, as
    it does for networks whose course depends on values. Where only memory was short, the next shape
    is recorded again: a batch that was halved needs less. Calls must not overlap, and the recording
    of one shape is kept at a time.
    """

    def __init__(self, function: Function, record: Callable[..., Function] | None = None) -> None:
        """Take a function, and the function that records it, by default `on_cuda`."""
        self._function, self._record = function, record or on_cuda
        self._shape: tuple[int, ...] = ()
        self._replay: Function | None = None
        self._can_record = self._has_room = True

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the function's value, in memory that the next call leaves alone.

        Raises:
            torch.OutOfMemoryError: the batch itself does not fit.
        """
        if tuple(x.shape) != self._shape:
            self._shape, self._replay = tuple(x.shape), None  # This frees the recording's memory.
            self._has_room = True
            return self._function(x)
        if self._replay is None and self._can_record and self._has_room:
            try:
                self._replay = self._record(self._function, x)
            except RuntimeError as error:
                if _is_of_memory(error):
                    self._has_room = False
                else:
                    self._can_record = False
        return self._replay(x) if self._replay else self._function(x)


def _is_of_memory(error: RuntimeError) -> bool:
    """Return whether memory was short; the end of a recording that broke off can hide that."""
    import torch

    return any(isinstance(e, torch.OutOfMemoryError) for e in (error, error.__context__))


def on_cuda(function: Function, x: torch.Tensor) -> Function:
    """Record a function for tensors of the shape of x."""
    import torch

    given = x.clone()
    # cuBLAS and cuDNN make a handle for each thread at its first pass, and cannot do so while it
    # records. This pass makes them, as earlier passes may have run in other threads.
    function(given)
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(x.device)
    # Other threads may copy images while this one records; the mode forbids it to this one alone.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        value = function(given)

    def replay(x: torch.Tensor) -> torch.Tensor:
        given.copy_(x)
        graph.replay()
        return value.clone()

    return replay
