"""The training loop. Floor 5.

Built objects go in, events come out; console, files and reports listen to them. All of it, in one sitting::

    fit(training)
    ├── seed, or restore the newest checkpoint that verifies            → TrainingStarted
    ├── for each epoch
    │   ├── for each batch of it, from where the checkpoint stood
    │   │   ├── forward under autocast, loss, backward;  sums stay on the device
    │   │   ├── every ``accumulate`` batches: clip, update (skipped on the device if not finite), schedule, averages
    │   │   ├── every ``logging_steps``: the host reads the sums        → StepLogged       (DivergedError)
    │   │   ├── every ``every_minutes``: a checkpoint                   → CheckpointSaved
    │   │   └── a signal?  a checkpoint, and out                        → StoppedBySignal
    │   ├── test with the averaged weights; the epoch's schedules       → EpochFinished
    │   └── ``best`` and ``last``                                       → CheckpointSaved
    └── the last epoch's figures                                        → TrainingFinished

Between two looks of the host nothing waits for the device: no ``.item()``, no copy back, no clock read.
A checkpoint holds all that the next step depends on, and the next step depends on nothing else: data and its
augmentation are functions of (seed, epoch, sample), so an interrupted run goes on bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import StoppedBySignal
from zoo.events import CheckpointSaved, EpochFinished, Event, Message, StepLogged, TrainingFinished, TrainingStarted
from zoo.train import state
from zoo.train.evaluation import Evaluation, evaluate
from zoo.train.guard import FiniteGuard
from zoo.train.metrics import Meter, StepClock, is_sum
from zoo.train.runtime import machine_faults
from zoo.train.shelf import Shelf
from zoo.train.signals import Interrupted, SignalWatch
from zoo.train.training import BatchesLike, BatchLike, Training


def fit(training: Training) -> Generator[Event, None, None]:
    """Trains to the last step, or on from a checkpoint; yields what happens.

    Raises DivergedError, EnvironmentFault (memory, disk), CheckpointError (nothing to resume from), and
    StoppedBySignal once a verified checkpoint is written.
    """
    batch_size = -(-training.train.samples // training.train.steps)
    with machine_faults(batch_size), SignalWatch() as signals:
        loop = _Loop(training, signals)
        yield from loop.begin()
        try:
            while not loop.finished:
                yield from loop.epoch()
            signals.check()
        except Interrupted as interruption:
            yield from loop.save_last()
            raise StoppedBySignal(
                f"stopped by {interruption} after step {loop.progress.step}",
                signal_number=interruption.number,
                help="go on with --resume",
            ) from None
        yield loop.outcome()


class _Loop:
    """One training under way. Its progress is all that is not in the objects of ``Training``."""

    def __init__(self, training: Training, signals: SignalWatch) -> None:
        self.training = training
        self.signals = signals
        self.runtime = training.runtime
        self.steps = training.steps
        self.progress = state.Progress()
        self.meter = Meter(self.runtime.device, loss_is_sum=is_sum(training.loss))
        self.clock = StepClock()
        self.shelf = Shelf(training.folder.checkpoints, training.settings.checkpoint.keep) if training.folder else None
        self.runtime.tune()
        self.runtime.place(training.model)
        self.forward = self.runtime.forward(training.model)
        self.guard = FiniteGuard(training.model, self.runtime.device, scaled=self.runtime.scaler is not None)
        self._step_loss: Tensor | None = None
        self._step_indices: list[Tensor] = []
        self._evaluation_seconds = 0.0
        self._since = self._saved_at = time.monotonic()
        self._saved_position: tuple[int, int, bool] | None = None

    # ── beginning and end ────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> Iterator[Event]:
        """Seeds, restores where there is something to resume, and tells what is about to happen."""
        training = self.training
        state.seed_everything(training.seed)
        if self.shelf is not None:
            self.shelf.tidy()
            if training.resume:
                yield from self._restore(self.shelf)
        if training.validation is None:
            yield Message("info", "best is chosen by the test set: there is no validation split (data.validation)")
        yield TrainingStarted(
            epochs=self.steps.total / self.steps.per_epoch,
            steps=self.steps.total,
            steps_per_epoch=self.steps.per_epoch,
            start_step=self.progress.step,
            device=str(self.runtime.device),
            precision=self.runtime.precision,
            choices={**self.runtime.choices, **training.choices},
        )

    def _restore(self, shelf: Shelf) -> Iterator[Event]:
        warnings: list[str] = []
        checkpoint = shelf.newest(warnings.append)
        yield from (Message("warning", text) for text in warnings)
        if checkpoint is None:
            state.cut_journals(self.training, {})
            yield Message("info", "there is no checkpoint to resume from yet: starting from the beginning")
            return
        self.progress = state.restore(self.training, self.meter, checkpoint)
        self._saved_position = self._position
        yield Message("info", f"resumed from {checkpoint.path} at step {self.progress.step}")

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done and its test is at hand."""
        done = self.progress.epoch > self.steps.epochs
        if done and self.training.final is None:  # resumed at the very end: only the last test is missing
            self.training.final = self._evaluate(self.training.test, final=True)
        return done

    def outcome(self) -> TrainingFinished:
        """What the engine knows of ``result.json``: headlines are the last epoch's. Leaves the tested weights in."""
        training, progress = self.training, self.progress
        assert training.final is not None
        state.keep_averages(training)
        return TrainingFinished(
            {
                "epochs": _plain(training.settings.epochs or self.steps.total / self.steps.per_epoch),
                "steps": progress.step,
                "seed": training.seed,
                "train": progress.last_train,
                "test": training.final.figures,
                "best": {"epoch": progress.best_epoch, "accuracy": progress.best_accuracy},
                "seconds": {"total": self._total_seconds(), "train": progress.train_seconds},
                "images_per_second": self.clock.images_per_second,
                "device": str(self.runtime.device),
                "precision": self.runtime.precision,
            }
        )

    # ── an epoch ─────────────────────────────────────────────────────────────────────────────────────────────

    def epoch(self) -> Iterator[Event]:
        """One epoch: its steps, its test, its checkpoints."""
        progress = self.progress
        if not progress.steps_closed:
            yield from self._train()
            self._close_steps()
        event = self._test()
        yield event
        self.training.optimization.after_epoch(_plateau_metrics(event))
        progress.next_epoch()
        self.meter.reset()
        if event.is_best:
            yield from self._save_best()
        if (progress.epoch - 1) % self.training.settings.checkpoint.every_epochs == 0 or self._is_last(event.epoch):
            yield from self.save_last()
        self.signals.check()

    def _train(self) -> Iterator[Event]:
        progress, batches = self.progress, self.training.train
        accumulate = self.training.settings.accumulate
        self.training.model.train()
        self.clock.start()
        for batch in batches.epoch(progress.epoch, start=progress.batch):
            group = min(accumulate, batches.steps - progress.batch // accumulate * accumulate)
            self._backward(batch, share=1 / group)
            progress.batch += 1
            if progress.batch % accumulate and progress.batch < batches.steps:
                continue
            self._update()
            if progress.step == self.steps.total:
                break
            if progress.step % self.training.logging_steps == 0:
                yield self._log()
            if self._minutes_are_up():
                yield from self.save_last()
            self.signals.check()

    def _backward(self, batch: BatchLike, share: float) -> None:
        images_BCHW = self.runtime.images(batch.images)
        labels = batch.labels.to(self.runtime.device, non_blocking=True)
        logits_BK = self.forward(images_BCHW)
        loss = self.training.loss(logits_BK, labels)
        self.meter.add(loss, logits_BK, labels)
        self.clock.step(len(images_BCHW))
        self._step_indices.append(batch.indices)
        self._step_loss = loss.detach() if self._step_loss is None else self._step_loss + loss.detach()
        # A mean over the group's batches; a loss that is a sum over samples stays one.
        self.runtime.fabric.backward(loss if share == 1 or is_sum(self.training.loss) else loss * share)

    def _update(self) -> None:
        optimization, progress, scaler = self.training.optimization, self.progress, self.runtime.scaler
        assert self._step_loss is not None
        progress.step += 1
        progress.lr = optimization.lr
        if scaler is not None:
            for optimizer in optimization.optimizers:
                scaler.unscale_(optimizer)
        self.guard.observe(progress.step, progress.lr, self._step_loss, torch.cat(self._step_indices))
        if self.training.settings.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.training.model.parameters(), self.training.settings.grad_clip)
        if scaler is None:
            optimization.step(skip=self.guard.skip)
        else:
            for optimizer in optimization.optimizers:
                scaler.step(optimizer)
            scaler.update()
        optimization.zero_grad()
        optimization.after_step()
        for averaging in self.training.averaging:
            averaging.after_step(progress.step)
        self._step_loss, self._step_indices = None, []

    def _log(self) -> StepLogged:
        progress = self.progress
        figures = self.meter.read()
        self._stop_clock()
        self.guard.check()
        seconds, per_epoch = self.clock.step_seconds, self.steps.per_epoch
        steps_left = self.steps.total - progress.step
        epochs_left = self.steps.epochs - progress.epoch + 1
        event = StepLogged(
            epoch=progress.epoch,
            step=progress.step,
            steps=self.steps.total,
            loss=figures["loss"],
            accuracy=figures["accuracy"],
            lr=progress.lr,
            images_per_second=self.clock.images_per_second,
            epoch_eta_seconds=seconds * min(progress.epoch * per_epoch - progress.step, steps_left),
            run_eta_seconds=seconds * steps_left + self._evaluation_seconds * epochs_left,
        )
        self.clock.start()
        return event

    def _close_steps(self) -> None:
        """What follows an epoch's last step. A run stopped later resumes with the test, not with this."""
        progress = self.progress
        progress.last_train = self.meter.read()
        self._stop_clock()
        self.guard.check()
        for averaging in self.training.averaging:
            averaging.after_epoch(progress.epoch)
        progress.steps_closed = True

    # ── the test ─────────────────────────────────────────────────────────────────────────────────────────────

    def _test(self) -> EpochFinished:
        training, progress = self.training, self.progress
        last = self._is_last(progress.epoch)
        test = validation = None
        began = time.monotonic()
        if last or progress.epoch % training.evaluation.every == 0:
            test = self._evaluate(training.test, final=last)
            if training.validation is not None:
                validation = self._evaluate(training.validation)
        if last:
            training.final = test
        self._evaluation_seconds = time.monotonic() - began
        assert progress.last_train is not None
        return EpochFinished(
            epoch=progress.epoch,
            step=progress.step,
            train=progress.last_train,
            lr=progress.lr,
            seconds=progress.epoch_seconds + self._evaluation_seconds,
            images_per_second=self.clock.images_per_second,
            test=test.figures if test else None,
            validation=validation.figures if validation else None,
            is_best=self._is_best(validation or test),
        )

    def _evaluate(self, batches: BatchesLike, *, final: bool = False) -> Evaluation:
        training = self.training
        with state.averaged(training):
            return evaluate(
                training.model,
                batches,
                training.loss,
                runtime=self.runtime,
                tta=training.evaluation.tta if final else "none",
                keep=final,
                forward=self.forward,
                on_batch=self.signals.check,
            )

    def _is_best(self, evaluation: Evaluation | None) -> bool:
        progress = self.progress
        if evaluation is None or evaluation.accuracy <= (progress.best_accuracy or -1.0):
            return False
        progress.best_epoch, progress.best_accuracy = progress.epoch, evaluation.accuracy
        return True

    def _is_last(self, epoch: int) -> bool:
        return epoch == self.steps.epochs

    # ── checkpoints and time ─────────────────────────────────────────────────────────────────────────────────

    def save_last(self) -> Iterator[Event]:
        """Saves the present state as ``last``, unless it is saved already."""
        if self.shelf is not None and self._saved_position != self._position:
            yield self._save("last", self.shelf.save_last)
            self._saved_position = self._position

    def _save_best(self) -> Iterator[Event]:
        if self.shelf is not None:
            yield self._save("best", self.shelf.save_best)

    def _save(self, name: str, write: Callable[[Callable[[Path], None]], Path]) -> CheckpointSaved:
        training, progress = self.training, self.progress
        self._stop_clock()
        averages = [averaging.state_dict() for averaging in training.averaging]
        self.guard.check_state(progress.step, progress.lr, [training.model.state_dict(), *averages])
        progress.total_seconds = self._total_seconds()
        self._since = time.monotonic()
        path = write(partial(state.save, training, progress, self.meter))
        self._saved_at = time.monotonic()
        self.clock.start()
        return CheckpointSaved(name, progress.step, str(path))

    @property
    def _position(self) -> tuple[int, int, bool]:
        return self.progress.epoch, self.progress.batch, self.progress.steps_closed

    def _minutes_are_up(self) -> bool:
        minutes = self.training.settings.checkpoint.every_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def _total_seconds(self) -> float:
        return self.progress.total_seconds + time.monotonic() - self._since

    def _stop_clock(self) -> None:
        before = self.clock.seconds
        self.runtime.synchronize()
        self.clock.stop()
        self.progress.epoch_seconds += self.clock.seconds - before
        self.progress.train_seconds += self.clock.seconds - before


def _plateau_metrics(event: EpochFinished) -> dict[str, float]:
    """What a schedule may watch: the validation set's figures, else the test set's, and the training set's."""
    watched = event.validation or event.test or {}
    return {**watched, **{f"train.{name}": figure for name, figure in event.train.items()}}


def _plain(number: float) -> float:
    """24, not 24.0: a whole number as a person would write it."""
    return int(number) if float(number).is_integer() else number
