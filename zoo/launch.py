"""What whoever starts several processes tells each of them: in its environment, and by signals. Floor 0: no torch.

torchrun's variables (https://docs.pytorch.org/docs/stable/elastic/run.html); ``zoo run --devices`` gives the same.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

STORE_FD = "ZOO_STORE_FD"  # a listening socket that the first rank inherits: what is told to all is kept there
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@dataclass(frozen=True, eq=False)
class Place:
    """That of one process among those that train together; by itself a process is the only one."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0  # among those on this machine

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0


def announced() -> Place:
    """The place that the environment gives this process; alone where it says nothing of others."""
    given = [os.environ.get(name, "") for name in _VARIABLES]
    if not (all(given) and all(number.isdecimal() for number in given[:3])):
        return Place()
    rank, count, local_rank = map(int, given[:3])
    return Place(rank, count, local_rank) if count > 1 else Place()


def ending_signals() -> list[signal.Signals]:
    """The signals that end a training or a command in order; no SIGHUP where ``nohup`` has this process ignore it."""
    is_deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _ENDING if not (is_deaf and number == signal.SIGHUP)]


def die_of(number: int) -> None:
    """Ends this process as the signal does by default: for a forked worker, which has its parent's handlers."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def sharers(images: int, ranks: int) -> int:
    """How many ranks share a batch: batch norm wants two images of a part, so the last, smaller one fewer."""
    return min(ranks, max(1, images // 2))


def part_of(images: int, rank: int, ranks: int) -> int:
    """How many images of a batch are one rank's; 0 where it has none of so few."""
    of = sharers(images, ranks)
    return len(range(rank, images, of)) if rank < of else 0
