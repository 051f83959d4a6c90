"""What every form of the loop is given: one network with its weights, the images, the optimizer. Imports no zoo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import nn


class SkippedError(Exception):
    """A form that cannot run here; the message says why."""


@dataclass(frozen=True)
class Augment:
    """What happens to a training image before it is normalised; 0 leaves a thing out.

    ``pad`` pixels of black on every side and a crop back to the size, a mirror with probability ``flip``, a black
    square of ``hole`` pixels.
    """

    pad: int = 0
    flip: float = 0.0
    hole: int = 0


@dataclass(frozen=True)
class Task:
    """All that is trained, and for how long. A turn is an epoch of ``steps`` batches.

    ``images`` (n, height, width, channels) are just as many as an epoch takes. The learning rate falls linearly and
    would reach 0 after ``total_steps``, one turn after the last.
    """

    recipe: str
    sets: tuple[str, ...]
    source: str  # the network as a Python file of ordinary PyTorch classes, the last of which it is
    weights: bytes  # safetensors
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment
    loss: tuple[str, Mapping[str, Any]]
    optimizer: tuple[str, Mapping[str, Any]]
    batch_size: int
    steps: int
    turns: int
    device: str
    precision: str  # fp32 or bf16: the best of this machine
    threads: int
    workers: int
    log_every: int
    shared_data: bool
    clock: str  # wall, or cpu: what all threads of the process work, whatever else the machine does

    @property
    def total_steps(self) -> int:
        """Steps after which the learning rate is 0."""
        return (self.turns + 1) * self.steps

    @property
    def on_gpu(self) -> bool:
        """Whether the network runs on one."""
        return self.device.startswith("cuda")

    def network(self) -> nn.Module:
        """The network with its first weights: contiguous, on the CPU."""
        namespace: dict[str, Any] = {"__name__": "network"}
        exec(self.source, namespace)  # zoo's own text
        classes = [thing for thing in namespace.values() if isinstance(thing, type) and issubclass(thing, nn.Module)]
        module: nn.Module = [cls for cls in classes if cls.__module__ == "network"][-1]()
        module.load_state_dict(safetensors.torch.load(self.weights))
        return module

    def loss_function(self) -> nn.Module:
        """The loss, a mean over the batch."""
        name, arguments = self.loss
        module: nn.Module = getattr(nn, name)(**arguments)
        return module

    def optimizer_for(self, parameters: Iterable[nn.Parameter], **more: Any) -> torch.optim.Optimizer:
        """torch's own optimizer, as its users build it; ``more`` are further arguments."""
        name, arguments = self.optimizer
        optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(parameters, **arguments, **more)
        return optimizer

    def autocast(self) -> AbstractContextManager[Any]:
        """The best precision of this machine."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.precision == "bf16")
