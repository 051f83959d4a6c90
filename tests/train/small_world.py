"""A training small enough for tests that has all that could break a resume: batch norm, dropout, momentum, a schedule.

:func:`in_process` runs it in a process of its own, which a trap may kill at a given call or event.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from zoo.data.progressive import image_sizes
from zoo.errors import ZooError
from zoo.events import Event
from zoo.models.recomputing import recompute
from zoo.optim.frozen_statistics import freeze_statistics
from zoo.optim.running import GroupsView, Optimization, RunningGroup, RunningSchedule
from zoo.schema.recipe import EvalSection, TrainSection
from zoo.train import MetricsFile, RunFolder, Runtime, Training, fit, state
from zoo.train.ranks import ALONE, Ranks, join


@dataclass
class Small:
    """What a test may want different."""

    train: dict[str, Any] = field(default_factory=lambda: {"epochs": 3})
    evaluation: dict[str, Any] = field(default_factory=dict)
    samples: int = 90
    tests: int = 40
    plain: bool = False  # a network whose steps do not depend on how a batch is shared: no batch norm, no dropout
    timeout: float = 60.0  # seconds that ranks wait for each other
    batch_size: int = 16
    lr: float = 0.1
    seed: int = 3
    resume: bool = False
    poison: tuple[int, int] | None = None  # (epoch, batch) whose images hold a NaN
    reduction: str = "mean"
    precision: str = "fp32"
    ema: bool = False
    frozen: bool = False  # batch norm's statistics, and no dropout
    recomputed: bool = False  # activations, of each layer by itself
    fused: bool = True
    warms_up: bool = False  # as on a GPU
    forgets_random_state: bool = False  # a control: a resume that leaves out the random state


@dataclass
class SmallBatch:
    images: Tensor
    labels: Tensor
    indices: Tensor
    whole: int
    weight: float = 1.0


class SmallBatches:
    """Coloured noise whose mean tells the class; order and noise are functions of (seed, epoch)."""

    def __init__(self, samples: int, size: int, seed: int, *, shuffle: bool = True, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks
        self.samples, self.batch_size, self.seed, self.shuffle = samples, size, seed, shuffle
        self.steps = -(-samples // size)
        self.poison: tuple[int, int] | None = None
        generator = torch.Generator().manual_seed(11)
        self.labels = torch.randint(0, 4, (samples,), generator=generator)
        self.images = torch.randn(samples, 3, 8, 8, generator=generator)
        self.images[:, 0] += self.labels[:, None, None].float()

    def epoch(self, epoch: int, start: int = 0) -> Iterator[SmallBatch]:
        generator = torch.Generator().manual_seed(self.seed * 1000 + epoch)
        order = torch.randperm(self.samples, generator=generator) if self.shuffle else torch.arange(self.samples)
        for number, indices in enumerate(order.split(self.batch_size)):
            if number < start:
                continue
            sharing = min(self.ranks.count, max(1, len(indices) // 2))
            own = indices[self.ranks.rank :: sharing] if self.ranks.rank < sharing else indices[:0]
            given = own if len(own) else indices
            images = self.images[given].clone()
            if self.poison == (epoch, number) and self.ranks.is_first:
                images[0, 0, 0, 0] = float("nan")
            yield SmallBatch(images, self.labels[given], given, len(indices), len(own) / len(indices))


def small_net(*, plain: bool = False) -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Identity() if plain else nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Identity() if plain else nn.Dropout(0.2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def one_cycle(optimizer: torch.optim.Optimizer, lr: float, steps: int) -> Optimization:
    view = GroupsView(optimizer, range(len(optimizer.param_groups)))
    make = partial(OneCycleLR, view, max_lr=lr, total_steps=steps)
    schedule = RunningSchedule(make, view, by_step=True, count=steps)
    return Optimization([optimizer], [RunningGroup("all", 0, 0, (), 1.0)], [schedule])


class Average:
    """An exponential moving average as plain as can be."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.average = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def after_step(self, step: int) -> None:
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 0.1)

    def refresh_statistics(self, images: Iterable[Tensor]) -> None:
        pass

    def applied(self) -> _Applied:
        return _Applied(self)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average = state["average"]


class _Applied:
    def __init__(self, average: Average) -> None:
        self.average = average

    def __enter__(self) -> None:
        self.own = {name: tensor.clone() for name, tensor in self.average.model.state_dict().items()}
        self.average.model.load_state_dict(self.average.average)

    def __exit__(self, *exception: object) -> None:
        self.average.model.load_state_dict(self.own)


