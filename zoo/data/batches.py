"""Batches: the order of an epoch, and whoever turns sample indices into tensors. Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.data.ahead import Ahead
from zoo.data.dataset import Dataset, Description, Split
from zoo.data.draws import Integers
from zoo.data.resident import BatchedRenderer
from zoo.data.samples import SamplePipeline
from zoo.data.sampling import Kind, Sampling
from zoo.data.settings import WORKER_SECONDS
from zoo.data.sources import Known
from zoo.data.streaming import SampleRenderer, Setup, nothing
from zoo.data.transforms.batched.forms import Facts, NotBatchedError, Nothing, Shape
from zoo.data.transforms.catalogue import TransformSpec
from zoo.data.transforms.compositions import Step
from zoo.data.transforms.pipeline import batched_steps
from zoo.errors import DataError, UsageError
from zoo.launch import sharers

Backend = Literal["auto", "batched", "albumentations"]

# Pixels of an image: of larger ones albumentations, with OpenCV at work, makes more on a CPU (docs/benchmarks.md).
MOST_ON_A_CPU = 64 * 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Some images and their labels.

    ``images`` (B, C, H, W) float32 on the device; ``labels`` (B) int64 on the device, or (B, classes) float32 after
    CutMix or MixUp; ``indices`` (B) int64 on the CPU: which images of the split these are. Where several ranks share
    a batch, this is one's part: ``whole`` counts the images of all, and ``weight`` is the fraction that the part
    stands for. It is 0 where there are not two images for each rank, and none was left for this one: it gets what the
    others have, so that it can keep in step.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    whole: int
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.indices)


class Renderer(Protocol):
    """Turns samples into images and labels on the device."""

    def render(self, epoch: int, batches: Sequence[Integers], start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of each of an epoch's batches from ``start`` on, in order."""


@dataclass(frozen=True, eq=False)
class Batches:
    """A split in batches, epoch after epoch; order and draws are a function of (seed, epoch, sample) alone.

    ``sampling`` has what a sample is, ``order`` gives an epoch's, as ``sampling`` has them. ``backend`` says how
    transforms run, ``reason`` why they run so. ``steps``, ``samples`` and ``batch_size`` are those of the whole split,
    of each batch of which one of several ``ranks`` takes its part: every so many-th image.
    """

    renderer: Renderer
    sampling: Sampling
    order: Callable[[int], Integers]
    batch_size: int
    drop_last: bool
    backend: Literal["batched", "albumentations"]
    reason: str
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.steps == 0:
            raise DataError(
                f"drop_last leaves nothing: a batch is {self.batch_size} images, the split has {self.samples}",
                help=f"data.batch_size of {self.samples} at most",
            )

    @property
    def samples(self) -> int:
        """Samples in an epoch, of which `drop_last` may leave some out."""
        return len(self.sampling.labels)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return batches_of(self.samples, self.batch_size, drop_last=self.drop_last)

    def part(self, rank: int, ranks: int) -> Batches:
        """The same batches, of each of which one of several ranks takes its part."""
        return replace(self, rank=rank, ranks=ranks)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the one numbered ``start`` (from 0) on."""
        order = self.order(epoch)
        batches = [order[step * self.batch_size : (step + 1) * self.batch_size] for step in range(self.steps)]
        return self._batches(epoch, batches, self.rank, self.ranks, start)

    def batch(self, epoch: int, samples: Sequence[int]) -> Batch:
        """One batch of the samples asked for, as they come in that epoch; an index: that image the first time."""
        return next(self._batches(epoch, [np.asarray(samples, dtype=np.int64)], 0, 1))

    def _batches(
        self, epoch: int, batches: Sequence[Integers], rank: int, ranks: int, start: int = 0
    ) -> Iterator[Batch]:
        sharing = [sharers(len(samples), ranks) for samples in batches]
        parts = [samples[rank::of] if rank < of else samples[:0] for samples, of in zip(batches, sharing, strict=True)]
        given = [part if len(part) else whole for part, whole in zip(parts, batches, strict=True)]
        rendered = self.renderer.render(epoch, given, start)
        rows = zip(batches[start:], parts[start:], given[start:], rendered, strict=True)
        for whole, part, samples, (images, labels) in rows:
            indices = torch.from_numpy(samples % self.samples)
            yield Batch(images, labels, indices, len(whole), len(part) / len(whole))


def make_batches(
    split: Split,
    specs: Sequence[TransformSpec],
    *,
    batch_size: int,
    shuffle: bool,
    drop_last: bool = False,
    sampling: Kind = "all",
    repeats: int = 1,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dataset: Dataset | Description,
    workers: int = 0,
    worker_timeout: float = WORKER_SECONDS,
    worker_setup: Setup = nothing,
    backend: Backend = "auto",
) -> Batches:
    """The split's batches under these transforms.

    ``sampling`` and ``repeats`` say which images an epoch has, as :class:`Sampling` has them, where they ``shuffle``.
    ``backend`` auto takes the batched form where every transform has one, all images are of one size and, on a CPU,
    small; else albumentations per sample, in ``workers`` processes (0: in this one), each of which has
    ``worker_timeout`` seconds for a batch; ``worker_setup``, which has to pickle, is called first in those that are not
    forked. Raises UsageError where the batched form is asked for and there is none.
    """
    facts = _facts(split, specs, dataset)
    device = torch.device(device)
    ahead = shuffle and device.type == "cuda"
    drawn = Sampling(split.labels, seed, shuffle, sampling, repeats)
    renderer: Renderer
    chosen, reason, steps = _choose(split, specs, facts, backend, device)
    if chosen == "batched":
        renderer = BatchedRenderer(split, steps, facts, drawn, device=device, ahead=ahead)
    else:
        pipeline = SamplePipeline(split, tuple(specs), facts, drawn)
        renderer = SampleRenderer(
            pipeline, device=device, workers=workers, worker_timeout=worker_timeout, setup=worker_setup
        )
    order = Ahead(drawn.order) if ahead and chosen == "batched" else drawn.order
    return Batches(renderer, drawn, order, batch_size=batch_size, drop_last=drop_last, backend=chosen, reason=reason)


def batches_of(samples: int, batch_size: int, *, drop_last: bool) -> int:
    """How many batches so many images make."""
    return samples // batch_size if drop_last else -(-samples // batch_size)


def wants_statistics(specs: Sequence[TransformSpec]) -> bool:
    """Whether a Normalize takes the data's own mean and standard deviation: they cost a pass over the data."""
    return any(
        (spec.name == "Normalize" and not {"mean", "std"} <= set(spec.arguments)) or wants_statistics(spec.children)
        for spec in specs
    )


