"""zoo: the recipe, built and trained as `zoo run` does it, with its listeners, without tests and checkpoints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import safetensors.torch

from loops.recipe import settle
from loops.task import Task
from loops.turns import Turns
from zoo.assemble.build import build
from zoo.assemble.options import RunOptions
from zoo.assemble.run import prepare
from zoo.data import Dataset
from zoo.data.dataset import ArraySplit
from zoo.events import EpochFinished, TrainingStarted
from zoo.train import ConsoleProgress, Listener, MetricsFile, RunFolder, Training, fit
from zoo.train.training import BatchesLike, BatchLike


@dataclass(frozen=True)
class TimedBatches:
    """A split's batches, the wait for each measured by the turns."""

    batches: BatchesLike
    turns: Turns

    @property
    def steps(self) -> int:
        return self.batches.steps

    @property
    def samples(self) -> int:
        return self.batches.samples

    @property
    def batch_size(self) -> int:
        return self.batches.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[BatchLike]:
        return iter(self.turns.watch(self.batches.epoch(epoch, start)))


def train(task: Task, turns: Turns) -> None:
    """Trains turn after turn; the test in the last epoch is not reached."""
    training = training_of(task)
    training.train = TimedBatches(training.train, turns)
    with tempfile.TemporaryDirectory() as folder, ConsoleProgress(quiet=True) as console:
        listeners: list[Listener] = [MetricsFile(RunFolder.at(folder)), console]
        events = fit(training)
        done = 0
        for event in events:
            for listener in listeners:
                listener(event)
            if isinstance(event, EpochFinished):
                turns.end(event.train["loss"])
                done += 1
            if done == task.turns:
                break
            if isinstance(event, TrainingStarted | EpochFinished):
                turns.begin()
        events.close()


def training_of(task: Task) -> Training:
    """The recipe's training on the task's images, from the task's weights."""
    checked = prepare(task.recipe, RunOptions(sets=task.sets), settle)
    split = ArraySplit(task.images, task.labels)
    dataset = Dataset("benchmark", split, split, task.classes)
    training = build(checked, dataset, task.device).training
    training.model.load_state_dict(safetensors.torch.load(task.weights))
    training.log_every = task.log_every
    return training
