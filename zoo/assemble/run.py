"""A run from recipe to report. Floor 7.

The engine yields events; console, metrics files and checkpoints only listen. Nothing is written before recipe and
data were found to be right.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zoo.assemble.beginning import write_beginning
from zoo.assemble.build import Built, Foundation, build, open_data
from zoo.assemble.check import Checked, checked_recipe
from zoo.assemble.finding import read_result
from zoo.assemble.max_lr import Found, find_and_set, save_range_test, saved_range_test
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.resolve import Resolved
from zoo.assemble.resuming import (
    folder_of,
    require_same_beginning,
    require_same_teacher,
    resume_command,
    take_up,
)
from zoo.assemble.tracker_packages import require_installed
from zoo.assemble.tracking import trackers_of
from zoo.assemble.trained import open_run
from zoo.data import Dataset
from zoo.diagnostics import Diagnostics, Say
from zoo.disk import disk_faults
from zoo.errors import StoppedBySignal, UsageError, ZooError, in_a_line
from zoo.events import TrainingFinished
from zoo.layout import END, RESULT, RUNS
from zoo.train import (
    ConsoleProgress,
    Evaluation,
    Listener,
    MetricsFile,
    RunFolder,
    Training,
    evaluate,
    fit,
    make_result,
)
from zoo.train.shelf import Shelf


def prepare(recipe: str, options: RunOptions, settle: Settle, *, tracks: bool = False) -> Checked:
    """Resolves and checks a recipe. Raises ConfigError with everything that is wrong.

    ``tracks`` is for a run that its trackers follow: their packages have to be there.
    """
    diagnostics = Diagnostics()
    found = checked_recipe(recipe, diagnostics, overrides=options.overrides)
    if found is not None and tracks:
        require_installed(found.resolved, diagnostics)
    settle(diagnostics)
    assert found is not None
    return found


def run_recipe(recipe: str, options: RunOptions, settle: Settle, note: Say) -> dict[str, Any]:
    """Trains a recipe, tests it, writes its run folder; returns what `result.json` holds.

    Of several ranks the first alone writes. Raises the errors of :mod:`zoo.errors`, each of which knows its exit code.
    """
    started = time.perf_counter()
    checked = prepare(recipe, options, settle, tracks=True)
    options = options.joined(checked.data.worker_timeout)
    folder, has_begun = _folder(checked, options)
    if folder is None or not has_begun:
        return _run(folder, checked, options, note, started)
    with folder if options.ranks.is_first else contextlib.nullcontext():
        checked, state = take_up(folder, checked)
        if len(set(options.ranks.gather(state))) > 1:  # all have read the folder: the first may write to it
            raise UsageError("the ranks find different things in the run folder", help="take a disk that all share")
        if state == "finished":
            result = read_result(folder.path)
            why = f"it stopped early, after epoch {result.get('epochs')}, and " if result.get("stopped_early") else ""
            note(f"the run in {folder.path} is finished: {why}there is nothing to resume")
            if options.ranks.is_first:
                _report_late(folder, checked, options, note)
            return result
        return _run(folder, checked, options, note, started)


def _folder(checked: Checked, options: RunOptions) -> tuple[RunFolder | None, bool]:
    """The run's folder where there is one yet, as the first rank finds it, and whether a run has begun there."""

    def find() -> tuple[str | None, bool]:
        folder = folder_of(RUNS, checked, options)
        if folder is None:
            RunFolder.require_room(RUNS, checked.recipe.name)
        return (None, False) if folder is None else (str(folder.path), folder.has_begun)

    path, has_begun = options.ranks.told(find)
    return None if path is None else RunFolder(Path(path)), has_begun


def _opened(resolved: Resolved, options: RunOptions, run: Path | None) -> Dataset:
    """The data; of several ranks the first opens it first, which may have to download it."""
    open_it = partial(
        open_data, resolved, data_dir=options.data_dir, run=run, quiet=options.quiet, last=options.last_opened
    )
    opened: list[Dataset] = []
    options.ranks.told(lambda: opened.append(open_it()))
    return opened[0] if opened else open_it()


@contextlib.contextmanager
def _recording_the_end(folder: RunFolder) -> Iterator[None]:
    """Leaves in the folder why a training did not finish; of an earlier session that is forgotten."""
    with disk_faults(folder.path / END):
        (folder.path / END).unlink(missing_ok=True)
    try:
        yield
    except ZooError as error:
        with contextlib.suppress(ZooError, OSError):  # of a full disk it is the lesser evil
            folder.write_json(END, {"code": error.code, "message": error.message})
        raise


@contextlib.contextmanager
def _saying_how_to_go_on(folder: RunFolder, resolved: Resolved, options: RunOptions) -> Iterator[None]:
    """Gives a run that a signal stopped the command that goes on with it."""
    try:
        yield
    except StoppedBySignal as stopped:
        command = resume_command(resolved, folder.path, options)
        raise StoppedBySignal(
            stopped.message, signal_number=stopped.signal_number, help=f"go on with: {command}"
        ) from None


