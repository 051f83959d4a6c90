"""Transforms over whole batches: drawn on the host once an epoch, applied on the device batch by batch. Floor 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.draws import Draws, Integers
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import Facts, NotBatchedError, Parameters, Shape
from zoo.data.transforms.catalogue import TransformSpec
from zoo.data.transforms.compositions import Step, in_turn
from zoo.data.transforms.mixing import Mix

Table = dict[str, Tensor]


def batched_steps(specs: Sequence[TransformSpec], shape: Shape, facts: Facts) -> tuple[Step, ...]:
    """The batched form of every transform. Raises NotBatchedError, naming the first that has none."""
    try:
        return in_turn(specs, shape, facts)
    except NotBatchedError as reason:
        raise NotBatchedError(f"no batched form: {reason}") from None


def draw_tables(
    steps: Sequence[Step], seed: int, epoch: int, indices: Integers, occurrences: Integers | None = None
) -> list[Parameters]:
    """Every step's parameters of these samples in this epoch: images, and how often each came before."""
    return [step.form.draw(Draws(seed, epoch, indices, step.stream, occurrences)) for step in steps]


@dataclass(frozen=True)
class Epoch:
    """One epoch's drawn parameters, and the split they are for, on the device.

    ``source`` (N, H, W, C) uint8, ``labels`` (N) int64; ``tables`` hold every sample's parameters, step by step, and
    ``image_of`` (samples) the image that each is of; None: each of its own.
    """

    steps: tuple[Step, ...]
    tables: Sequence[Table]
    source: Tensor
    labels: Tensor
    classes: int
    image_of: Tensor | None = None

    def batch(self, indices_B: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) float32 in channels_last memory, labels (B), or (B, classes) float32 after mixing.

        ``indices_B`` are the samples' places in the tables.
        """
        canvas, labels = self._render(indices_B, len(self.steps))
        return as_images(canvas.pixels_to_read()), labels

    def and_then(self, more: Epoch) -> Epoch:
        """The epoch with further samples of the same split behind its own. Both have to say which images theirs are."""
        assert self.image_of is not None
        assert more.image_of is not None
        tables = [
            {name: torch.cat([values, further[name]]) for name, values in table.items()}
            for table, further in zip(self.tables, more.tables, strict=True)
        ]
        return replace(self, tables=tables, image_of=torch.cat([self.image_of, more.image_of]))

    def _render(self, indices_B: Tensor, end: int) -> tuple[Canvas, Tensor]:
        mix = next((at for at in reversed(range(end)) if isinstance(self.steps[at].form, Mix)), None)
        if mix is None:
            images_B = indices_B if self.image_of is None else self.image_of[indices_B]
            canvas, labels = Canvas(self.source, images_B), self.labels[images_B]
        else:
            canvas, labels = self._mixed(indices_B, mix)
        for at in range(0 if mix is None else mix + 1, end):
            canvas = self.steps[at].form.apply(canvas, _rows(self.tables[at], indices_B))
        return canvas, labels

    def _mixed(self, indices_B: Tensor, at: int) -> tuple[Canvas, Tensor]:
        form, parameters = self.steps[at].form, _rows(self.tables[at], indices_B)
        assert isinstance(form, Mix)
        own, own_labels = self._render(indices_B, at)
        other, other_labels = self._render(parameters["partner"], at)
        labels = torch.lerp(
            one_hot(other_labels, self.classes), one_hot(own_labels, self.classes), parameters["kept"][:, None]
        )
        return form.mix(own, other, parameters), labels


def _rows(table: Table, indices_B: Tensor) -> Table:
    return {name: values.index_select(0, indices_B) for name, values in table.items()}


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (B) as shares of each class (B, classes) float32; those that are shares already stay."""
    return labels if labels.is_floating_point() else F.one_hot(labels, classes).to(torch.float32)


def as_images(pixels_BHWC: Tensor) -> Tensor:
    """Float32 images (B, C, H, W) in channels_last memory; uint8 ones, which no Normalize saw, are scaled to 0..1."""
    if pixels_BHWC.dtype == torch.uint8:
        pixels_BHWC = pixels_BHWC.to(torch.float32).div_(255)
    return pixels_BHWC.permute(0, 3, 1, 2)
