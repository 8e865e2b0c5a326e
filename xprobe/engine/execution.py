"""Where and how wide work runs: nothing that a result depends on."""

from __future__ import annotations

from dataclasses import dataclass

from xprobe.base.declared import EXECUTION, check_least, option
from xprobe.base.errors import OptionError


@dataclass(frozen=True)
class Execution:
    """How work is carried out; it is no part of any key.

    Attributes:
        workers: processes that train heads, or threads that read and forward images; None: one a
            core.
        device: torch device of logistic heads, fine-tunes and encoders; ``auto``: a GPU if there
            is one, of heads on many rows (`learners.solve.place`).
        memory_gib: features beyond this size are not held in memory, but read chunk by chunk in
            each pass of the solver.
        concurrent: fine-tunes at a time, each in a process of its own.
    """

    workers: int | None = option(
        None, "Threads or processes. Default: one a core.", panel=EXECUTION, least=1
    )
    device: str = option(
        "auto", "auto (a GPU if there is one), cpu, cuda, cuda:1 or mps.", panel=EXECUTION,
        values=("auto", "cpu", "cuda", "mps"),
    )  # fmt: skip
    memory_gib: float = option(
        2.0, "Features of up to this size are held in memory; larger ones are read from the store "
        "chunk by chunk in each pass of the solver.",
        panel=EXECUTION, least=0,
    )  # fmt: skip
    concurrent: int = option(
        1, "Fine-tunes at a time, each in a process of its own.", panel=EXECUTION, least=1
    )

    def __post_init__(self) -> None:
        check_least(self, OptionError)
