"""The engine with the real catalogues: data (with and without workers), optimization, averaged weights."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.train.small_world import small_net
from zoo.data import make_batches, open_dataset, parse_transforms
from zoo.data.samples import SamplePipeline
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, read_text
from zoo.errors import StoppedBySignal
from zoo.events import StepLogged
from zoo.optim import parse_optimization
from zoo.optim.averaging import EMA
from zoo.schema.recipe import TrainSection
from zoo.train import MetricsFile, RunFolder, Runtime, Training, count_steps, fit
from zoo.train.checkpoint import verify

RECIPE = """
data: {source: synthetic, shape: [3, 8, 8], classes: 4, train: 48, test: 16, batch_size: 8}
train: [HorizontalFlip, {RandomCrop: {height: 8, width: 8}}, Normalize]
eval: [Normalize]
optimizer: {name: SGD, momentum: 0.9, weight_decay: 1e-4, groups: [{kind: bias, weight_decay: 0}]}
schedule: {name: OneCycleLR, max_lr: 0.05, interval: step}
"""


def build(folder: RunFolder | None, workers: int, *, resume: bool = False, **drawn: Any) -> Training:
    told = Diagnostics()
    root = read_text(RECIPE, told, name="recipe.yaml")
    assert isinstance(root, Mapping)
    node: dict[str, Any] = {entry.key: entry.value for entry in root.entries}
    dataset = open_dataset(node["data"], seed=0)
    specs = {part: parse_transforms(node[part], told, where=part) for part in ("train", "eval")}
    backend = "albumentations" if workers else "auto"
    train = make_batches(
        dataset.train,
        specs["train"],
        batch_size=8,
        shuffle=True,
        seed=1,
        dataset=dataset,
        workers=workers,
        backend=backend,
        **drawn,
    )  # fmt: skip
    test = make_batches(dataset.test, specs["eval"], batch_size=16, shuffle=False, dataset=dataset)
    runtime, settings = Runtime.choose("cpu", "fp32"), TrainSection(epochs=2)
    model = runtime.place(small_net())
    steps = count_steps(train.steps, settings)
    spec = parse_optimization(node["optimizer"], node["schedule"], told)
    assert spec is not None
    assert not told.errors
    optimization = spec.build(model, steps_per_epoch=steps.per_epoch, epochs=2.0, diagnostics=told)
    return Training(
        model,
        nn.CrossEntropyLoss(),
        optimization,
        train,
        test,
        runtime,
        settings,
        averaging=[EMA(model, decay=0.8)],
        folder=folder,
        resume=resume,
        log_every=1,
    )


def trained(training: Training, *, stop_after: int | None = None) -> dict[str, Tensor]:
    """Trains; or saves in mid-epoch and lets go, as a stopped process would."""
    assert training.folder is not None
    metrics = MetricsFile(training.folder)
    if stop_after is not None:
        training.settings = training.settings.model_copy(
            update={"checkpoint": training.settings.checkpoint.model_copy(update={"every_minutes": 1e-9})}
        )
    for event in fit(training):
        metrics(event)
        if stop_after is not None and isinstance(event, StepLogged) and event.step == stop_after + 1:
            return {}
    return dict(training.model.state_dict())


@pytest.mark.parametrize("drawn", [{}, {"sampling": "sqrt", "repeats": 2}], ids=["all", "drawn"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stopped_in_mid_epoch_goes_on_exactly(tmp_path: Path, workers: int, drawn: dict[str, Any]) -> None:
    with RunFolder.create(tmp_path, "whole") as folder:
        whole = trained(build(folder, workers, **drawn))
        lines = folder.steps.read_text()
    with RunFolder.create(tmp_path, "parts") as folder:
        trained(build(folder, workers, **drawn), stop_after=3)
        again = trained(build(folder, workers, resume=True, **drawn))
        assert folder.steps.read_text() == lines
    for name, tensor in whole.items():
        assert tensor.equal(again[name]), name


def _signalled(folder: Path, after: float) -> None:
    """Trains in a process group of its own, which gets SIGTERM while the training waits for its worker."""
    os.setsid()
    torch.set_num_threads(1)  # as the whole run has
    multiprocessing.set_start_method("fork", force=True)  # so that the worker is as slow as it is made here
    prompt = SamplePipeline.batch

    def slow(*arguments: Any) -> Any:
        time.sleep(0.6)
        return prompt(*arguments)

    SamplePipeline.batch = slow
    signal_group = threading.Timer(after, os.killpg, (0, signal.SIGTERM))
    try:
        with RunFolder.at(folder) as held:
            training = build(held, 1)
            for event in fit(training):
                if isinstance(event, StepLogged) and event.step == 3:
                    signal_group.start()
    except StoppedBySignal as stopped:
        sys.exit(stopped.exit_code)


def test_a_signal_to_worker_and_training_stops_resumably(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "whole") as folder:
        whole = trained(build(folder, 1))
    process = multiprocessing.get_context("forkserver").Process(target=_signalled, args=(tmp_path / "run", 0.3))
    process.start()
    process.join(120)
    assert process.exitcode == 143
    verify(tmp_path / "run" / "checkpoints" / "last")
    with RunFolder.planned(tmp_path / "run", resume=True) as folder:
        again = trained(build(folder, 1, resume=True))
    for name, tensor in whole.items():
        assert tensor.equal(again[name]), name


def test_making_batches_leaves_the_random_state_alone() -> None:
    for workers in (0, 1):
        batches = build(None, workers).train
        before = torch.get_rng_state()
        next(iter(batches.epoch(1)))
        assert torch.get_rng_state().equal(before)
