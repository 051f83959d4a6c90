"""The exceptions of zoo, drawn as a tree; each knows the exit code it ends a command with.

::

    ZooError
    ├── ConfigError          2   a file says something wrong: diagnostics with places
    ├── UsageError           2   the call is wrong
    ├── DataError            3   the data
    ├── CheckpointError      4   a checkpoint, weights or run folder
    ├── DivergedError        5   training diverged
    ├── EnvironmentFault     6   disk, memory, permission, a folder in use
    ├── WorkerError          7   a worker or rank died
    └── StoppedBySignal      130, 143

Floor 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from zoo.diagnostics import Diagnostic, Diagnostics, Note, Span

# What PyTorch's allocators, cuDNN and cuBLAS write into a plain RuntimeError when memory is short.
NO_MEMORY_SIGNS = (
    "DefaultCPUAllocator",
    "not enough memory",
    "out of memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
)


class ZooError(Exception):
    """Base of all errors that are not bugs. Terse inside; whoever knows the place adds it."""

    exit_code: int = 1  # of the command that it ends
    default_code: ClassVar[str] = "zoo"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        span: Span | None = None,
        notes: Iterable[Note | str] = (),
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.span = span
        self.notes = tuple(note if isinstance(note, Note) else Note(note) for note in notes)
        self.help = help

    def __str__(self) -> str:
        """The message with its place and the way out, for whoever calls zoo from Python."""
        return str(Diagnostic("error", self.code, self.message, self.span, help=self.help))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The error as messages to render."""
        return (Diagnostic("error", self.code, self.message, self.span, "", self.notes, self.help),)


class ConfigError(ZooError):
    """An architecture or a recipe is wrong. Carries every message found, warnings included."""

    exit_code = 2
    default_code = "config"

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._diagnostics = tuple(diagnostics)
        first = next((item for item in self._diagnostics if item.severity == "error"), self._diagnostics[0])
        super().__init__(first.message, code=first.code, span=first.span, notes=first.notes, help=first.help)

    def __str__(self) -> str:
        """The first error, and how many more there are."""
        more = sum(item.severity == "error" for item in self._diagnostics) - 1
        return super().__str__() + (f", and {more} more in `diagnostics`" if more > 0 else "")

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every message found, in order."""
        return self._diagnostics


class UsageError(ZooError):
    """The call is wrong: an option, a target's name, a combination."""

    exit_code = 2
    default_code = "usage"


class DataError(ZooError):
    """The data set is missing, broken, or does not fit the recipe."""

    exit_code = 3
    default_code = "data"


class UnreadableImagesError(DataError):
    """Some of the images that were to be classified cannot be; ``predictions`` are those of the others."""

    _MOST_TOLD = 20  # images; of a folder that is no photographs' there may be thousands

    def __init__(self, errors: Sequence[DataError], predictions: list[dict[str, Any]]) -> None:
        first, count = errors[0], len(errors)
        super().__init__(first.message, code=first.code, span=first.span, notes=first.notes, help=first.help)
        self.predictions = predictions
        rest = f"; classified all the same: {len(predictions)}" if predictions else ""
        said = first.help or ("mend or remove it" if count == 1 else f"mend or remove these {count} images")
        self._errors = (*errors[: self._MOST_TOLD - 1], errors[-1]) if count > self._MOST_TOLD else tuple(errors)
        self._help = f"{said}{rest}"

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """A message for each image, some of them where there are many; the last has the way out."""
        *most, last = (item for error in self._errors for item in error.diagnostics)
        return (*(replace(item, help=None) for item in most), replace(last, help=self._help))


class CheckpointError(ZooError):
    """A checkpoint, a weights file or a run folder cannot be used."""

    exit_code = 4
    default_code = "checkpoint"


class DivergedError(ZooError):
    """The loss or a gradient is not finite."""

    exit_code = 5
    default_code = "diverged"


class EnvironmentFault(ZooError):
    """The machine said no: disk, memory, permission, a folder in use."""

    exit_code = 6
    default_code = "environment"


class WorkerError(ZooError):
    """A loader worker or a rank died or hangs."""

    exit_code = 7
    default_code = "worker"


class StoppedBySignal(ZooError):
    """A signal ended the run after a checkpoint was written: 130 for SIGINT, 143 for the others."""

    default_code = "stopped"

    def __init__(self, message: str, *, signal_number: int, help: str | None = None) -> None:
        super().__init__(message, help=help)
        self.signal_number = signal_number
        self.exit_code = 130 if signal_number == 2 else 143


def first_line(error: object, default: str = "no reason is given") -> str:
    """The first line of what an exception of another library's says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else default


def in_a_line(error: Exception) -> str:
    """An exception of another library's for people: its kind, and the first line of what it says."""
    said = first_line(error, "").rstrip(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, in whichever words: Python's, those of PyTorch's allocators, those of the linker."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, by name: nothing here imports torch
        or (isinstance(error, RuntimeError) and any(sign in text for sign in NO_MEMORY_SIGNS))
        or (isinstance(error, ImportError) and "failed to map segment" in text)  # a library found no room
    )


def refuse_windows() -> None:
    """Raises :class:`EnvironmentFault` on Windows, which lacks the locks and signals that runs are kept whole by."""
    if sys.platform == "win32":
        raise EnvironmentFault("zoo runs on Linux and macOS", code="platform", help="on Windows, use it in WSL")


def raise_if_errors(diagnostics: Diagnostics, *, strict: bool = False) -> None:
    """Raises :class:`ConfigError` with everything collected if there is an error (or, when strict, a warning)."""
    if diagnostics.errors or (strict and diagnostics.warnings):
        raise ConfigError(diagnostics.all_as_errors if strict else tuple(diagnostics))
