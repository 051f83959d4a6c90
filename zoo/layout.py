"""Where runs lie, and the names of what a run writes into its folder. Floor 0; cheap to import."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("runs")  # RUNS/NAME/0001: the runs of one recipe are numbered folders side by side

RECIPE = "recipe.yaml"  # as written
RESOLVED = "resolved.yaml"  # every value with its default
ARCHITECTURE = "architecture.yaml"  # the graph as built
LIBRARIES = "libraries"  # a folder: the block libraries that it uses
ENVIRONMENT = "env.json"
DATA = "data.json"  # the classes' names, the images' shape, the statistics that Normalize took
RANGE_TEST = "lr_find.json"
METRICS = "metrics.jsonl"  # an object for every epoch
METRICS_CSV = "metrics.csv"  # the same as a table
STEPS = "steps.jsonl"  # an object for every log interval
TENSORBOARD = "tensorboard"  # a folder
WANDB = "wandb"  # a folder
TRACKERS = "trackers.json"  # the ids that W&B and MLflow gave the run
RESULT = "result.json"  # there once the run is finished
END = "end.json"  # there where it ended otherwise: why
EVIDENCE = "evidence"  # a folder: what the report is made from
EVIDENCE_DATA = "evidence.json"  # in it, written last
FIGURES = "figures"  # a folder: the report's pictures
REPORT = "report.html"

CHECKPOINTS = "checkpoints"  # a folder of folders: LAST, BEST, older ones
LAST, BEST = "last", "best"
MANIFEST = "manifest.json"  # in each of these


def is_file(path: Path) -> bool:
    """Whether a file is there; no file is at what cannot be a path, such as a name of 300 letters."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Whether a folder is there; none is at what cannot be a path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder: every run begins by writing down its recipe with every value."""
    return is_file(path / RESOLVED)


def numbered(series: Path) -> list[Path]:
    """The folders that runs made there, first to last; a copy under another name is none."""
    found = (path for path in series.glob("[0-9]*") if path.name.isdecimal() and is_dir(path))
    return sorted(found, key=lambda path: int(path.name))
