"""Where the peers' batches come from: a DataLoader over single images, or whole batches made on the device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from loops.task import Task


class ByAlbumentations(Dataset[tuple[Tensor, int]]):
    """One image after the other through albumentations, as the originals do it."""

    def __init__(self, task: Task) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations as A
        from albumentations.pytorch import ToTensorV2

        augment, (height, width) = task.augment, task.images.shape[1:3]
        steps: list[Any] = []
        if augment.pad:
            padded = {"min_height": height + 2 * augment.pad, "min_width": width + 2 * augment.pad}
            steps += [A.PadIfNeeded(**padded), A.RandomCrop(height=height, width=width)]
        if augment.flip:
            steps.append(A.HorizontalFlip(p=augment.flip))
        if augment.hole:
            side = (augment.hole, augment.hole)
            steps.append(A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=side, hole_width_range=side, p=1.0))
        self._transform = A.Compose([*steps, A.Normalize(mean=task.mean, std=task.std), ToTensorV2()])
        self._images, self._labels = task.images, task.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(image=self._images[index])["image"], int(self._labels[index])


class Resident:
    """Whole batches from uint8 images on the device: cut, mirrored, covered and normalised in a few kernels."""

    def __init__(self, task: Task) -> None:
        self._augment, self._batch_size, self._device = task.augment, task.batch_size, torch.device(task.device)
        self._labels = torch.from_numpy(task.labels).to(self._device)
        pad = self._augment.pad
        images = torch.from_numpy(task.images).to(self._device)
        self._padded = F.pad(images, (0, 0, pad, pad, pad, pad))  # n, H + 2 pad, W + 2 pad, C
        self._rows, self._columns = (torch.arange(size, device=self._device) for size in task.images.shape[1:3])
        self._mean = 255 * torch.tensor(task.mean, device=self._device)
        self._scale = 1 / (255 * torch.tensor(task.std, device=self._device))

    def __len__(self) -> int:
        return -(-len(self._labels) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self._labels), device=self._device)
        for indices in order.split(self._batch_size):
            yield self._render(indices), self._labels[indices]

    def _render(self, indices: Tensor) -> Tensor:
        """Images (B, C, H, W) float32, in channels_last memory without a copy."""
        count, pad = len(indices), self._augment.pad
        rows = self._rows + self._draw(2 * pad + 1, count)  # B, H
        columns = self._columns + self._draw(2 * pad + 1, count)  # B, W
        if self._augment.flip:
            mirrored = torch.rand(count, 1, device=self._device) < self._augment.flip
            columns = torch.where(mirrored, columns.flip(1), columns)
        images = self._padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]  # B, H, W, C
        if self._augment.hole:
            images.masked_fill_(self._holes(count), 0)
        return images.float().sub_(self._mean).mul_(self._scale).permute(0, 3, 1, 2)

    def _holes(self, count: int) -> Tensor:
        """Which pixels a hole covers (B, H, W, 1)."""
        side = self._augment.hole
        top, left = (self._draw(len(line) - side + 1, count) for line in (self._rows, self._columns))
        in_rows = (self._rows >= top) & (self._rows < top + side)
        in_columns = (self._columns >= left) & (self._columns < left + side)
        return (in_rows[:, :, None] & in_columns[:, None, :])[..., None]

    def _draw(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count, 1), device=self._device)


def loader_for(task: Task) -> DataLoader[tuple[Tensor, int]] | Resident:
    """The usual loader; or, where the loops alone are compared, the same whole batches as the hand loop's."""
    if task.shared_data:
        return Resident(task)
    return DataLoader(
        ByAlbumentations(task),
        batch_size=task.batch_size,
        shuffle=True,
        num_workers=task.workers,
        persistent_workers=task.workers > 0,
        pin_memory=task.on_gpu,
    )
