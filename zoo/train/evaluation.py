"""Testing a network: loss, accuracy, predictions; with test-time augmentation where asked for. Floor 5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.optim.undoing import same_modes, same_randomness
from zoo.schema.recipe import TTA
from zoo.train.allocator import kept_memory
from zoo.train.metrics import Meter, is_sum
from zoo.train.ranks import Ranks
from zoo.train.runtime import Runtime
from zoo.train.scores import scores
from zoo.train.training import BatchesLike

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a test found. The arrays are in the order of ``indices``, and there where they were asked for.

    ``loss`` is the mean over samples, ``accuracy`` and ``accuracy_tta`` are fractions; ``probabilities`` are the
    softmax of the plain logits, NK, float32.
    """

    loss: float
    accuracy: float
    samples: int
    accuracy_tta: float | None = None
    labels: NDArray[np.int64] | None = None
    predictions: NDArray[np.int64] | None = None
    probabilities: NDArray[np.float32] | None = None
    indices: NDArray[np.int64] | None = None

    @property
    def figures(self) -> dict[str, float]:
        """``loss`` and ``accuracy``, and ``accuracy_tta`` where it was taken, for metrics and results."""
        figures = {"loss": self.loss, "accuracy": self.accuracy}
        return figures if self.accuracy_tta is None else {**figures, "accuracy_tta": self.accuracy_tta}

    @property
    def scores(self) -> dict[str, Any]:
        """What :func:`zoo.train.scores.scores` finds. Needs the arrays."""
        return {} if self.labels is None or self.probabilities is None else scores(self.labels, self.probabilities)

    def per_class(self, classes: tuple[str, ...]) -> dict[str, float]:
        """Each class's accuracy; of classes the split does not have, none. Needs the arrays."""
        if self.labels is None or self.predictions is None:
            return {}
        hits = self.predictions == self.labels
        members = {name: self.labels == number for number, name in enumerate(classes)}
        return {name: float(hits[member].mean()) for name, member in members.items() if member.any()}


def flip_views(forward: Forward, images_BCHW: Tensor) -> Tensor:
    """Mean logits of the images and their mirror images."""
    return (forward(images_BCHW) + forward(images_BCHW.flip(-1))) / 2


def flip_translate_views(forward: Forward, images_BCHW: Tensor) -> Tensor:
    """Half the mirrored centre, a quarter each of the mirrored one-pixel shifts up-left and down-right.

    The six views of airbench94 (Jordan 2024, arXiv 2404.00498): the shifts are crops of the image padded by one
    reflected pixel.
    """
    height, width = images_BCHW.shape[-2:]
    padded = F.pad(images_BCHW, (1, 1, 1, 1), mode="reflect")
    shifted = [padded[..., :height, :width], padded[..., 2 : height + 2, 2 : width + 2]]
    shifts = sum(flip_views(forward, view.contiguous(memory_format=_layout(images_BCHW))) for view in shifted)
    return flip_views(forward, images_BCHW) / 2 + shifts / 4


def _layout(images_BCHW: Tensor) -> torch.memory_format:
    channels_last = images_BCHW.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


_VIEWS: dict[str, Callable[[Forward, Tensor], Tensor]] = {"flip": flip_views, "flip_translate": flip_translate_views}


def with_views(forward: Forward, tta: TTA) -> Forward:
    """The forward pass that gives the mean logits of such views."""
    views = _VIEWS.get(tta)
    return forward if views is None else partial(views, forward)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``model.eval()`` without gradients and without touching the random state; every module's mode comes back."""
    with same_modes(model), same_randomness(model), torch.no_grad():
        model.eval()
        yield


class _Kept:
    """Labels, probabilities and indices of every batch, for the reports."""

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, labels_B: Tensor, logits_BK: Tensor, indices_B: Tensor) -> None:
        self._batches.append((labels_B, logits_BK.softmax(dim=1), indices_B))

    def join(self, ranks: Ranks) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Those of all ranks, in the order of the split."""
        own = [torch.cat(parts).cpu() for parts in zip(*self._batches, strict=True)]
        everyone = [parts for parts in ranks.gather(own) if parts]
        labels, probabilities, indices = (torch.cat(parts).numpy() for parts in zip(*everyone, strict=True))
        order = slice(None) if ranks.is_alone else np.argsort(indices)
        return labels[order], probabilities[order], indices[order]


def evaluate(
    model: nn.Module,
    batches: BatchesLike,
    loss: nn.Module,
    *,
    runtime: Runtime,
    tta: TTA = "none",
    keep: bool = False,
    forward: Forward | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Tests a placed model on every batch; one transfer to the host, at the end. Each of several ranks tests its part.

    ``keep`` keeps labels, predictions and probabilities; ``forward`` is the runtime's forward pass where there is
    one already (a compiled one is not compiled twice); ``on_batch`` is called before each batch and may raise.
    """
    forward = forward or runtime.forward(model)
    views = _VIEWS.get(tta)
    meter = Meter(runtime.device, loss_is_sum=is_sum(loss), ranks=runtime.ranks)
    hits_tta = torch.zeros((), dtype=torch.int64, device=runtime.device)
    kept = _Kept()
    with kept_memory(runtime.device), evaluating(model):
        for batch in batches.epoch(1):
            on_batch()
            if not batch.weight:
                continue
            images_BCHW, labels_B = runtime.images(batch.images), batch.labels.to(runtime.device)
            logits_BK = forward(images_BCHW)
            meter.add(loss(logits_BK, labels_B), logits_BK, labels_B)
            if keep:
                kept.add(labels_B, logits_BK, batch.indices)
            if views is not None:
                hits_tta += (views(forward, images_BCHW).argmax(dim=1) == labels_B).sum()
    figures = meter.read()
    samples = batches.samples
    if views is not None:
        runtime.ranks.add_up([hits_tta])
    accuracy_tta = None if views is None else hits_tta.item() / max(1, samples)
    evaluation = Evaluation(figures["loss"], figures["accuracy"], samples, accuracy_tta)
    if not (keep and samples):
        return evaluation
    labels, probabilities, indices = kept.join(runtime.ranks)
    predictions = probabilities.argmax(axis=1)
    return replace(evaluation, labels=labels, predictions=predictions, probabilities=probabilities, indices=indices)
