"""Listeners that write metrics into the run folder: JSON lines and CSV. Floor 5; knows no torch."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.disk import disk_faults
from zoo.events import EpochFinished, Event, StepLogged
from zoo.train.folder import RunFolder

Listener = Callable[[Event], None]


class MetricsFile:
    """Writes ``metrics.jsonl`` and ``metrics.csv`` (an epoch a line) and ``steps.jsonl`` (a log interval a line).

    A log interval's line has the learning rate of each of its steps. A line is on disk before the call returns, so the
    checkpoint that follows knows the files' sizes.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def __call__(self, event: Event) -> None:
        """Takes an event. Raises EnvironmentFault where the disk refuses."""
        if isinstance(event, EpochFinished):
            line = epoch_line(event)
            _append(self._folder.metrics, json.dumps(line) + "\n")
            _append(self._folder.metrics_csv, _csv_line(line, header=not _has_content(self._folder.metrics_csv)))
        elif isinstance(event, StepLogged):
            line = {key: getattr(event, key) for key in ("epoch", "step", "loss", "accuracy", "lr", "lrs")}
            line |= {"group_lrs": event.group_lrs} if event.group_lrs else {}
            _append(self._folder.steps, json.dumps({"event": "step", **line}) + "\n", durable=False)


def epoch_line(event: EpochFinished) -> dict[str, Any]:
    """An epoch's line of ``metrics.jsonl``; ``test`` and ``validation`` are null where they were not taken.

    ``image_size`` is there where images are resized.
    """
    line = {
        "event": "epoch",
        "epoch": event.epoch,
        "step": event.step,
        "train": event.train,
        "test": event.test,
        "validation": event.validation,
        "lr": event.lr,
        "seconds": round(event.seconds, 3),
        "images_per_second": round(event.images_per_second, 1),
        "best": event.is_best,
    }
    return line if event.image_size is None else {**line, "image_size": list(event.image_size)}


_SPLITS = ("train", "test", "validation")


def _csv_line(line: dict[str, Any], *, header: bool) -> str:
    flat = {key: value for key, value in line.items() if key not in ("event", "image_size", *_SPLITS)}
    if "image_size" in line:
        flat["image_height"], flat["image_width"] = line["image_size"]
    for split in _SPLITS:
        for figure in ("loss", "accuracy"):
            flat[f"{split}_{figure}"] = (line[split] or {}).get(figure)
    text = io.StringIO()
    writer = csv.DictWriter(text, flat, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerow(flat)
    return text.getvalue()


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _append(path: Path, text: str, *, durable: bool = True) -> None:
    with disk_faults(path), path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
