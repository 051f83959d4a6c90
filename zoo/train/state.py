"""The state of a training: everything an interrupted run needs to go on as if nothing had been. Floor 5."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.diagnostics import and_more
from zoo.disk import disk_faults
from zoo.errors import CheckpointError
from zoo.train.checkpoint import Checkpoint, write_checkpoint
from zoo.train.early_stopping import Watched
from zoo.train.encoding import TensorStore, decode, encode, with_strides
from zoo.train.metrics import Meter
from zoo.train.runtime import machine_faults
from zoo.train.training import Training

# What torch, NumPy and Python raise for a state of the right form that holds something else than it should.
_OF_A_FORGED_STATE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError)
MOST_NAMED = 20  # tensors that do not fit, in one message


@dataclass
class Progress:
    """How far a training has come."""

    epoch: int = 1  # the one under way, counted from 1
    batch: int = 0  # batches of it that are done
    step: int = 0  # optimizer steps done in all
    steps_closed: bool = False  # all its steps are done, its test is not
    lr: float = 0.0  # of the last step
    lr_span: list[float] = field(default_factory=list)  # the least and the greatest group's of that step
    lrs: list[float] = field(default_factory=list)  # of the steps since the last one that was logged
    group_lrs: dict[str, list[float]] = field(default_factory=dict)  # the same of each group but the first
    images_per_second: float = 0.0  # the median step's, as this process or the one before it has it
    epoch_seconds: float = 0.0  # of its training steps
    train_seconds: float = 0.0  # of all training steps
    total_seconds: float = 0.0
    warm_up_seconds: float = 0.0  # of the passes before the first step, in all processes so far
    best_epoch: int | None = None
    best_accuracy: float | None = None
    last_train: dict[str, float] | None = None  # figures of the last whole epoch
    watched: Watched = field(default_factory=Watched)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Progress:
        """That of a checkpoint, which has it as plain data."""
        return cls(**{**saved, "watched": Watched(**saved.get("watched", {}))})

    def count_step(self, lrs: Mapping[str, float]) -> None:
        """One more step was taken, at these rates: each group's, by label."""
        self.lr, *_ = lrs.values()
        self.lr_span = [min(lrs.values()), max(lrs.values())]
        self.step += 1
        self.lrs.append(self.lr)
        for label, lr in list(lrs.items())[1:]:
            self.group_lrs.setdefault(label, []).append(lr)

    def count_seconds(self, seconds: float, images_per_second: float) -> None:
        """Training steps took so many more; their speed, 0 where too few were seen to know."""
        self.images_per_second = images_per_second or self.images_per_second
        self.epoch_seconds += seconds
        self.train_seconds += seconds

    @property
    def position(self) -> tuple[int, int, bool]:
        """What tells this state from any other of the training."""
        return self.epoch, self.batch, self.steps_closed

    @property
    def behind(self) -> int:
        """Whole epochs gone through, the last one perhaps not tested yet."""
        return self.epoch - 1 + self.steps_closed

    def note_accuracy(self, accuracy: float) -> bool:
        """Whether the epoch's accuracy is the best so far; if so it is remembered."""
        if self.best_accuracy is not None and accuracy <= self.best_accuracy:
            return False
        self.best_epoch, self.best_accuracy = self.epoch, accuracy
        return True

    def next_epoch(self) -> None:
        """Turns to the next epoch's first batch."""
        self.epoch, self.batch, self.steps_closed, self.epoch_seconds = self.epoch + 1, 0, False, 0.0


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seeds Python's, NumPy's and torch's generators, so that a training depends on nothing that ran before it.

    Each of several ranks draws numbers of its own (dropout), the first those that it would draw alone.
    """
    if rank:
        seed = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every generator that a training may draw from."""
    numpy_state = np.random.get_state()
    name, keys, *rest = numpy_state
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else [],
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Takes such a state back."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"]:
        states, index = state["cuda"], device.index or 0  # older checkpoints have those of all GPUs there were
        torch.cuda.set_rng_state(states[index if index < len(states) else 0], device)


def _state_tensors(model: nn.Module) -> TensorStore:
    store = TensorStore()
    for name, tensor in model.state_dict().items():
        store.put(name, tensor)
    return store


@contextmanager
def averaged(training: Training) -> Iterator[None]:
    """The model with its averaged weights, where there are such: as it is tested and saved."""
    with ExitStack() as stack:
        for averaging in training.averaging:
            stack.enter_context(averaging.applied())
        yield


def keep_averages(training: Training) -> None:
    """Puts the averaged weights into the model for good."""
    if training.averaging:
        with averaged(training):
            tested = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
        training.model.load_state_dict(tested)


def own_state(meter: Meter) -> dict[str, Any]:
    """What each of several ranks has for itself: all else is the same on all."""
    return {"random": random_state(meter.sums.device), "meter": {"sums": meter.sums.cpu(), "samples": meter.samples}}