def _facts(split: Split, specs: Sequence[TransformSpec], dataset: Dataset | Description) -> Facts:
    mean, std = (dataset.mean, dataset.std) if wants_statistics(specs) else ((0.0,), (1.0,))
    assert mean is not None
    assert std is not None
    return Facts(mean, std, len(dataset.classes), len(split))


def _choose(
    split: Split, specs: Sequence[TransformSpec], facts: Facts, backend: Backend, device: torch.device
) -> tuple[Literal["batched", "albumentations"], str, tuple[Step, ...]]:
    if backend == "albumentations":
        return "albumentations", "asked for", ()
    try:
        shape = _shape(split)
        steps = batched_steps(specs, shape, facts)
    except NotBatchedError as reason:
        if backend == "batched":
            raise _not_batched(reason) from reason
        return "albumentations", str(reason), ()
    if backend == "batched":
        return "batched", "asked for", steps
    is_large = shape.height * shape.width > MOST_ON_A_CPU
    # One by one zoo's own would run on batches of one.
    own = [spec for spec, step in zip(specs, steps, strict=True) if spec.is_own and not isinstance(step.form, Nothing)]
    if is_large and device.type == "cpu" and not own:
        return "albumentations", f"faster on a CPU for images of {shape.height} x {shape.width}", ()
    return "batched", "every transform has a batched form", steps


def require_batched(specs: Sequence[TransformSpec], known: Known) -> None:
    """Raises UsageError where a transform has no batched form for images of a known shape (C, H, W)."""
    channels, height, width = known.image_shape
    facts = Facts((0.5,) * channels, (0.5,) * channels, known.classes, samples=1)
    try:
        batched_steps(specs, Shape(height, width, channels), facts)
    except NotBatchedError as reason:
        raise _not_batched(reason) from None


def _not_batched(reason: NotBatchedError) -> UsageError:
    message = f"transforms.backend: batched cannot be: {reason}"
    return UsageError(message, code="not-batched", help="take backend: auto")


def _shape(split: Split) -> Shape:
    if split.images is None:
        raise NotBatchedError("images are decoded one by one")
    height, width, channels = split.images.shape[1:]
    return Shape(height, width, channels)
