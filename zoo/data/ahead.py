"""What an epoch needs, made while the one before it trains. Floor 2; no torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """A function of the epoch that is computed for the next one too, in a thread, as soon as it is asked for one.

    A GPU stands still between two epochs while the host draws; on a CPU all cores are busy training, and nothing is
    gained.
    """

    def __init__(self, compute: Callable[[int], T]) -> None:
        self._compute = compute
        self._next: tuple[int, Future[T]] | None = None

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="zoo-ahead")

    def __call__(self, epoch: int) -> T:
        """The function's value for an epoch."""
        ready = self._next
        if ready is not None and ready[0] == epoch + 1:  # this one was asked for already
            return self._compute(epoch)
        self._next = None  # what fails is not asked for again
        value = ready[1].result() if ready is not None and ready[0] == epoch else self._compute(epoch)
        self._next = epoch + 1, self._thread.submit(self._compute, epoch + 1)
        return value
