"""``result.json``: the outcome of a run, in the order that docs/commands.md gives. Floor 5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.events import TrainingFinished
from zoo.train.evaluation import Evaluation
from zoo.train.state import Progress
from zoo.train.training import Training


def outcome(training: Training, progress: Progress, final: Evaluation, total_seconds: float) -> dict[str, Any]:
    """What the engine knows of ``result.json``: headlines are the last epoch's."""
    return {
        "epochs": _plain(min(progress.behind, training.epochs)),
        "stopped_early": progress.watched.has_stopped,
        "steps": progress.step,
        "seed": training.seed,
        "train": progress.last_train,
        "test": final.figures,
        "best": {"epoch": progress.best_epoch, "accuracy": progress.best_accuracy},
        "seconds": {"total": total_seconds, "train": progress.train_seconds, "warm_up": progress.warm_up_seconds},
        "images_per_second": progress.images_per_second,
        "device": str(training.runtime.device),
        "precision": training.runtime.precision,
    }


def _plain(number: float) -> float:
    """24, not 24.0: a whole number as a person would write it."""
    return int(number) if float(number).is_integer() else number


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
        **evaluation.scores,
        "per_class": evaluation.per_class(classes),
    }
    seconds = known["seconds"]
    return {
        "recipe": recipe,
        "model": model,
        "params": params,
        "epochs": known["epochs"],
        "stopped_early": known["stopped_early"],
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
            "warm_up": round(seconds["warm_up"], 3),
        },
        "images_per_second": round(known["images_per_second"], 1),
        "device": known["device"],
        "precision": known["precision"],
        "run_dir": str(run_dir),
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure that was asked for (``test_accuracy``, ``test_accuracy_tta``), its bar, and what was reached."""

    name: str
    bar: float
    reached: float | None

    @property
    def is_met(self) -> bool:
        """Whether the bar was reached."""
        return self.reached is not None and self.reached >= self.bar


def verdicts(target: Mapping[str, Any], test: Mapping[str, Any]) -> list[Verdict]:
    """A verdict on every figure of a target that has a bar; ``test`` holds the last test's figures."""
    return [
        Verdict(name, bar, test.get(name.removeprefix("test_")))
        for name, bar in target.items()
        if name.startswith("test_") and bar is not None
    ]


def judge(target: Mapping[str, float | None], test: Mapping[str, Any]) -> dict[str, Any] | None:
    """The target with ``met``: whether every figure asked for was reached. None where nothing was asked for."""
    found = verdicts(target, test)
    if not found:
        return None
    return {**{verdict.name: verdict.bar for verdict in found}, "met": all(verdict.is_met for verdict in found)}
