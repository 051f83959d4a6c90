"""Reading a run folder for its report: what is there is shown, what is not is left out. Floor 6."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, in_a_line
from zoo.layout import (
    ARCHITECTURE,
    CHECKPOINTS,
    ENVIRONMENT,
    MANIFEST,
    METRICS,
    RECIPE,
    REPORT,
    RESOLVED,
    RESULT,
    STEPS,
    numbered,
)
from zoo.report.evidence import Arrays, read_arrays, read_json

Data = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it. Texts and mappings are empty where the file is not there."""

    path: Path
    result: Data
    environment: Data
    epochs: list[Data]  # of metrics.jsonl
    steps: list[Data]  # of steps.jsonl
    recipe: str
    resolved: str
    architecture: str
    evidence: Data
    predictions: Arrays | None
    mistakes: Arrays | None
    cams: Arrays | None
    augmentations: Arrays | None

    @property
    def name(self) -> str:
        """The recipe's name, or the folder's."""
        return str(self.result.get("recipe") or self.path.resolve().parent.name)

    @property
    def went_on(self) -> bool:
        """Whether a longer training has begun since, and has no result of its own yet."""
        steps = self.result.get("steps")
        return steps is not None and any(line.get("step", 0) > steps for line in self.epochs)

    @property
    def classes(self) -> list[str]:
        """The classes' names."""
        return [str(name) for name in self.evidence.get("classes", [])]

    @property
    def remarks(self) -> dict[str, str]:
        """Why a report is not there."""
        return dict(self.evidence.get("remarks", {}))


def read_run(path: Path) -> Run:
    """Reads a run folder. Raises CheckpointError where it is none, or where a file in it is broken."""
    path = Path(path)
    if not any((path / name).exists() for name in (RESULT, METRICS, RESOLVED)):
        raise CheckpointError(
            f"{path} is no run folder",
            help=f"a run folder holds {METRICS} and {RESOLVED}; `zoo ls runs` lists them",
        )
    result = _json(path / RESULT)
    evidence = read_json(path, result.get("steps"))

    def arrays(name: str) -> Arrays | None:
        """Nothing of a recording that was cut short, or is a shorter training's."""
        return read_arrays(path, name) if evidence else None

    return Run(
        path=path,
        result=result,
        environment=_json(path / ENVIRONMENT),
        epochs=[line for line in _json_lines(path / METRICS) if line.get("event") == "epoch"],
        steps=_json_lines(path / STEPS),
        recipe=_text(path / RECIPE),
        resolved=_text(path / RESOLVED),
        architecture=_text(path / ARCHITECTURE),
        evidence=evidence,
        predictions=arrays("predictions"),
        mistakes=arrays("mistakes"),
        cams=arrays("cams"),
        augmentations=arrays("augmentations"),
    )


@dataclass(frozen=True)
class CheckpointFile:
    """A file of a checkpoint as its manifest lists it."""

    checkpoint: str
    file: str
    sha256: str


def checkpoint_files(path: Path) -> list[CheckpointFile]:
    """What the checkpoints' manifests list."""
    found = []
    for manifest in sorted((path / CHECKPOINTS).glob(f"*/{MANIFEST}")):
        files = _json(manifest).get("files", {})
        found += [CheckpointFile(manifest.parent.name, str(name), _sum(entry)) for name, entry in sorted(files.items())]
    return found


@dataclass(frozen=True)
class Sibling:
    """Another run of the same series."""

    name: str
    accuracy: float | None
    epochs: float | None
    href: str


def siblings(path: Path, limit: int = 12) -> list[Sibling]:
    """The newest other finished runs beside this one that have a report, newest first; broken ones are passed over."""
    here = path.resolve()
    runs = numbered(here.parent)
    if here not in runs:
        return []
    found = []
    for other in reversed([run for run in runs if run != here]):
        try:
            with folder_faults(other):
                result = _json(other / RESULT)
                accuracy = (result.get("test") or {}).get("accuracy")
                sibling = Sibling(
                    other.name, _figure(accuracy), _figure(result.get("epochs")), f"../{other.name}/{REPORT}"
                )
        except CheckpointError:
            continue
        if result and (other / REPORT).exists():
            found.append(sibling)
    return found[:limit]


@contextmanager
def folder_faults(path: Path) -> Iterator[None]:
    """Turns what our code trips over, where a run's file says what no run writes, into a CheckpointError."""
    try:
        yield
    except (AttributeError, TypeError, LookupError, ArithmeticError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged: a file in it says what no run writes",
            notes=[in_a_line(error)],
            help="mend or remove that file: what is not there is left out",
        ) from error


def _figure(value: Any) -> float | None:
    return None if value is None else float(value)


def _sum(entry: Any) -> str:
    return str(entry.get("sha256", "") if isinstance(entry, dict) else entry)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _json(path: Path) -> Data:
    return _mapping(path.read_bytes(), str(path)) if path.exists() else {}


def _json_lines(path: Path) -> list[Data]:
    """The objects of a journal; a last line that was cut off is dropped."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found += [_mapping(line, f"{path}:{number}")] if line.strip() else []
        except CheckpointError:
            if number < len(lines):
                raise
    return found


def _mapping(text: bytes, place: str) -> Data:
    """An object of JSON. Raises CheckpointError with its place."""
    try:
        data = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{place} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{place} is no mapping")
    return data
