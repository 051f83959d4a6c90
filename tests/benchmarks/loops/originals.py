"""The loop of the original projects: contiguous fp32, a figure fetched and printed at every step."""

from __future__ import annotations

import os
from pathlib import Path

from torch.optim.lr_scheduler import PolynomialLR
from tqdm import tqdm

from loops.loaders import loader_for
from loops.task import Task
from loops.turns import Turns


def train(task: Task, turns: Turns) -> None:
    """Trains turn after turn. The progress bar is drawn, into nothing."""
    network = task.network().to(task.device)
    loss_function = task.loss_function().to(task.device)
    optimizer = task.optimizer_for(network.parameters())
    scheduler = PolynomialLR(optimizer, total_iters=task.total_steps)
    loader = turns.watch(loader_for(task))
    with Path(os.devnull).open("w") as nowhere:
        for _ in range(task.turns):
            turns.begin()
            network.train()
            bar = tqdm(loader, total=len(loader), file=nowhere)
            total, correct, seen = 0.0, 0, 0
            for number, (images, labels) in enumerate(bar):
                images, labels = images.to(task.device), labels.to(task.device)
                optimizer.zero_grad()
                logits = network(images)
                loss = loss_function(logits, labels)
                loss.backward()
                optimizer.step()
                scheduler.step()
                total += loss.item()
                correct += logits.argmax(dim=1).eq(labels).sum().item()
                seen += len(labels)
                bar.set_description(f"Loss={loss.item()} Batch_id={number} Accuracy={100 * correct / seen:.2f}")
            turns.end(total / task.steps)
