"""timm's way to train, put together from its public pieces: loader, optimizer factory, scheduler, meters.

As with its training script under ``--amp --channels-last``: the loss is fetched at every step, for the meter. The
augmentation is the task's, not ImageNet's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import create_loader
from timm.data.random_erasing import RandomErasing
from timm.optim import create_optimizer_v2
from timm.scheduler import PolyLRScheduler
from timm.utils import AverageMeter
from torch import nn
from torch.optim import Optimizer
from torchvision import transforms

from loops.loaders import Resident
from loops.task import Task
from loops.turns import Turns

LOG_INTERVAL = 50  # the script's default

log = logging.getLogger("train")


class Pictures:
    """Pictures as timm's loader wants them: PIL's in, whatever ``transform`` makes of them out."""

    def __init__(self, task: Task) -> None:
        self._images, self._labels = task.images, task.labels
        self.transform: Callable[[Any], Any] | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture = Image.fromarray(self._images[index].squeeze())
        return (self.transform(picture) if self.transform else picture), int(self._labels[index])


def loader_of(task: Task) -> Any:
    """``create_loader``, which normalises on the device, with the task's augmentation in place of its own."""
    if task.shared_data:
        return Resident(task)
    height, width, channels = task.images.shape[1:]
    device = torch.device(task.device)
    loader = create_loader(
        Pictures(task),
        input_size=(channels, height, width),
        batch_size=task.batch_size,
        is_training=True,
        no_aug=True,
        mean=task.mean,
        std=task.std,
        num_workers=task.workers,
        pin_memory=task.on_gpu,
        device=device,
    )
    augment, steps = task.augment, list[Any]()
    if augment.pad:
        steps.append(transforms.RandomCrop((height, width), padding=augment.pad))
    if augment.flip:
        steps.append(transforms.RandomHorizontalFlip(augment.flip))
    loader.dataset.transform = transforms.Compose([*steps, loader.dataset.transform])
    if augment.hole:
        area = augment.hole**2 / (height * width)
        loader.random_erasing = RandomErasing(1.0, area, area, min_aspect=1.0, mode="const", device=device)
    return loader


def optimizer_of(task: Task, network: nn.Module) -> Optimizer:
    """``create_optimizer_v2``, which calls SGD without Nesterov's look ahead "momentum"."""
    name, given = task.optimizer
    arguments = dict(given)
    if name == "SGD":
        name = "sgd" if arguments.pop("nesterov", False) else "momentum"
    return create_optimizer_v2(network, name.lower(), filter_bias_and_bn=False, **arguments)


def train(task: Task, turns: Turns) -> None:
    """Trains turn after turn."""
    torch.backends.cudnn.benchmark = True
    network = task.network().to(task.device).to(memory_format=torch.channels_last)
    optimizer = optimizer_of(task, network)
    scheduler = PolyLRScheduler(optimizer, t_initial=task.total_steps, power=1.0, t_in_epochs=False)
    loss_function = task.loss_function().to(task.device)
    loader = turns.watch(loader_of(task))
    for epoch in range(task.turns):
        turns.begin()
        turns.end(train_one_epoch(task, epoch, network, loader, loss_function, optimizer, scheduler))


def train_one_epoch(
    task: Task,
    epoch: int,
    network: nn.Module,
    loader: Any,
    loss_function: nn.Module,
    optimizer: Optimizer,
    scheduler: PolyLRScheduler,
) -> float:
    """The mean loss of an epoch."""
    losses, batch_time, data_time = AverageMeter(), AverageMeter(), AverageMeter()
    network.train()
    optimizer.zero_grad()
    updates = epoch * len(loader)
    end = time.time()
    for number, (images, labels) in enumerate(loader):
        images = images.contiguous(memory_format=torch.channels_last)
        data_time.update(time.time() - end)
        with task.autocast():
            loss = loss_function(network(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.update(loss.item(), len(images))
        updates += 1
        batch_time.update(time.time() - end)
        if number % LOG_INTERVAL == 0:
            rates = [group["lr"] for group in optimizer.param_groups]
            log.info(
                "%d %d %.3f %.3f %.3f %.3e", epoch, number, losses.avg, batch_time.avg, data_time.avg, np.mean(rates)
            )
        scheduler.step_update(num_updates=updates, metric=losses.avg)
        end = time.time()
    return float(losses.avg)
