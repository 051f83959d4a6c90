"""What a call of `zoo run` says beside the recipe. Floor 7."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from zoo.data import LastOpened
from zoo.diagnostics import Diagnostics
from zoo.document import Override, read_sets
from zoo.launch import announced
from zoo.train.console import Said
from zoo.train.ranks import ALONE, Ranks, join
from zoo.train.runtime import choose_device

Settle = Callable[[Diagnostics], None]  # shows warnings, raises ConfigError where there are errors
_LONGEST_NAME = 200  # bytes; a file system takes 255


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; none of them changes what is learnt but ``sets``, ``varied`` and ``epochs``."""

    sets: tuple[str, ...] = ()  # as `--set` takes them
    run_dir: Path | None = None
    resume: bool = False
    epochs: float | None = None
    varied: tuple[Override, ...] = ()  # what tells one of several runs from the others
    several: tuple[str, ...] = ()  # how the command says that there are several
    device: str = "auto"
    ranks: Ranks = ALONE  # this process among those that train together
    data_dir: Path | None = None
    cache: bool = True
    quiet: bool = False
    said: Said | None = None  # what the run before said, of several
    last_opened: LastOpened | None = None  # its data

    @property
    def surroundings(self) -> dict[str, str | int]:
        """Where to train and where the data lie, as far as the command said so: options of `zoo run` by their name."""
        given: dict[str, str | int | None] = {
            "device": None if self.device == "auto" else self.device,
            "devices": None if self.ranks.is_alone else self.ranks.count,
            "data_dir": None if self.data_dir is None else str(self.data_dir),
        }
        return {name: value for name, value in given.items() if value is not None}

    def joined(self, timeout: float) -> RunOptions:
        """The options of this process once it has met those that train with it, where it was started as one of several.

        ``timeout`` is the seconds that a rank may keep the others waiting. Raises UsageError, WorkerError.
        """
        place = announced()
        if place.is_alone:
            return self
        device = torch.device(choose_device(self.device, place).value)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return replace(self, ranks=join(device.type, timeout))

    def for_one(self, varied: Sequence[Override], several: Sequence[str]) -> RunOptions:
        """The options of one of several runs, which these values tell from the others; each has a folder of its own."""
        name = _folder_name(",".join(map(str, varied)))
        name = name.replace("=", "") if len(varied) == 1 and varied[0].path == "seed" else name
        run_dir = self.run_dir / name if self.run_dir is not None else None
        return replace(self, run_dir=run_dir, varied=tuple(varied), several=tuple(several))

    @property
    def overrides(self) -> tuple[Override, ...]:
        """What is laid over the recipe: by ``--set`` in order, by what tells runs apart, by ``--epochs``."""
        found = (*read_sets(self.sets), *self.varied)
        if self.epochs is None:
            return found
        epochs = int(self.epochs) if float(self.epochs).is_integer() else self.epochs
        return (*found, Override("train.epochs", repr(epochs), "--epochs"))


def _folder_name(values: str) -> str:
    """A folder's name of what tells a run from others: whole where it can be one, else with a digest of the whole."""
    name = re.sub(r"[^\w.,=+-]+", "_", values)
    if name == values and len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"{name[:48]}-{hashlib.sha256(values.encode()).hexdigest()[:8]}"
