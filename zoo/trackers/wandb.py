"""A run in Weights & Biases; the only file that imports wandb. Floor 0.

What its own variables say is respected, but for the run that a resume goes on with; what they leave open is chosen
here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo.errors import in_a_line
from zoo.trackers.tracker import Ending, Figures, Say, TrackedRun

INIT_SECONDS = 20  # W&B's own limit is 90; the figures of a short training would wait that long
_EXIT_CODES: dict[Ending, int] = {"finished": 0, "failed": 1, "stopped": 255}  # 255: what W&B has for Ctrl-C


def has_wandb() -> bool:
    """Whether the package is installed; it comes with ``zoo[wandb]``."""
    return find_spec("wandb") is not None


class Wandb:
    """Writes to a run, online or into the run folder."""

    def __init__(self) -> None:
        self._run: Any = None

    def begin(self, run: TrackedRun, say: Say) -> str:
        """Opens the run; offline where nobody is logged in or no server answers, unless WANDB_MODE is set."""
        import wandb

        chosen = {
            "project": ("WANDB_PROJECT", "zoo"),
            "name": ("WANDB_NAME", run.name),
            "dir": ("WANDB_DIR", run.folder),
        }
        arguments: dict[str, Any] = {
            key: value for key, (variable, value) in chosen.items() if not os.environ.get(variable)
        }
        arguments["settings"] = _settings()
        if run.kept is not None:
            arguments["id"] = run.kept
        try:
            self._run = wandb.init(**arguments, resume="allow" if run.kept is not None else None)
            why = "as W&B's settings say"
        except wandb.Error as error:
            if os.environ.get("WANDB_MODE"):
                raise
            self._run = wandb.init(**arguments, mode="offline")
            why = "nobody is logged in" if "API key" in str(error) else in_a_line(error)
        self._run.config.update(run.config, allow_val_change=True)  # a resumed run may have grown
        self._say_where(why, say)
        return str(self._run.id)

    def _say_where(self, why: str, say: Say) -> None:
        if self._run.disabled:
            say(f"nothing is kept, {why}", "info")
        elif self._run.offline:
            folder = Path(self._run.dir).parent
            say(f"offline ({why}); `wandb sync {folder}` uploads the run", "info")
        else:
            say(f"the run is at {self._run.url}", "info")

    def write(self, lines: Sequence[Figures]) -> None:
        """Hands them to W&B's own process."""
        for line in lines:
            self._run.log({**line.values, "_timestamp": line.at}, step=line.step)

    def finish(self, ending: Ending, figures: Figures) -> None:
        """Writes the outcome into the run's summary and waits until all is uploaded."""
        self._run.summary.update(figures.values)
        self._run.finish(exit_code=_EXIT_CODES[ending])


def _settings() -> Any:
    import wandb

    given: dict[str, Any] = {"silent": True, "console": "off"}
    if not os.environ.get("WANDB_INIT_TIMEOUT"):
        given["init_timeout"] = INIT_SECONDS
    if "x_stats_pid" in wandb.Settings.model_fields:  # not public: the process whose use of the machine is shown
        given["x_stats_pid"] = os.getppid()
    return wandb.Settings(**given)
