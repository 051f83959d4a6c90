"""Sample by sample: decode, run albumentations, stack; in this process or in a loader's workers. Floor 2.

Workers stay from epoch to epoch: one that is not forked takes seconds to start, and gets a copy of the split.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.decoding import one_thread
from zoo.data.draws import Integers
from zoo.data.samples import SamplePipeline
from zoo.diagnostics import Span
from zoo.errors import DataError, WorkerError

Rendered: TypeAlias = tuple[Tensor, Tensor]
Order: TypeAlias = tuple[int, Integers]  # an epoch, and the samples of a batch
Setup = Callable[[], object]

_LOOK_EVERY_SECONDS = 1.0  # between looks at whether the workers are alive


def nothing() -> None:
    """The setup of workers that need none."""


class SampleRenderer:
    """Renders batches by treating their samples one by one.

    ``setup`` is called in every worker that is started anew and not forked, before the split gets there. Raises
    WorkerError where a worker dies, or takes longer than ``worker_timeout`` seconds for a batch.
    """

    def __init__(
        self, pipeline: SamplePipeline, *, device: torch.device, workers: int, worker_timeout: float,
        setup: Setup = nothing,
    ) -> None:  # fmt: skip
        self._pipeline, self._device = pipeline, device
        self._workers, self._worker_timeout, self._setup = workers, worker_timeout, setup
        self._idle: _Crew | None = None  # workers that have done all they were asked for

    def render(self, epoch: int, batches: Sequence[Integers], start: int = 0) -> Iterator[Rendered]:
        """Images (B, C, H, W) and labels of each batch from ``start`` on; a single one is not worth a worker."""
        batches = batches[start:]
        helped = self._workers > 0 and len(batches) > 1
        rendered = self._in_workers(epoch, batches) if helped else self._here(epoch, batches)
        for images, labels in rendered:
            yield images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def _here(self, epoch: int, batches: Sequence[Integers]) -> Iterator[Rendered]:
        return (self._pipeline.batch(epoch, indices) for indices in batches)

    def _in_workers(self, epoch: int, batches: Sequence[Integers]) -> Iterator[Rendered]:
        crew, iterator = self._ordered([(epoch, indices) for indices in batches])
        failure: Exception | None = None
        try:
            for _ in batches:
                rendered = self._next(iterator)
                if isinstance(rendered, Exception):
                    failure = rendered
                    break
                yield rendered
            else:
                self._idle = crew
        finally:
            del crew, iterator  # ends workers with work left, by force after some seconds
        if failure is not None:
            raise failure

    def _ordered(self, orders: Sequence[Order]) -> tuple[_Crew, Iterator[Rendered | _Failure]]:
        """Workers that have begun on these orders: those who are idle, if they are enough and alive, else new ones."""
        workers = min(self._workers, len(orders))
        crew, self._idle = self._idle, None
        if crew is not None and crew.workers >= workers:
            try:
                return crew, crew.begin(orders)
            except (RuntimeError, OSError, EOFError):  # one of them is gone
                pass
        work = _Work(_Setup(self._setup), replace(self._pipeline))  # a pipeline with nothing built yet
        crew = _Crew(work, workers, min(_LOOK_EVERY_SECONDS, self._worker_timeout), pinned=self._device.type == "cuda")
        return crew, crew.begin(orders)

    def _next(self, iterator: Iterator[Rendered | _Failure]) -> Rendered | Exception:
        """The next batch, or the error due: raised in here, it would keep the iterator and its workers alive."""
        deadline = time.monotonic() + self._worker_timeout
        while True:
            try:
                rendered = next(iterator)
            except (RuntimeError, OSError, EOFError) as error:
                failure = self._judged(error, late=time.monotonic() >= deadline)
                if failure is not None:
                    return failure
            else:
                return rendered.error() if isinstance(rendered, _Failure) else rendered

    def _judged(self, error: Exception, *, late: bool) -> Exception | None:
        """What the loader's words mean; None to go on waiting. A worker that dies may also just break its pipe."""
        message = str(error)
        if message.startswith("DataLoader timed out"):
            hangs = f"a loader worker hangs: no batch in {self._worker_timeout:g} s"
            help = "raise data.worker_timeout, or take data.workers: 0 to see what it waits for"
            return WorkerError(hangs, help=help) if late else None
        if message.startswith("DataLoader worker") or isinstance(error, ConnectionError | EOFError):
            help = "it may have been killed for memory; data.workers: 0 runs its work in this process"
            return WorkerError(f"a loader worker died: {message}", help=help)
        return error


@dataclass(frozen=True)
class _Failure:
    """A DataError on its way out of a worker: exceptions with keyword arguments do not survive pickling."""

    message: str
    notes: tuple[str, ...]
    help: str | None
    span: Span | None

    def error(self) -> DataError:
        return DataError(self.message, notes=self.notes, help=self.help, span=self.span)


@dataclass(frozen=True)
class _Setup:
    """Something that is done wherever this is unpickled."""

    call: Setup

    def __reduce__(self) -> tuple[Callable[[Setup], _Setup], tuple[Setup]]:
        return _set_up, (self.call,)


def _set_up(call: Setup) -> _Setup:
    call()
    return _Setup(call)


@dataclass(frozen=True)
class _Work(Dataset["Rendered | _Failure"]):
    """Batches by their orders, as the workers make them.

    Fields are unpickled in order: the setup is done by the time the pipeline needs what it brings.
    """

    setup: _Setup
    pipeline: SamplePipeline

    def __getitem__(self, order: Order) -> Rendered | _Failure:
        try:
            return self.pipeline.batch(*order)
        except DataError as error:
            return _Failure(error.message, tuple(note.message for note in error.notes), error.help, error.span)


class _Crew:
    """A loader's workers, who make batches on orders, one list of them after another."""

    def __init__(self, work: _Work, workers: int, timeout: float, *, pinned: bool) -> None:
        self.workers = workers
        self._orders: list[Order] = []
        self._loader: DataLoader[Rendered | _Failure] = DataLoader(
            work,
            sampler=self._orders,  # read from its beginning whenever iteration begins
            batch_size=None,
            num_workers=workers,
            persistent_workers=True,
            timeout=timeout,
            worker_init_fn=_begin,
            # Its seed comes from here: the global generator is the training's, which may resume in mid-epoch.
            generator=torch.Generator(),
            pin_memory=pinned,
        )

    def begin(self, orders: Sequence[Order]) -> Iterator[Rendered | _Failure]:
        """What comes of these orders, in their order. All of it has to be taken before others can be given."""
        self._orders[:] = orders
        before = signal.getsignal(signal.SIGCHLD)
        iterator = iter(self._loader)
        # torch's handler would raise in whatever line runs when a worker dies, in the middle of a step; here the next
        # batch says so.
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
        return iterator


def _begin(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches workers too; the training ends them in its own time
    one_thread()
