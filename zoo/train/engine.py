"""The training loop. Floor 5.

Built objects go in, events come out; console, files and reports listen to them. All of it, in one sitting::

    fit(training)
    ├── seed, or restore the newest checkpoint that verifies            → TrainingStarted
    ├── on a GPU, or where it is compiled: passes that leave no trace
    ├── for each epoch
    │   ├── for each batch of it, from where the checkpoint stood
    │   │   ├── ``Stepper.backward``: forward under autocast, loss, backward; sums stay on the device
    │   │   ├── every ``accumulate`` batches, ``Stepper.update``: clip, update, schedules, averages
    │   │   ├── every ``logging_steps``: the host reads the sums        → StepLogged       (DivergedError)
    │   │   ├── every ``every_minutes``: a checkpoint                   → CheckpointSaved
    │   │   └── a signal?  a checkpoint, and out                        → StoppedBySignal
    │   ├── test with the averaged weights; the epoch's schedules       → EpochFinished      (DivergedError)
    │   └── ``best`` and ``last``                                       → CheckpointSaved
    └── the last epoch's figures                                        → TrainingFinished

Several ranks do all of this in step (:mod:`zoo.train.ranks`): each with its part of every batch, the first alone
writing. Between two looks of the host nothing waits for the device: no ``.item()``, no copy back, no clock read.
A checkpoint holds all that the next step depends on, and the next step depends on nothing else: data and its
augmentation are functions of (seed, epoch, sample), so an interrupted run goes on bit for
bit, where the device's kernels repeat themselves (on a GPU: ``train.deterministic``).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from zoo.diagnostics import duration
from zoo.errors import StoppedBySignal, WorkerError
from zoo.events import EpochFinished, Event, Message, StepLogged, TrainingFinished, TrainingStarted
from zoo.optim.frozen_statistics import into_training
from zoo.schema.recipe import TTA
from zoo.train import state
from zoo.train.allocator import from_free_memory
from zoo.train.evaluation import Evaluation, evaluate
from zoo.train.metrics import StepClock
from zoo.train.result import outcome
from zoo.train.runtime import machine_faults
from zoo.train.saving import Saver
from zoo.train.signals import Interrupted, SignalWatch
from zoo.train.step import Stepper
from zoo.train.training import BatchesLike, BatchLike, Training
from zoo.train.warming import warm_up


def fit(training: Training) -> Generator[Event, None, None]:
    """Trains to the last step, or on from a checkpoint; yields what happens.

    Raises DivergedError, EnvironmentFault (memory, disk), CheckpointError (nothing to resume from), and
    StoppedBySignal once a verified checkpoint is written.
    """
    runtime = training.runtime
    faults = machine_faults(training.train.batch_size, training.settings.accumulate)
    with faults, runtime.tuned(training.settings), SignalWatch(runtime.ranks) as signals:
        loop = _Loop(training, signals)
        yield from loop.begin()
        try:
            while not loop.is_done:
                yield from loop.epoch()
            if training.final is None:  # resumed behind the last test, and no checkpoint holds its predictions
                training.final = loop.test(last=True)
            yield from loop.save_last()  # what went on from `best` may have no `last`, or an older one
            signals.check()
        except Interrupted as interruption:
            yield from loop.save_last()
            raise loop.stopped_by(interruption) from None
        except WorkerError:
            if signals.caught is None:
                raise
            # The signal went to the whole process group, and the loader's workers were quicker to end.
            if loop.is_between_steps:
                yield from loop.save_last()
            raise loop.stopped_by(Interrupted(signals.caught)) from None
        state.keep_averages(training)
        seconds = loop.saver.total_seconds(loop.progress)
        yield TrainingFinished(outcome(training, loop.progress, training.final, seconds))


class _Loop:
    """One training under way. Its progress is all that is not in the objects of ``Training``."""

    def __init__(self, training: Training, signals: SignalWatch) -> None:
        self.training = training
        self.signals = signals
        self.runtime = training.runtime
        self.ranks = training.runtime.ranks
        self.steps = training.steps
        self.progress = state.Progress()
        self.clock = StepClock()
        self.runtime.place(training.model)
        self.stepper = Stepper(training)
        self.saver = Saver(training, self.stepper.meter)
        self._is_cold = self.runtime.warms_up
        self._test_seconds = 0.0  # of the last test, with what came before it
        self._refresh_seconds = 0.0  # what the averages' statistics took before it

    # ── beginning and end ────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> Iterator[Event]:
        """Seeds, restores where there is something to resume, and tells what is about to happen."""
        training = self.training
        state.seed_everything(training.seed, self.ranks.rank)
        self.saver.tidy()
        if training.resume:
            self.progress = yield from self.saver.restore()
        self.ranks.meet()  # from here on none keeps the others waiting for long
        if training.validation is None:
            yield Message("info", "best is chosen by the test set: there is no validation split (data.validation)")
        yield TrainingStarted(
            epochs=training.epochs,
            steps=self.steps.total,
            steps_per_epoch=self.steps.per_epoch,
            start_step=self.progress.step,
            device=str(self.runtime.device),
            precision=self.runtime.precision,
            choices={**self.runtime.choices, **training.choices},
        )

    def stopped_by(self, interruption: Interrupted) -> StoppedBySignal:
        """What ends a training that a signal stopped."""
        return StoppedBySignal(
            f"stopped by {interruption} after step {self.progress.step}",
            signal_number=interruption.number,
            help="go on with --resume",
        )

    @property
    def is_between_steps(self) -> bool:
        """Whether the state is one to go on from, whoever raised what; ranks may stand at different places then."""
        batch, accumulate = self.progress.batch, self.training.settings.accumulate
        return self.ranks.is_alone and (batch % accumulate == 0 or batch == self.training.train.steps)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are behind, or it has stopped early."""
        return self.progress.epoch > self.steps.epochs or self.progress.watched.has_stopped

    # ── an epoch ─────────────────────────────────────────────────────────────────────────────────────────────

    def epoch(self) -> Iterator[Event]:
        """One epoch: its steps, its test, its checkpoints."""
        progress = self.progress
        if not progress.steps_closed:
            yield from self._train()
            self._close_steps()
        event = self._tests()
        yield event
        if progress.watched.has_stopped:
            best = f"checkpoints/best holds epoch {progress.best_epoch}"
            yield Message("info", f"stopped early: {progress.watched}; {best}")
        self.training.optimization.after_epoch(event.watched)
        progress.next_epoch()
        self.stepper.meter.reset()
        if event.is_best:
            yield from self._save("best")
        if event.epoch % self.training.settings.checkpoint.every_epochs == 0 or self._is_last(event.epoch):
            yield from self.save_last()
        self.signals.check()

    def _train(self) -> Iterator[Event]:
        progress, batches = self.progress, self.training.train
        accumulate, log_every = self.training.settings.accumulate, self.training.logging_steps
        size = self.training.size_of(progress.epoch)
        into_training(self.training.model)
        self.clock.turn_to(size)
        self.clock.start()
        # A run that was stopped after its last step, in the midst of an epoch, resumes with what follows that step.
        left: Iterable[BatchLike] = () if self._is_trained else batches.epoch(progress.epoch, start=progress.batch)
        for batch in left:
            if self._is_cold:
                yield from self._warm_up(batch)
            self.stepper.backward(batch, batch.whole / self.training.images_of_step(progress.batch), size)
            progress.batch += 1
            if progress.batch % accumulate and progress.batch < batches.steps:
                continue
            progress.count_step(self.training.optimization.lrs)
            self.clock.step(images=self.stepper.update(progress.step, progress.lr))
            if progress.step % log_every == 0 or self._is_trained:
                yield self._log()
            if self._is_trained:
                break
            if self.saver.minutes_are_up():
                yield from self.save_last()
            self.signals.check()

    def _warm_up(self, batch: BatchLike) -> Iterator[Event]:
        if self.runtime.compiled:
            yield Message("info", "compiling for every form of a step; this may take minutes")
        # A look at signals waits for the other ranks, which may have to compile more or less than this one.
        on_pass = self.signals.check if self.ranks.is_alone else lambda: None
        done = self.progress.step
        seconds = warm_up(self.training, self.stepper.forward, batch, steps_done=done, on_pass=on_pass)
        self._is_cold = False
        self.progress.warm_up_seconds += seconds
        what = "compiled" if self.runtime.compiled else "warmed up"
        yield Message("info", f"{what} in {duration(seconds)}, which is not part of the training's time")
        self.clock.leave_out(seconds)
        began = time.perf_counter()
        self.ranks.meet()
        self.clock.leave_out(time.perf_counter() - began)
        self.signals.check()

    @property
    def _is_trained(self) -> bool:
        """Whether the training's steps are all done, be it within an epoch."""
        return self.progress.step >= self.steps.total

    def _log(self) -> StepLogged:
        progress = self.progress
        figures = self._look()
        seconds, per_epoch = self.clock.step_seconds, self.steps.per_epoch
        steps_left = self.steps.total - progress.step
        tests_left = sum(map(self._is_tested, range(progress.epoch, self.steps.epochs + 1)))
        event = StepLogged(
            epoch=progress.epoch,
            step=progress.step,
            steps=self.steps.total,
            loss=figures["loss"],
            accuracy=figures["accuracy"],
            lr=progress.lr,
            images_per_second=progress.images_per_second,
            epoch_eta_seconds=seconds * min(progress.epoch * per_epoch - progress.step, steps_left),
            run_eta_seconds=seconds * self.training.steps_left(progress.epoch, progress.step)
            + self._test_seconds * tests_left,
            lrs=tuple(progress.lrs),
            group_lrs={label: tuple(lrs) for label, lrs in progress.group_lrs.items()},
        )
        progress.lrs, progress.group_lrs = [], {}
        self.clock.start()
        return event

    def _close_steps(self) -> None:
        """What follows an epoch's last step. A run stopped later resumes with the test, not with this."""
        progress = self.progress
        progress.last_train = self._look()
        began = time.monotonic()
        if self._is_tested(progress.epoch):
            with self.runtime.fabric.autocast():
                for averaging in self.training.averaging:
                    averaging.refresh_statistics(self._training_images())
        self._refresh_seconds = time.monotonic() - began
        progress.steps_closed = True

    def _look(self) -> dict[str, float]:
        """Waits for the device and reads the epoch's figures so far. Raises DivergedError."""
        figures = self.stepper.meter.read()
        self._stop_clock()
        self.stepper.guard.check()
        return figures

    def _training_images(self) -> Iterator[Tensor]:
        """The epoch's images once more, batch by batch, BCHW."""
        for batch in self.training.train.epoch(self.progress.epoch):
            self.signals.check()
            yield self.runtime.images(batch.images)

    # ── the tests ────────────────────────────────────────────────────────────────────────────────────────────

    def _tests(self) -> EpochFinished:
        training, progress = self.training, self.progress
        assert progress.last_train is not None
        test = validation = None
        last, watched = self._is_last(progress.epoch), progress.watched
        began = time.monotonic()
        if self._is_tested(progress.epoch):
            validation, test = self._validate(last=last)
            held_out, stopping = validation.figures if validation else None, training.settings.early_stopping
            watched = watched.after(progress.epoch, progress.last_train, held_out, stopping, last=last)
            if test is None or (watched.has_stopped and not last):  # the last test has all views
                test = self.test(last=last or watched.has_stopped)
        progress.watched = watched  # not before: a signal within the test has the next process repeat all of this
        if self._is_last(progress.epoch):
            training.final = test
        seconds = self._refresh_seconds + time.monotonic() - began
        if test is not None:
            self._test_seconds = seconds
        tested = validation or test
        return EpochFinished(
            epoch=progress.epoch,
            step=progress.step,
            train=progress.last_train,
            lr=progress.lr,
            seconds=progress.epoch_seconds + seconds,
            images_per_second=progress.images_per_second,
            test=test.figures if test else None,
            validation=validation.figures if validation else None,
            is_best=tested is not None and progress.note_accuracy(tested.accuracy),
            lr_span=tuple(progress.lr_span),
            image_size=training.size_of(progress.epoch),
        )

    def _validate(self, *, last: bool) -> tuple[Evaluation | None, Evaluation | None]:
        """The validation, where there is one, and the test, where one split is both: it is gone through once."""
        validation = self.training.validation
        if validation is None:
            return None, None
        if validation is not self.training.test:
            return self._evaluate(validation), None
        test = self.test(last=last)
        return replace(test, accuracy_tta=None), test

    def test(self, *, last: bool) -> Evaluation:
        """Tests the network; the last time with all views of ``eval.tta``, and the predictions are kept."""
        return self._evaluate(self.training.test, tta=self.training.evaluation.tta if last else "none", keep=last)

    def _evaluate(self, batches: BatchesLike, *, tta: TTA = "none", keep: bool = False) -> Evaluation:
        training = self.training
        with state.averaged(training), from_free_memory(self.runtime.device):
            self.ranks.take_over(training.model.buffers())  # batch statistics are of each rank's own images
            evaluation = evaluate(
                training.model,
                batches,
                training.loss,
                runtime=self.runtime,
                tta=tta,
                keep=keep,
                forward=self.stepper.forward,
                on_batch=self.signals.check,
            )
        self.stepper.guard.check_test(evaluation.loss, self.progress.step, self.progress.lr, self._tensors())
        return evaluation

    def _is_tested(self, epoch: int) -> bool:
        return epoch % self.training.evaluation.every == 0 or self._is_last(epoch)

    def _is_last(self, epoch: int) -> bool:
        return epoch == self.steps.epochs or self.progress.watched.has_stopped

    # ── checkpoints and time ─────────────────────────────────────────────────────────────────────────────────

    def save_last(self) -> Iterator[Event]:
        """Saves the present state as ``last``, unless it is saved already."""
        if not self.saver.is_saved(self.progress):
            yield from self._save("last")

    def _save(self, name: Literal["best", "last"]) -> Iterator[Event]:
        if self.saver.is_idle:
            return
        self._stop_clock()
        self.stepper.guard.check_state(self.progress.step, self.progress.lr, self._tensors())
        yield from self.saver.save(name, self.progress)
        self.clock.start()

    def _tensors(self) -> list[dict[str, Any]]:
        """What has to be finite: the network's tensors, and the averages'."""
        return [self.training.model.state_dict(), *(averaging.state_dict() for averaging in self.training.averaging)]

    def _stop_clock(self) -> None:
        self.runtime.synchronize()
        self.progress.count_seconds(self.clock.stop(), self.clock.images_per_second)