def save(training: Training, progress: Progress, of_ranks: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes a checkpoint. ``model.safetensors`` holds what is tested: the averaged weights where there are such.

    ``of_ranks`` is every rank's :func:`own_state`, in order.
    """
    with averaged(training):
        tested = _state_tensors(training.model)
    store = TensorStore()
    state = {
        "progress": asdict(progress),
        **of_ranks[0],
        "others": list(of_ranks[1:]),
        "optimization": training.optimization.state_dict(),
        "averaging": [averaging.state_dict() for averaging in training.averaging],
        "scaler": None if training.runtime.scaler is None else training.runtime.scaler.state_dict(),
        # Only where the network in training is not the one tested.
        "model": dict(training.model.state_dict()) if training.averaging else None,
        "journals": {journal.name: _size(journal) for journal in _journals(training)},
    }
    plain = encode(state, "state", store)
    write_checkpoint(path, model=tested, training=store, state=plain, epoch=progress.behind, step=progress.step)


def _journals(training: Training) -> tuple[Path, ...]:
    return training.folder.journals if training.folder else ()


def _size(path: Path) -> int:
    """A journal's size once all of it is on the disk: one that is shorter after a power cut could not be cut to it."""
    if not path.exists():
        return 0
    with disk_faults(path), path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def restore(training: Training, meter: Meter, checkpoint: Checkpoint) -> Progress:
    """Puts a checkpoint's state into a training, bit for bit and stride for stride; cuts the journals back to it.

    Raises CheckpointError where it does not fit, naming the tensor; EnvironmentFault as ``machine_faults`` does.
    """
    try:
        # Short memory is no fault of the checkpoint's.
        with machine_faults(training.train.batch_size, training.settings.accumulate):
            return _restored(training, meter, checkpoint)
    except _OF_A_FORGED_STATE as error:
        raise CheckpointError(
            f"the checkpoint {checkpoint.path} does not fit this training: {error}",
            help="resume with the recipe the run was started with",
        ) from error


def _restored(training: Training, meter: Meter, checkpoint: Checkpoint) -> Progress:
    state = decode(checkpoint.state, checkpoint.tensors, checkpoint.strides)
    weights = state["model"]
    if weights is None:
        weights = {
            name: with_strides(tensor, checkpoint.model_strides.get(name)) for name, tensor in checkpoint.model.items()
        }
    load_tensors(training.model, weights, checkpoint.path)
    training.optimization.load_state_dict(state["optimization"])
    for averaging, saved in zip(training.averaging, state["averaging"], strict=True):
        averaging.load_state_dict(saved)
    if training.runtime.scaler is not None and state["scaler"]:
        training.runtime.scaler.load_state_dict(state["scaler"])
    _restore_own(training, meter, [state, *state.get("others", ())])
    cut_journals(training, state["journals"])
    return Progress.of(state["progress"])


def _restore_own(training: Training, meter: Meter, of_ranks: Sequence[dict[str, Any]]) -> None:
    """Gives this rank what it had; where there are more or fewer ranks than there were, the first takes all sums."""
    ranks, device = training.runtime.ranks, training.runtime.device
    if ranks.count == len(of_ranks):
        own = of_ranks[ranks.rank]
        meter.load(own["meter"]["sums"], own["meter"]["samples"])
        set_random_state(own["random"], device)
        return
    if not ranks.is_first:
        seed_everything(training.seed, ranks.rank)
        return
    meters = [one["meter"] for one in of_ranks]
    meter.load(sum(one["sums"] for one in meters), sum(one["samples"] for one in meters))
    set_random_state(of_ranks[0]["random"], device)


def require_fit(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], source: Path) -> None:
    """Raises CheckpointError naming each saved tensor that is not one of a network's ``own`` state, name and shape."""
    complaints = [f"{name} is missing" for name in own.keys() - saved.keys()]
    complaints += [f"{name} is not in the network" for name in saved.keys() - own.keys()]
    complaints += [
        f"{name} is {list(saved[name].shape)}, the network has {list(own[name].shape)}"
        for name in own.keys() & saved.keys()
        if saved[name].shape != own[name].shape
    ]
    if complaints:
        notes = and_more(sorted(complaints)[:MOST_NAMED], len(complaints))
        raise CheckpointError(f"the weights in {source} do not fit the network", code="weights-mismatch", notes=notes)


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Copies a state dict into a model, strides too. Raises CheckpointError naming each tensor that does not fit."""
    own = model.state_dict()
    require_fit(own, tensors, source)
    for name, tensor in own.items():
        saved = tensors[name]
        if tensor.stride() != saved.stride():
            _owner(model, name).data = torch.empty_strided(
                saved.shape, saved.stride(), dtype=tensor.dtype, device=tensor.device
            ).copy_(saved)
        else:
            tensor.copy_(saved)


def _owner(model: nn.Module, name: str) -> Tensor:
    module, _, leaf = name.rpartition(".")
    tensor: Tensor = getattr(model.get_submodule(module), leaf)
    return tensor


def cut_journals(training: Training, sizes: dict[str, int]) -> None:
    """Cuts the run folder's journals back to the bytes they had; to nothing where none are given."""
    for journal in _journals(training):
        size = sizes.get(journal.name, 0)
        if _size(journal) > size:
            with disk_faults(journal), journal.open("r+b") as file:
                file.truncate(size)