def _run(folder: RunFolder | None, checked: Checked, options: RunOptions, note: Say, started: float) -> dict[str, Any]:
    dataset = _opened(checked.resolved, options, folder.path if folder is not None and options.resume else None)
    checked, found = find_and_set(checked, dataset, options, note)
    is_resumed = folder is not None and options.resume and not Shelf(folder.checkpoints).is_empty
    built = build(checked, dataset, options.device, ranks=options.ranks, with_weights=not is_resumed)
    if is_resumed and folder is not None:
        require_same_beginning(folder.path, built.base.network, dataset.fingerprint, note)
        require_same_teacher(folder.path, checked.resolved, built.base.teacher)
    for line in built.notes:
        note(line)
    if not options.ranks.is_first:
        built.training.resume = options.resume
        for _ in fit(built.training):
            pass
        return _result_of_first(options, dict)
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(RunFolder.create(RUNS, checked.recipe.name))
        elif not folder.is_held:  # it was empty, and has to be so still
            folder = stack.enter_context(RunFolder.at(folder.path))
        if found is not None:
            save_range_test(folder.path, found)
        elif options.resume:
            found = saved_range_test(folder.path)
        write_beginning(folder, checked, built, options, found.as_facts() if found is not None else None)
        run = _Run(folder, checked, found, options, note)
        # Told when all is done: the others' end would be taken for the whole command's.
        return _result_of_first(options, lambda: run.train(built, started))


def _result_of_first(options: RunOptions, train: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the training gives where it is the first rank's; told to the others, who have done their part."""
    result = options.ranks.told(train)
    options.ranks.meet(to_part=True)
    return result


@dataclass(frozen=True)
class _Run:
    """A run that has its folder: it trains, and reports of what came out."""

    folder: RunFolder
    checked: Checked
    found: Found | None
    options: RunOptions
    note: Say

    def train(self, built: Built, started: float) -> dict[str, Any]:
        """Trains, tests and reports; returns what `result.json` holds. ``started`` is when the command did."""
        folder, recipe, training = self.folder, self.checked.recipe, built.training
        training.folder, training.resume = folder, self.options.resume
        setup_seconds = time.perf_counter() - started
        with contextlib.ExitStack() as stack:
            progress = stack.enter_context(ConsoleProgress(quiet=self.options.quiet, said=self.options.said))
            trackers = stack.enter_context(trackers_of(self.checked, folder, progress))
            finished = self._fitted(training, [MetricsFile(folder), progress, trackers])
            progress.close()
            assert training.final is not None
            result = make_result(
                finished,
                recipe=recipe.name,
                model=built.base.network.name,
                params=sum(parameter.numel() for parameter in training.model.parameters()),
                classes=built.dataset.classes,
                evaluation=training.final,
                target=recipe.target.model_dump(),
                run_dir=folder.path,
                setup_seconds=setup_seconds,
            )
            folder.write_json(RESULT, result)
            trackers.finish(result)
            self.report(built.dataset, built.base, training.final, steps=finished.result["steps"])
        return result

    def _fitted(self, training: Training, listeners: list[Listener]) -> TrainingFinished:
        """Goes through the training while console, metrics files and trackers listen."""
        finished: TrainingFinished | None = None
        resolved = self.checked.resolved
        with _recording_the_end(self.folder), _saying_how_to_go_on(self.folder, resolved, self.options):
            for event in fit(training):
                for listener in listeners:
                    listener(event)
                finished = event if isinstance(event, TrainingFinished) else finished
        assert finished is not None
        return finished

    def report(self, dataset: Dataset, base: Foundation, evaluation: Evaluation, *, steps: int) -> None:
        """Records and renders the reports. What fails here is told; the run, which went well, is not lost."""
        recipe, folder, note = self.checked.recipe, self.folder, self.note
        if not recipe.reports:
            return
        with _costing_no_result(folder, note):
            from zoo.report import Finished, record, render

            transforms = self.checked.train_transforms, self.checked.eval_transforms
            remarks = record(
                folder.path,
                Finished(base.module, dataset, base.train, base.test, *transforms, evaluation),
                steps=steps,
                reports=recipe.reports,
                explain=recipe.explain,
                range_test=self.found.range_test if self.found is not None else None,
                model_name=base.network.name,
            )
            for name, reason in remarks.items():
                note(f"no {name} in the report: {reason}")
            note(f"report {render(folder.path, note=note)}")


@contextlib.contextmanager
def _costing_no_result(folder: RunFolder, note: Say) -> Iterator[None]:
    """Turns what a report fails of into a warning."""
    try:
        yield
    except ZooError as error:
        note(f"warning: the report could not be made: {error.message}")
    except Exception as error:
        note(f"warning: the report could not be made: {in_a_line(error)}; try `zoo report {folder.path}`")


def _report_late(folder: RunFolder, checked: Checked, options: RunOptions, note: Say) -> None:
    """Makes the reports of a finished run that was killed before they were recorded: its last weights are tested again.

    The run is opened from its own folder, so that what is tested is what was trained.
    """
    from zoo.report.evidence import has_evidence

    recipe, steps = checked.recipe, read_result(folder.path).get("steps", 0)
    if not recipe.reports or has_evidence(folder.path, steps):
        return
    note("its report was not made yet: testing its last weights for it")
    with _costing_no_result(folder, note):
        opened = open_run(str(folder.path), device=options.device, data_dir=options.data_dir)
        base = opened.base
        evaluation = evaluate(base.module, base.test, base.loss, runtime=base.runtime, tta=recipe.eval.tta, keep=True)
        run = _Run(folder, checked, saved_range_test(folder.path), options, note)
        run.report(opened.dataset, base, evaluation, steps=steps)
