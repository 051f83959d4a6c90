"""Learning from a trained network, beside the labels. Floor 5.

The teacher gets the very images that the network trains on, all transforms behind them (Beyer et al. 2022,
arXiv:2106.05237: a good teacher is consistent), in the network's own device, arithmetic and layout; where progressive
resizing makes them smaller, in their own size, which it knows. It is no part of the network: no checkpoint, no
optimizer and no count knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.heads import logits_of
from zoo.schema.recipe import DistillationSection
from zoo.train.metrics import is_sum
from zoo.train.runtime import Runtime


class Teacher:
    """A trained network as another's training asks it: in evaluation mode, without gradients.

    The module is placed as the runtime has it, and is its own no more.
    """

    def __init__(self, module: nn.Module, runtime: Runtime) -> None:
        self._forward = runtime.forward(runtime.place(module.eval().requires_grad_(False)))

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Its logits (B, K), float32."""
        with torch.no_grad():
            return self._forward(images_BCHW)


class Renormalized(nn.Module):
    """A network behind what turns images (B, C, H, W) of one normalisation into those of its own.

    It gets ``image * factor + offset``; each is one number, or one a channel.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, factor: Sequence[float], offset: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in (("factor", factor), ("offset", offset)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """The network's output."""
        return self.network(images_BCHW * self.factor + self.offset)  # type: ignore[no-any-return]


class Distillation:
    """A loss of labels, and beside it one of what a teacher makes of the same images.

    ``(1 - weight) * loss + weight * teacher's``, where the teacher's is, with its logits t and the network's s (B, K):

    - ``soft``: T² KL(softmax(t / T) || softmax(s / T)), T the temperature (Hinton et al. 2015, arXiv:1503.02531). T²
      keeps the gradients as large as they are at 1.
    - ``hard``: the cross-entropy of s with the class that t finds likeliest, never smoothed (Touvron et al. 2021,
      arXiv:2012.12877).

    It is the mean over the images, or the sum where the loss is one. The labels, mixed or not, go to the loss alone.
    """

    def __init__(self, loss: nn.Module, teacher: Callable[[Tensor], Tensor], settings: DistillationSection) -> None:
        self.teacher = teacher
        self._loss, self._weight = loss, settings.weight
        of_teacher = {"soft": self._soft, "hard": self._hard}
        self._of_teacher = of_teacher[settings.kind]
        self._temperature = settings.temperature
        self._is_sum = is_sum(loss)

    def __call__(self, output: Tensor, labels: Tensor, images_BCHW: Tensor) -> Tensor:
        """The loss, one number, of what the network gave for these images; of several heads the logits are taught."""
        taught = self._of_teacher(logits_of(output), self.teacher(images_BCHW))
        loss: Tensor = (1 - self._weight) * self._loss(output, labels) + self._weight * taught
        return loss

    def _soft(self, logits_BK: Tensor, teacher_BK: Tensor) -> Tensor:
        own, taught = ((each / self._temperature).log_softmax(dim=1) for each in (logits_BK, teacher_BK))
        divergence = F.kl_div(own, taught, reduction="sum" if self._is_sum else "batchmean", log_target=True)
        return self._temperature**2 * divergence

    def _hard(self, logits_BK: Tensor, teacher_BK: Tensor) -> Tensor:
        return F.cross_entropy(logits_BK, teacher_BK.argmax(dim=1), reduction="sum" if self._is_sum else "mean")
