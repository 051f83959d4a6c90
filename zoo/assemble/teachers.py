"""The run that a recipe's `loss.distillation` names: where it is, and what is told of it unopened. Floor 7."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zoo.assemble.finding import is_checkpoint, newest_run, run_and_checkpoint
from zoo.assemble.known_data import KnownData, read_known_data
from zoo.assemble.resolve import Resolved
from zoo.data.places import expanded
from zoo.diagnostics import Diagnostic, Diagnostics
from zoo.document import Mapping, folder_of
from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.layout import CHECKPOINTS, LAST, is_dir, is_run

KEY = "loss.distillation.teacher"


@dataclass(frozen=True)
class TeacherRun:
    """A run that is a teacher, and which of its checkpoints."""

    path: Path
    checkpoint: str

    @property
    def folder(self) -> Path:
        """The checkpoint's."""
        return self.path / CHECKPOINTS / self.checkpoint

    @property
    def whole_path(self) -> str:
        """What names it from everywhere."""
        return str((self.path if self.checkpoint == LAST else self.folder).absolute())

    def sha256(self) -> str:
        """That of the checkpoint's model.safetensors, as its manifest has it. Raises CheckpointError."""
        from zoo.train.checkpoint import MODEL, read_manifest  # only here: the rest needs nothing of what trains

        return read_manifest(self.folder).files[MODEL].sha256

    def data(self) -> KnownData:
        """What it knows of its data. Raises CheckpointError."""
        try:
            return read_known_data(self.path)
        except CheckpointError as error:
            help = "name another run, or train this one again"
            raise CheckpointError(error.message, notes=error.notes, help=help) from None


def distillation_node(resolved: Resolved) -> Mapping:
    """What stands under `loss.distillation`; empty where nothing does."""
    node = resolved.section("loss").get("distillation")
    return node if isinstance(node, Mapping) else Mapping((), resolved.section("loss").span)


def teacher_run(resolved: Resolved) -> TeacherRun:
    """The run that the recipe names as its teacher, beside the file that says so, else where commands find runs.

    Raises CheckpointError where there is no such run, and UsageError for a broken path.
    """
    settings, node = resolved.recipe.loss.distillation, distillation_node(resolved)
    assert settings is not None
    folder = folder_of(node.get("teacher")) or Path()
    beside = folder / expanded(settings.teacher, KEY, node.value_span("teacher"))
    try:
        is_beside = is_run(beside) or is_checkpoint(beside) or newest_run(beside) is not None
        return TeacherRun(*run_and_checkpoint(str(beside if is_beside else settings.teacher)))
    except CheckpointError as error:
        raise CheckpointError(
            error.message.replace("there is no run", "teacher: there is no run"),
            code=error.code,
            notes=["a teacher is a run folder, that of one of its checkpoints, or a run's name under ./runs"],
            help=error.help or "train it first; weights from elsewhere become a run by a recipe with model.weights",
        ) from None


def known_teacher(resolved: Resolved) -> TeacherRun | None:
    """The same; None where the recipe names no teacher, or one that is not there any more."""
    if resolved.recipe.loss.distillation is None:
        return None
    try:
        return teacher_run(resolved)
    except (CheckpointError, UsageError):
        return None


@contextmanager
def placed_at_teacher(resolved: Resolved) -> Iterator[None]:
    """Gives what is wrong with a teacher's run the place where the recipe names it."""
    try:
        yield
    except (CheckpointError, UsageError) as error:
        error.span = distillation_node(resolved).value_span("teacher")
        error.help = error.help or "name another of its checkpoints (RUN/checkpoints/best), or another run"
        raise


def check_teacher(resolved: Resolved, classes: int | None, diagnostics: Diagnostics) -> None:
    """Tells of the recipe's teacher where it is not there, has no weights, or knows another number of classes."""
    try:
        with placed_at_teacher(resolved):
            run = teacher_run(resolved)
            known = require_usable(run)
    except (CheckpointError, UsageError) as error:
        diagnostics.extend(error.diagnostics)
        return
    if classes is not None and len(known.classes) != classes:
        diagnostics.extend(other_classes(resolved, run, len(known.classes), classes).diagnostics)


def require_usable(run: TeacherRun) -> KnownData:
    """What the run knows of its data. Raises CheckpointError where that, or its weights, are damaged or not there."""
    if not is_dir(run.folder):
        there = sorted(path.name for path in (run.path / CHECKPOINTS).glob("[!.]*"))
        help = f"there is {', '.join(there)}" if there else "train it until its first checkpoint, or name another run"
        raise CheckpointError(f"the teacher {run.path} has no weights: no checkpoint {run.checkpoint!r}", help=help)
    run.sha256()
    return run.data()


def other_classes(resolved: Resolved, run: TeacherRun, has: int, wanted: int) -> ConfigError:
    """The error about a teacher of another number of classes."""
    return misfit(resolved, f"the teacher {run.path} tells {has} classes apart, the data has {wanted}")


def misfit(resolved: Resolved, message: str, help: str | None = None) -> ConfigError:
    """The error about a teacher that cannot teach this network."""
    place = distillation_node(resolved).value_span("teacher")
    by_default = "a teacher knows the same classes by the same names in the same order: its run's data.json has them"
    return ConfigError([Diagnostic("error", "teacher-misfit", message, place, help=help or by_default)])
