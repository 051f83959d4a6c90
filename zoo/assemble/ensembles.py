"""Several trained runs tested as one: the probabilities of their networks averaged. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.assemble.members import Member, find_members, require_same_classes
from zoo.assemble.trained import TrainedRun, evaluate_run, open_run, require_views, views_of
from zoo.data import LastOpened
from zoo.errors import UsageError
from zoo.train import Evaluation, evaluate
from zoo.train.evaluation import with_views

Probabilities = NDArray[np.float64]  # NK


def evaluate_runs(
    runs: Sequence[str],
    *,
    checkpoint: str | None = None,
    tta: str | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Of one run what :func:`evaluate_run` finds; of several what their mean finds, and each of the ``members``.

    One network after the other is opened, on its own images; all are tested on the same. Raises UsageError where their
    classes or their test images differ, and what opening a run raises.
    """
    require_views(tta)
    members = find_members(runs, checkpoint)
    if len(members) == 1:
        (one,) = members
        return evaluate_run(str(one.path), checkpoint=one.checkpoint, tta=tta, device=device, data_dir=data_dir)
    votes, last = _Votes(), LastOpened()
    open_it = partial(open_run, device=device, data_dir=data_dir, last_opened=last)
    for member in members:  # no name here holds a network while the next one is opened
        votes.add(member, open_it(str(member.path), checkpoint=member.checkpoint), tta)
    return votes.outcome()


@dataclass
class _Votes:
    """What the runs that were tested said, and their sum."""

    members: list[dict[str, Any]] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    first: Path = Path()
    images: str = ""  # the fingerprint of the test split
    labels: NDArray[np.int64] | None = None
    plain: Probabilities = field(default_factory=lambda: np.zeros(()))
    with_tta: Probabilities = field(default_factory=lambda: np.zeros(()))

    def add(self, member: Member, opened: TrainedRun, tta: str | None) -> None:
        self._require_same(member, opened)
        base, views = opened.base, views_of(opened, tta)
        forward = base.runtime.forward(base.module)
        found = evaluate(base.module, base.test, base.loss, runtime=base.runtime, keep=True, forward=forward)
        seen = found
        if views != "none":
            forward = with_views(forward, views)
            seen = evaluate(base.module, base.test, base.loss, runtime=base.runtime, keep=True, forward=forward)
            found = replace(found, accuracy_tta=seen.accuracy)
        assert found.probabilities is not None
        assert seen.probabilities is not None
        self.labels = found.labels
        self.plain = self.plain + found.probabilities.astype(np.float64)
        self.with_tta = self.with_tta + seen.probabilities.astype(np.float64)
        self.members.append(
            {
                "run": str(member.path),
                "checkpoint": member.checkpoint,
                "loss": found.loss,
                "accuracy": found.accuracy,
                "accuracy_tta": found.accuracy_tta,
                "accuracy_interval": found.scores["accuracy_interval"],
            }
        )

    def _require_same(self, member: Member, opened: TrainedRun) -> None:
        classes, images = opened.dataset.classes, opened.dataset.test.fingerprint()
        if not self.members:
            self.classes, self.first, self.images = classes, member.path, images
        require_same_classes([(self.first, self.classes), (member.path, classes)])
        if images != self.images:
            raise UsageError(
                f"{member.path} and {self.first} are not tested on the same images",
                help="test them one by one; data.test: 0.2 holds the same images out in every fold, and zoo predict "
                "averages runs whatever they were tested on",
            )

    def outcome(self) -> dict[str, Any]:
        """The ensemble's figures as plain data."""
        assert self.labels is not None
        mean = _tested(self.plain / len(self.members), self.labels)
        used_tta = any(member["accuracy_tta"] is not None for member in self.members)
        with_tta = _tested(self.with_tta / len(self.members), self.labels).accuracy if used_tta else None
        return {
            "members": self.members,
            "samples": mean.samples,
            "cross_entropy": mean.loss,
            "accuracy": mean.accuracy,
            "accuracy_tta": with_tta,
            **mean.scores,
            "per_class": mean.per_class(self.classes),
        }


def _tested(probabilities_NK: Probabilities, labels_N: NDArray[np.int64]) -> Evaluation:
    """The figures of such probabilities; the loss is the cross-entropy, whatever the runs made smaller."""
    predictions = probabilities_NK.argmax(axis=1)
    of_truth = np.take_along_axis(probabilities_NK, labels_N[:, None], axis=1)
    return Evaluation(
        loss=float(-np.log(np.maximum(of_truth, np.finfo(np.float64).tiny)).mean()),
        accuracy=float((predictions == labels_N).mean()),
        samples=len(labels_N),
        labels=labels_N,
        predictions=predictions,
        probabilities=probabilities_NK.astype(np.float32),
    )
