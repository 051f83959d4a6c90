"""One optimizer step: forward and backward over its batches, then the update and all that follows it. Floor 5.

Nothing here waits for the device: losses, hits and what is not finite stay there as sums until somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.data.progressive import Size, resized
from zoo.models.heads import logits_of
from zoo.train.guard import FiniteGuard
from zoo.train.metrics import Meter, is_sum
from zoo.train.runtime import Runtime
from zoo.train.training import BatchLike, OptimizationLike, Training


class Stepper:
    """Takes the optimizer steps of a training.

    ``forward`` is the runtime's forward pass, ``meter`` holds the epoch's sums, ``guard`` watches for what is not
    finite.
    """

    def __init__(self, training: Training) -> None:
        runtime, model = training.runtime, training.model
        self.forward = runtime.forward(model)
        self.meter = Meter(runtime.device, loss_is_sum=is_sum(training.loss), ranks=runtime.ranks)
        self.guard = FiniteGuard(model, runtime.device, runtime.scaler, runtime.ranks)
        self._training = training
        self._objective = training.objective
        self._loss_is_sum = is_sum(training.loss)
        self._loss: Tensor | None = None  # of the batches so far
        self._indices: list[Tensor] = []  # likewise
        self._images = 0  # likewise

    def backward(self, batch: BatchLike, share: float, size: Size | None = None) -> None:
        """Adds a batch's gradients, which are this share of the step's.

        The network sees the images in this size, None: their own, in which a teacher sees them.
        """
        runtime = self._training.runtime
        images_BCHW = runtime.images(batch.images)
        labels = batch.labels.to(runtime.device, non_blocking=True)
        output = self.forward(resized(images_BCHW, size))
        loss = self._objective(output, labels, images_BCHW)
        if batch.weight:
            self.meter.add(loss, logits_of(output), labels)
            self._indices.append(batch.indices)
        self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()
        self._images += batch.whole
        # A mean over the step's images; a loss that is a sum over samples stays one.
        factor = float(batch.weight > 0) if self._loss_is_sum else share * batch.weight
        if loss.requires_grad:  # else everything is frozen for now
            runtime.fabric.backward(loss if factor == 1 else loss * factor)

    def update(self, step: int, lr: float) -> int:
        """Clips, updates unless something was not finite, moves schedules and averages on; gives the step's images."""
        training, optimization, runtime = self._training, self._training.optimization, self._training.runtime
        assert self._loss is not None
        if not runtime.ranks.is_alone:
            runtime.ranks.add_up([self._loss, *_gradients(training.model)])
        self.guard.observe(step, lr, self._loss, self._indices)
        apply_gradients(runtime, training.model, optimization, training.settings.grad_clip, self.guard.skip)
        optimization.zero_grad()
        optimization.after_step()
        for averaging in training.averaging:
            averaging.after_step(step)
        images = self._images
        self._loss, self._indices, self._images = None, [], 0
        return images


def _gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def _unscale(scaler: torch.amp.GradScaler, optimizers: Sequence[Optimizer]) -> list[Tensor]:
    """Takes the loss scale out of the gradients; 1 for each optimizer whose gradients overflowed, else 0.

    Optimizers without a gradient (their parameters are frozen) tell nothing. ``GradScaler.step`` is not used: it
    asserts that every optimizer has gradients, and waits for the device to learn whether to step.
    """
    overflows: list[Tensor] = []
    for optimizer in optimizers:
        if any(parameter.grad is not None for group in optimizer.param_groups for parameter in group["params"]):
            scaler.unscale_(optimizer)
            overflows += scaler._found_inf_per_device(optimizer).values()  # no public name for it
    return overflows


def apply_gradients(
    runtime: Runtime, model: nn.Module, optimization: OptimizationLike, clip: float | None, skip: Tensor | None = None
) -> None:
    """The update, with gradients unscaled and clipped to the norm ``clip``.

    It is left out where ``skip``, a tensor on the device, is 1, and where fp16 overflowed.
    """
    overflows = [] if runtime.scaler is None else _unscale(runtime.scaler, optimization.optimizers)
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    if overflows:
        skip = torch.stack(overflows if skip is None else [skip, *overflows]).amax()
    optimization.step(skip=skip)
    if overflows:
        runtime.scaler.update()
