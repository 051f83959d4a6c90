"""Lightning's Trainer in its usual form: a module with ``training_step`` and ``configure_optimizers``.

Precision and layout are the best of this machine. Logger, bar and checkpoints are off: they are not what is compared.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import PolynomialLR

from loops.loaders import loader_for
from loops.task import SkippedError, Task
from loops.turns import Turns

try:
    import lightning as L
except ImportError as error:
    raise SkippedError("the package lightning is not installed: pip install 'zoo[bench]'") from error


class Classifier(L.LightningModule):
    """A network that learns to classify."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        self.network = task.network()
        self.loss_function = task.loss_function()
        self.total = torch.zeros(())

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss: Tensor = self.loss_function(self.network(images.contiguous(memory_format=torch.channels_last)), labels)
        self.log("train_loss", loss)
        self.total += loss.detach()
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = self.task.optimizer_for(self.parameters())
        scheduler = PolynomialLR(optimizer, total_iters=self.task.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class TakesTurns(L.Callback):
    """An epoch is a turn. The loader is asked for its iterator between the two hooks, from the second epoch on."""

    def __init__(self, turns: Turns, module: Classifier) -> None:
        self._turns, self._module = turns, module

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._turns.begin()
        self._module.total = torch.zeros((), device=self._module.device)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._turns.end(self._module.total / self._module.task.steps)


def train(task: Task, turns: Turns) -> None:
    """Trains turn after turn."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # it advises on workers and loggers
    module = Classifier(task)
    module.to(memory_format=torch.channels_last)
    trainer = L.Trainer(
        accelerator="gpu" if task.on_gpu else "cpu",
        devices=1,
        precision="bf16-mixed" if task.precision == "bf16" else "32-true",
        max_epochs=task.turns,
        benchmark=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[TakesTurns(turns, module)],
    )
    trainer.fit(module, turns.watch(loader_for(task)))
