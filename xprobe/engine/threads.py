"""Threads and cores of linear algebra, set on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Hold torch and BLAS to so many threads; 0: leave them as they are."""
    if not threads:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


def one_core() -> AbstractContextManager[None]:
    """Hold torch and BLAS to one thread."""
    return limited(1)


Item = TypeVar("Item")

Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the function of each item, in order, in as many threads as linear algebra may use.

    Each item takes one thread of linear algebra: products are so small that several threads would
    mostly wait for each other, and all other computations use one core anyway. Where there are
    fewer items than threads, they share the threads.
    """
    blas, items = _blas(), list(items)
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    at_once = max(1, min(threads, len(items)))
    with blas.limit(limits=threads // at_once), ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(function, items))


@cache
def _blas() -> ThreadpoolController:
    """Return the handle of the libraries of linear algebra; finding them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")
