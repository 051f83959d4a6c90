"""From an exception to what a person reads and the exit status. Roof.

Every error of :mod:`zoo.errors` knows its status; what the operating system or torch raises is put in that tree
here; anything else is a bug of ours, told in one line unless ``--debug`` asks for the traceback.
"""

from __future__ import annotations

import re
import sys
import traceback

from zoo.cli.output import print_json, print_messages
from zoo.cli.stopping import Stopped
from zoo.cli.streams import forget
from zoo.disk import advice
from zoo.errors import EnvironmentFault, StoppedBySignal, UsageError, ZooError, first_line, is_out_of_memory

_ADVICE = "a smaller data.batch_size, train.precision: bf16 or train.accumulate needs less"

_COMMANDS = {  # and what others call them
    "run": ("train", "training", "fit"),
    "run RECIPE --resume": ("resume",),
    "run RECIPE --grid": ("tune", "sweep"),
    "find-lr": ("lr-find", "lr_find", "find_lr"),
    "eval": ("test", "evaluate", "val", "validate"),
    "predict": ("infer", "inference", "classify"),
    "explain": ("cam", "gradcam"),
    "summary": ("info", "model", "describe"),
    "draw": ("plot", "graph", "visualize"),
    "export": ("onnx", "convert", "deploy"),
    "diff": ("compare",),
    "check": ("lint",),
    "ls": ("list",),
    "ls architectures": ("models",),
    "ls runs": ("runs",),
    "cp": ("copy",),
    "bench": ("benchmark",),
}


def report(error: BaseException, *, debug: bool, as_json: bool) -> int:
    """Tells of an error on stderr (with ``--json`` as a list of messages on stdout too) and returns the exit status."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError):
        forget(sys.stdout)
        return 0
    if debug and not isinstance(error, ZooError | KeyboardInterrupt) and not is_call_error(error):
        traceback.print_exception(error)
    known = as_zoo_error(error)
    try:
        print_messages(known.diagnostics)
        if as_json:
            print_json([item.as_data() for item in known.diagnostics])
    except OSError:
        forget(sys.stdout)
    return known.exit_code


def as_zoo_error(error: BaseException) -> ZooError:
    """The error as one of ours."""
    if isinstance(error, ZooError):
        return error
    if isinstance(error, Stopped):
        return StoppedBySignal(f"stopped by {error}", signal_number=error.number)
    if isinstance(error, KeyboardInterrupt):
        return StoppedBySignal("stopped by the keyboard", signal_number=2)
    if is_call_error(error):
        if type(error).__name__ == "NoArgsIsHelpError":  # a bare `zoo`: its message is the whole help page
            return UsageError("a command is missing: zoo run quickstart is a good first one", help=_usage_help(error))
        return _call_error(error)
    if is_out_of_memory(error):
        return EnvironmentFault(f"out of memory: {first_line(error)}", code="out-of-memory", help=_ADVICE)
    if type(error).__name__ == "AcceleratorError":
        from zoo.train.runtime import accelerator_fault

        return accelerator_fault(error)
    if isinstance(error, OSError):
        return _from_os(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "zoo").partition(".")[0] != "zoo":
        return _not_installed(str(error.name))
    return _OwnError(error)


class _OwnError(ZooError):
    """Something we did not foresee."""

    default_code = "bug"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"a bug of ours: {type(error).__name__}: {first_line(error, 'no message')}",
            help="please report it with the command and its output under --debug",
        )


def is_call_error(error: BaseException) -> bool:
    """Whether the command line's parser raised it: an unknown option, a missing argument."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _call_error(error: BaseException) -> UsageError:
    """What the parser says; of a command that there is not, the one that is meant."""
    said = _sentence(error.format_message())  # type: ignore[attr-defined]  # typer's
    found = re.match(r"no such command '(.+?)'", said)
    meant = _command_meant(found[1]) if found else None
    if found and meant:
        return UsageError(found[0], help=f"did you mean zoo {meant}?")
    return UsageError(said, help=_usage_help(error))


def _command_meant(word: str) -> str | None:
    """The command that goes by another name elsewhere; of a recipe in a command's place the one that trains it."""
    for command, others in _COMMANDS.items():
        if word in others:
            return command
    from zoo.assemble.shipped import recipe_names

    return f"run {word}" if word.endswith((".yaml", ".yml")) or word in recipe_names() else None


def _usage_help(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else "see zoo --help"


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".").replace(": Value error, ", ": ")
    return text[:1].lower() + text[1:]


def _not_installed(module: str) -> ZooError:
    """What zoo stands on is not there: its checkout was not installed, or was for another Python."""
    return EnvironmentFault(
        f"{module} is not installed for {sys.executable}",
        code="not-installed",
        help="pip install . in zoo's checkout, or activate the environment that has it",
    )


def _from_os(error: OSError) -> ZooError:
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    return EnvironmentFault(f"{where}{what[:1].lower()}{what[1:]}", help=advice(error))
