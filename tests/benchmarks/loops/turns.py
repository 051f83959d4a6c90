"""Turns: one form trains while the others wait, and says how long it took. Imports no zoo."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Turn:
    """An epoch, by whichever clock. ``waited`` are the seconds of it that went into getting the next batch."""

    seconds: float
    waited: float
    loss: float  # mean over the epoch
    peak_bytes: int  # of the process, since it began


class Line(Protocol):
    """A line to whoever gives the turns: one end of a pipe."""

    def send(self, thing: Any, /) -> None: ...

    def recv(self) -> Any: ...


class Turns:
    """A form's side: ``begin`` waits to be called, ``end`` reports. Its clock runs between the two.

    On a machine that others use too, the processor's clock tells more than the wall's; it must be one thread then, for
    threads that wait for a neighbour's time slice spin.
    """

    def __init__(self, line: Line, device: str, clock: str) -> None:
        self._line, self._device = line, torch.device(device)
        self.now = CLOCKS[clock]
        self._began = self._waited = 0.0

    def begin(self) -> None:
        """Waits for the turn to come."""
        self._settle()
        self._line.recv()
        self._waited = 0.0
        self._began = self.now()

    def end(self, loss: Tensor | float) -> None:
        """Ends the turn, once the device has done all its work."""
        mean = float(loss)
        self._settle()
        seconds = self.now() - self._began
        self._line.send(Turn(seconds, self._waited, mean, _peak_bytes()))

    def watch(self, batches: Iterable[Any]) -> Watched:
        """The same batches, the wait for each measured."""
        return Watched(batches, self)

    def waited(self, seconds: float) -> None:
        """Counts time spent on waiting for a batch."""
        self._waited += seconds

    def _settle(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@dataclass(frozen=True)
class Watched:
    """Batches that tell how long each was waited for."""

    batches: Any
    turns: Turns

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        began = self.turns.now()
        for batch in self.batches:
            self.turns.waited(self.turns.now() - began)
            yield batch
            began = self.turns.now()


def _peak_bytes() -> int:
    """The most memory this process ever had. On Linux `getrusage` would count its parent's, too."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
