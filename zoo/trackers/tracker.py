"""What every tracker is told of a run, as plain data. Floor 0."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

CLOSING_SECONDS = 60  # for all that is still to be brought to a server once a run has ended
Ending = Literal["finished", "stopped", "failed"]
Level = Literal["info", "warning"]


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers know it. ``kept`` is the tracker's own id of it, where an earlier session began it there."""

    recipe: str
    name: str  # RECIPE/0001
    folder: str
    config: dict[str, Any] = field(default_factory=dict)  # the recipe with every value
    start_step: int = 0
    kept: str | None = None


@dataclass(frozen=True)
class Figures:
    """Scalars by their names, as they stood after an optimizer step. They may be written much later."""

    step: int
    values: dict[str, float]
    at: float = field(default_factory=time.time)  # seconds since 1970


@dataclass(frozen=True)
class Told:
    """What a tracker has to tell: a line for people, or the id that the run has there."""

    text: str = ""
    level: Level = "info"
    run: str | None = None


class Tracker:
    """Takes a run's figures. What it raises is told once; the training goes on without it."""

    title: str
    key: str  # in the recipe's section `tracking`

    def begin(self, run: TrackedRun) -> None:
        """The first step is about to be taken."""
        raise NotImplementedError

    def write(self, figures: Figures) -> None:
        """Takes figures; never waits."""
        raise NotImplementedError

    def finish(self, ending: Ending, figures: Figures) -> None:
        """The run has ended; ``figures`` are its outcome. Does not wait either: see :attr:`is_closed`."""
        raise NotImplementedError

    def heard(self) -> Iterator[Told]:
        """What it has told since it was last asked."""
        yield from ()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to be written."""
        return True

    def let_go(self) -> None:
        """Stops listening to it, whatever it is doing."""


Say = Callable[[str, Level], None]


class Backend(Protocol):
    """What a tracker's process does with what it is handed. It may wait for a server: nothing waits for it."""

    def begin(self, run: TrackedRun, say: Say) -> str:
        """Opens the run, or goes on with the one kept; says where it is. Returns its id."""

    def write(self, lines: Sequence[Figures]) -> None:
        """Writes all of them, or raises."""

    def finish(self, ending: Ending, figures: Figures) -> None:
        """Writes the outcome and closes the run; returns when all has arrived."""


def leaves(data: Any, separator: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested data, each with its path of keys and indices; a list of plain values is one."""
    if isinstance(data, Mapping) and data:
        items: Any = data.items()
    elif isinstance(data, list | tuple) and any(isinstance(item, list | tuple | Mapping) for item in data):
        items = enumerate(data)
    else:
        yield path, data
        return
    for key, value in items:
        yield from leaves(value, separator, f"{path}{separator}{key}" if path else str(key))