def small_training(small: Small, folder: RunFolder | None) -> Training:
    ranks = join("cpu", small.timeout)
    runtime = Runtime.choose("cpu", small.precision, ranks=ranks)
    model = runtime.place(small_net(plain=small.plain))
    if small.frozen:
        freeze_statistics(model, ["*"])
        model[3].p = 0.0  # type: ignore[index,union-attr]
    if small.recomputed:
        recompute(model, [name for name, _ in model.named_children()])
    settings = TrainSection.model_validate(small.train)
    train = SmallBatches(small.samples, small.batch_size, small.seed, ranks=ranks)
    train.poison = small.poison
    optimizer = torch.optim.SGD(model.parameters(), lr=small.lr, momentum=0.9, weight_decay=5e-4, fused=small.fused)
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(reduction=small.reduction),
        optimization=None,  # type: ignore[arg-type]  # made below: its schedule needs the steps
        train=train,
        test=SmallBatches(small.tests, 40, 0, shuffle=False, ranks=ranks),
        runtime=runtime,
        settings=settings,
        evaluation=EvalSection.model_validate(small.evaluation),
        averaging=[Average(model)] if small.ema else [],
        folder=folder,
        resume=small.resume,
        seed=small.seed,
        log_every=2,
    )
    if settings.progressive_resizing is not None:
        training.image_sizes = image_sizes(settings.progressive_resizing, (8, 8), training.steps.epochs)
    training.optimization = one_cycle(optimizer, small.lr, training.steps.total)
    return training


def run(training: Training) -> list[Event]:
    """Trains to the end with the metrics written, as a command would."""
    assert training.folder is not None
    metrics, events = MetricsFile(training.folder), []
    for event in fit(training):
        metrics(event)
        events.append(event)
    return events


def only(events: Sequence[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def tensors_of(training: Training) -> dict[str, Tensor]:
    """Weights, buffers and momentum, by name."""
    (optimizer,) = training.optimization.optimizers
    momentum = {f"momentum {n}": s["momentum_buffer"] for n, s in enumerate(optimizer.state.values())}
    return {**training.model.state_dict(), **momentum}


@dataclass
class Trap:
    """Sends the process a signal: inside the ``number``-th call of ``call``, or after an event that holds ``after``."""

    call: str = ""  # os.fsync, Path.rename, Path.open, or the network's forward
    number: int = 0
    after: str = ""
    signal: int = signal.SIGKILL
    times: int = 1

    def spring(self) -> None:
        for _ in range(self.times):
            os.kill(os.getpid(), self.signal)

    def lay(self) -> None:
        owner: Any = {"fsync": os, "forward": nn.Sequential}.get(self.call, Path)
        original, count = getattr(owner, self.call), 0

        def trapped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            if count == self.number:
                self.spring()
            return original(*arguments, **keywords)

        setattr(owner, self.call, trapped)


def in_ranks(
    folder: Path, small: Small, traps: Sequence[Trap | None] = (), count: int = 2, limit: float = 120.0
) -> list[tuple[int | None, str]]:
    """Trains in several new processes; of each its exit code (None: it hung and was killed) and what it had to say."""
    context = multiprocessing.get_context("forkserver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    saids = [folder.with_suffix(f".said{rank}") for rank in range(count)]
    processes = []
    for rank, said in enumerate(saids):
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
        environment = {"MASTER_ADDR": "127.0.0.1"} | {name: str(number) for name, number in numbers.items()}
        trap = traps[rank] if rank < len(traps) else None
        processes.append(context.Process(target=_train, args=(folder, small, trap, said, environment)))
        processes[-1].start()
    ends: list[int | None] = []
    for rank, process in enumerate(processes):
        trap = traps[rank] if rank < len(traps) else None
        process.join(0 if trap and trap.signal is signal.SIGSTOP else limit)  # who is stopped never ends
        ends.append(process.exitcode)
        process.kill()
    return [(code, said.read_text() if said.exists() else "") for code, said in zip(ends, saids, strict=True)]


def in_process(folder: Path, small: Small, trap: Trap | None = None) -> tuple[int, str]:
    """Trains in a new process; its exit code (negative: the signal that killed it) and what it had to say."""
    context = multiprocessing.get_context("forkserver")
    said = folder.with_suffix(".said")
    process = context.Process(target=_train, args=(folder, small, trap, said, {}))
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode, said.read_text()


def _train(folder: Path, small: Small, trap: Trap | None, said: Path, environment: dict[str, str]) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment)
    is_first = environment.get("RANK", "0") == "0"
    with said.open("w", buffering=1) as out:
        try:
            if trap and trap.call:
                trap.lay()
            if small.warms_up:
                Runtime.warms_up = True  # type: ignore[method-assign,assignment]
            if small.forgets_random_state:
                state.set_random_state = lambda *saved: None
            taken = RunFolder.planned(folder, resume=True) if small.resume else RunFolder.at(folder)
            with taken if is_first else nullcontext() as held:
                training = small_training(small, held)
                metrics = MetricsFile(held) if held is not None else None
                for event in fit(training):
                    if metrics is not None:
                        metrics(event)
                    out.write(f"{event}\n")
                    if trap and trap.after and trap.after in repr(event):
                        trap.spring()
        except ZooError as error:
            out.write(f"{type(error).__name__}: {error.message}\n")
            for note in error.notes:
                out.write(f"{note.message}\n")
            sys.exit(error.exit_code)


def traces(folder: Path) -> dict[str, Any]:
    """What of a finished run may not depend on interruptions: the tensors' bytes, metrics but for times."""
    last = folder / "checkpoints" / "last"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    times = ("seconds", "images_per_second")
    return {
        "model": (last / "model.safetensors").read_bytes(),
        "training": (last / "training.safetensors").read_bytes(),
        "metrics": [{key: value for key, value in line.items() if key not in times} for line in lines],
        "steps": (folder / "steps.jsonl").read_text(),
        "best": (folder / "checkpoints" / "best" / "model.safetensors").read_bytes(),
    }
