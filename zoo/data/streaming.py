"""Sample by sample: decode, run albumentations, stack; in this process or in a loader's workers. Floor 2."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.data.decoding import one_thread
from zoo.data.draws import Integers
from zoo.data.samples import SamplePipeline
from zoo.errors import DataError, WorkerError

Rendered: TypeAlias = tuple[Tensor, Tensor]

_LOOK_EVERY_SECONDS = 1.0  # between looks at whether the workers are alive


class SampleRenderer:
    """Renders batches by treating their samples one by one.

    Raises WorkerError where a worker dies, or takes longer than ``worker_timeout`` seconds for a batch.
    """

    def __init__(self, pipeline: SamplePipeline, *, device: torch.device, workers: int, worker_timeout: float) -> None:
        self._pipeline, self._device = pipeline, device
        self._workers, self._worker_timeout = workers, worker_timeout

    def render(self, epoch: int, batches: Sequence[Integers]) -> Iterator[Rendered]:
        """Images (B, C, H, W) and labels of each batch."""
        rendered = self._in_workers(epoch, batches) if self._workers else self._here(epoch, batches)
        for images, labels in rendered:
            yield images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def _here(self, epoch: int, batches: Sequence[Integers]) -> Iterator[Rendered]:
        return (self._pipeline.batch(epoch, indices) for indices in batches)

    def _in_workers(self, epoch: int, batches: Sequence[Integers]) -> Iterator[Rendered]:
        before = signal.getsignal(signal.SIGCHLD)
        iterator = iter(self._loader(epoch, batches))
        # torch's handler would raise in whatever line runs when a worker dies, in the middle of a step; here the next
        # batch says so.
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
        failure: Exception | None = None
        try:
            for _ in batches:
                rendered = self._next(iterator)
                if isinstance(rendered, Exception):
                    failure = rendered
                    break
                yield rendered
        finally:
            del iterator  # ends the workers, by force after some seconds
        if failure is not None:
            raise failure

    def _loader(self, epoch: int, batches: Sequence[Integers]) -> DataLoader[Rendered | _Failure]:
        return DataLoader(
            _Work(self._pipeline, epoch, batches),
            batch_size=None,
            num_workers=min(self._workers, len(batches)),
            timeout=min(_LOOK_EVERY_SECONDS, self._worker_timeout),
            worker_init_fn=_begin,
            # Its seed comes from here: the global generator is the training's, which may resume in mid-epoch.
            generator=torch.Generator(),
            pin_memory=self._device.type == "cuda",
        )

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
    help: str | None

    def error(self) -> DataError:
        return DataError(self.message, help=self.help)


@dataclass(frozen=True)
class _Work(Dataset["Rendered | _Failure"]):
    """An epoch's batches, by number, as the loader's workers see them."""

    pipeline: SamplePipeline
    epoch: int
    batches: Sequence[Integers]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Rendered | _Failure:
        try:
            return self.pipeline.batch(self.epoch, self.batches[number])
        except DataError as error:
            return _Failure(error.message, error.help)


def _begin(worker: int) -> None:
    one_thread()
