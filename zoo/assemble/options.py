"""What a call of `zoo run` says beside the recipe. Floor 7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.diagnostics import Diagnostics
from zoo.errors import UsageError

Settle = Callable[[Diagnostics], None]  # shows warnings, raises ConfigError where there are errors
Note = Callable[[str], None]  # a line for people


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run; none of them changes what is learnt but ``sets`` and ``epochs``."""

    sets: tuple[str, ...] = ()
    run_dir: Path | None = None
    resume: bool = False
    epochs: float | None = None
    seed: int | None = None  # of one of several runs that differ in nothing else
    device: str = "auto"
    devices: int = 1
    data_dir: Path | None = None
    cache: bool = True
    quiet: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what is not there yet."""
        if self.devices > 1:
            raise UsageError("a run uses one device so far", help="leave --devices out, or start a run per device")

    def with_seed(self, seed: int) -> RunOptions:
        """The options of one of several runs that differ in their seed."""
        run_dir = self.run_dir / f"seed{seed}" if self.run_dir is not None else None
        return replace(self, sets=(*self.sets, f"seed={seed}"), run_dir=run_dir, seed=seed)

    @property
    def all_sets(self) -> tuple[str, ...]:
        """``--set`` in order, ``--epochs`` last."""
        if self.epochs is None:
            return self.sets
        epochs = int(self.epochs) if float(self.epochs).is_integer() else self.epochs
        return (*self.sets, f"train.epochs={epochs!r}")
