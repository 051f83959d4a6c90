"""The processes that train one network together, each on a device of its own. Floor 5.

Every rank holds the whole network and takes its part of every batch; the gradients are added up, so that all take
the same step. What people read and what is written comes from the first rank alone.

Decisions of the host are agreed upon: whatever rank a signal reaches, all stop after the same step. All methods but
the properties are meetings: every rank has to call them, in the same order.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # documented, not marked so
from torch.distributed.rendezvous import rendezvous

from zoo.errors import WorkerError, first_line
from zoo.launch import STORE_FD, Place, announced

T = TypeVar("T")

_LONGEST_WAIT = timedelta(days=7)  # for the first rank, which may download data or search a learning rate
_START_WAIT = timedelta(minutes=10)  # for the others to start and to import what they need


@dataclass(frozen=True, eq=False)
class Ranks(Place):
    """The ranks of a training as one of them sees them; by itself a process is the only one."""

    _store: Any = None
    _gpus: Any = None  # the group for tensors on GPUs; others go by the default group
    _tellings: Iterator[int] = field(default_factory=itertools.count)

    def told(self, make: Callable[[], T]) -> T:
        """What ``make``, called by the first rank alone, gives: numbers, text, tensors, lists and dicts of them.

        While it makes it there may be other meetings.
        """
        if self.is_alone:
            return make()
        value = make() if self.is_first else None
        key = f"told/{next(self._tellings)}"
        if self.is_first:
            with self._meeting():
                self._store.set(key, _packed(value))
            return cast(T, value)
        with self._meeting():
            self._store.wait([key], _LONGEST_WAIT)
            found: T = _unpacked(self._store.get(key))
        return found

    def meet(self, *, to_part: bool = False) -> None:
        """Waits until all are here, however long that takes; ``to_part`` lets all but the first go on at once.

        The first has to be the last to end: what is told lies with it.
        """
        if self.is_alone:
            return
        key = f"met/{next(self._tellings)}"
        with self._meeting():
            self._store.set(f"{key}/{self.rank}", b"")
            if self.is_first or not to_part:
                self._store.wait([f"{key}/{rank}" for rank in range(self.count)], _LONGEST_WAIT)

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in order: numbers, text, tensors, lists and dicts of them."""
        if self.is_alone:
            return [value]
        packed = torch.frombuffer(bytearray(_packed(value)), dtype=torch.uint8)
        with self._meeting():
            sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
            dist.all_gather(sizes, torch.tensor([len(packed)]))
            room = int(max(sizes))
            everyone = [torch.zeros(room, dtype=torch.uint8) for _ in range(self.count)]
            dist.all_gather(everyone, torch.cat([packed, packed.new_zeros(room - len(packed))]))
        return [_unpacked(one[: int(size)].numpy().tobytes()) for one, size in zip(everyone, sizes, strict=True)]

    def highest(self, number: int) -> int:
        """The largest number that any rank has. Waits for their hosts, for no device."""
        if self.is_alone:
            return number
        found = torch.tensor(number)
        with self._meeting():
            dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return int(found)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor the sum over all ranks, in place; one message for each dtype. The host does not wait."""
        if self.is_alone:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            alike = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            with self._meeting():
                dist.all_reduce(flat, group=self._group_of(flat))
            parts: tuple[Tensor, ...] = torch.split(flat, [tensor.numel() for tensor in alike])
            for tensor, part in zip(alike, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def take_over(self, tensors: Iterable[Tensor]) -> None:
        """Makes each tensor that of the first rank, in place."""
        if self.is_alone:
            return
        for tensor in tensors:
            dense = tensor.contiguous()
            with self._meeting(), torch.no_grad():
                dist.broadcast(dense, src=0, group=self._group_of(dense))
                tensor.copy_(dense)

    def _group_of(self, tensor: Tensor) -> Any:
        return self._gpus if tensor.is_cuda else None

    @contextmanager
    def _meeting(self) -> Iterator[None]:
        """Turns a rank that does not come into WorkerError; which one it was, whoever started them all can tell."""
        try:
            yield
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except RuntimeError as error:
            late = "imed out" in str(error)
            what = "another rank did not answer in time" if late else "the connection to another rank broke"
            raise WorkerError(
                f"rank {self.rank} of {self.count} stops: {what}",
                code="rank-lost",
                notes=(first_line(error),),
                help="the last checkpoint is kept: --resume goes on from it",
            ) from error


ALONE = Ranks()


@cache
def join(device_type: str, timeout: float) -> Ranks:
    """Meets the other ranks that are announced, once for the life of this process.

    ``timeout`` is the seconds that a rank may keep the others waiting. Raises WorkerError.
    """
    place = announced()
    if place.is_alone:
        return ALONE
    ranks = Ranks(place.rank, place.count, place.local_rank)
    limit, gpus = timedelta(seconds=timeout), None
    with ranks._meeting():
        store = _store_of(ranks)
        group = PrefixStore("group", store)
        dist.init_process_group("gloo", store=group, rank=ranks.rank, world_size=ranks.count, timeout=limit)
        if device_type == "cuda":
            # Its limit ends the process without a word: gloo's, which comes first, can be told.
            gpus = dist.new_group(backend="nccl", timeout=2 * limit + timedelta(seconds=60))
    return Ranks(ranks.rank, ranks.count, ranks.local_rank, PrefixStore("zoo", store), gpus)


def _store_of(place: Place) -> Any:
    """What all can read and write: of `zoo run --devices` on a socket that this machine alone reaches."""
    listening = os.environ.get(STORE_FD)
    if listening is None:
        return next(rendezvous("env://", timeout=_START_WAIT))[0]
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    socket = int(listening) if place.is_first else None
    return TCPStore(address, port, place.count, place.is_first, _START_WAIT, master_listen_fd=socket)


def _packed(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _unpacked(packed: bytes) -> Any:
    # Whoever reaches the port could send what it likes: data is all that is taken.
    return torch.load(io.BytesIO(packed), weights_only=True)
