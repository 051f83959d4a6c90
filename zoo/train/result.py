"""``result.json``: the outcome of a run, in the order that docs/commands.md gives. Floor 5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.events import TrainingFinished
from zoo.train.evaluation import Evaluation


def make_result(
    finished: TrainingFinished,
    *,
    recipe: str,
    model: str,
    params: int,
    classes: tuple[str, ...],
    evaluation: Evaluation,
    target: Mapping[str, float | None],
    run_dir: Path,
    setup_seconds: float,
) -> dict[str, Any]:
    """The content of ``result.json``.

    ``evaluation`` is the last epoch's test (``Training.final``), ``target`` the recipe's section as a mapping,
    ``setup_seconds`` what passed before the engine started. Accuracies are fractions.
    """
    known = finished.result
    test = {
        "loss": evaluation.loss,
        "accuracy": evaluation.accuracy,
        "accuracy_tta": evaluation.accuracy_tta,
        "per_class": evaluation.per_class(classes),
    }
    seconds = known["seconds"]
    return {
        "recipe": recipe,
        "model": model,
        "params": params,
        "epochs": known["epochs"],
        "steps": known["steps"],
        "seed": known["seed"],
        "train": known["train"],
        "test": test,
        "best": known["best"],
        "target": judge(target, test),
        "seconds": {
            "total": round(setup_seconds + seconds["total"], 3),
            "train": round(seconds["train"], 3),
            "setup": round(setup_seconds, 3),
        },
        "images_per_second": round(known["images_per_second"], 1),
        "device": known["device"],
        "precision": known["precision"],
        "run_dir": str(run_dir),
    }


def judge(target: Mapping[str, float | None], test: Mapping[str, Any]) -> dict[str, Any] | None:
    """The target with ``met``: whether every figure asked for was reached. None where nothing was asked for."""
    asked = {name: bar for name, bar in target.items() if bar is not None}
    if not asked:
        return None
    reached = {name: test[name.removeprefix("test_")] for name in asked}
    return {**asked, "met": all(reached[name] is not None and reached[name] >= bar for name, bar in asked.items())}
