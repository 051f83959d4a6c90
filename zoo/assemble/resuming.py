"""Going on with a run: where its folder is, and whether the recipe is still the one it began with. Floor 7.

The rule: a resumed run keeps its recipe, its defaults too, though they be others by now. What only describes or shows
(doc, reports, explain, target, tracking) may change, where a teacher lies, and which activations are computed twice;
`train.epochs` may grow, and then the schedule is laid out anew over the longer training while the steps taken stay as
they are. Anything else that differs is an error that names it.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from zoo.assemble.check import Checked, recheck
from zoo.assemble.complete import complete, resolved_document
from zoo.assemble.defaults import DEFAULT
from zoo.assemble.distilling import OpenedTeacher
from zoo.assemble.environment import read_environment
from zoo.assemble.finding import read_result
from zoo.assemble.keeping import IsWritten, with_own_defaults, written_in
from zoo.assemble.max_lr import saved_range_test, with_lr
from zoo.assemble.networks import Network, network_of
from zoo.assemble.options import RunOptions
from zoo.assemble.plugins import plugin_files
from zoo.assemble.resolve import Resolved, with_document
from zoo.assemble.shipped import shipped_recipe
from zoo.assemble.teachers import KEY as TEACHER
from zoo.assemble.teachers import distillation_node
from zoo.diagnostics import Diagnostic, Diagnostics, Note, Say, Span
from zoo.diff import Change, diff_documents, diff_plans
from zoo.document import Mapping, Node, Sequence, read_file
from zoo.document.writer import scalar_text
from zoo.errors import ConfigError, raise_if_errors
from zoo.layout import ARCHITECTURE, LAST, RESOLVED, is_run, numbered
from zoo.models import load_plan
from zoo.schema.recipe import Recipe
from zoo.train import RunFolder
from zoo.train.shelf import Shelf

CHECKPOINTING = "train.activation_checkpointing"  # changes where the memory goes, no number
FREE = ("doc", "reports", "explain", "target", "tracking")


def folder_of(runs: Path, checked: Checked, options: RunOptions) -> RunFolder | None:
    """The folder that `--run-dir` names, or, on `--resume`, the recipe's latest; None: a new one is to be made.

    Of several runs of one command each has a folder of its own: the latest with the values that tell it apart.
    """
    if options.run_dir is not None:
        RunFolder(options.run_dir).require_free()  # who holds it matters more than what lies in it
        return RunFolder.planned(options.run_dir, resume=options.resume)
    if not options.resume:
        return None
    paths = [override.path for override in options.varied]
    found = (run for run in reversed(numbered(runs / checked.recipe.name)) if _agrees(run, checked, paths))
    latest = next(found, None)
    return RunFolder.planned(latest, resume=True) if latest is not None else None


def _agrees(folder: Path, checked: Checked, paths: list[str]) -> bool:
    """Whether a run has the recipe's values at these paths, each with its defaults, and below and above them."""
    stored = _stored(folder) if paths else None
    if stored is None:
        return not paths
    checked, own, is_written = _as_begun(folder, checked, stored)
    changes = [change.path for change in _changes(stored, own, is_written)]
    if any(_lies_under(change, path) or _lies_under(path, change) for change in changes for path in paths):
        return False
    names_network = any(_lies_under("model.architecture", path) for path in paths)
    return not names_network or _has_network(folder, checked)


def _lies_under(path: str, other: str) -> bool:
    return f"{path}.".startswith(f"{other}.")


def _has_network(folder: Path, checked: Checked) -> bool:
    """Whether a run's network is that of the recipe's file, of which the run has a copy under a name of its own."""
    kept = load_plan(folder / ARCHITECTURE, Diagnostics()) if checked.network.plan is not None else None
    if kept is None:
        return True
    image = next(iter(kept.inputs.values())).shape[1:]
    network = network_of(checked.resolved, Diagnostics(), input_shape=image)
    return network is not None and network.plan is not None and not diff_plans(kept, network.plan)


def resume_command(resolved: Resolved, folder: Path, options: RunOptions) -> str:
    """The command line that goes on with a run, or with all runs of one command, to be copied into a shell."""
    path = resolved.path
    words = ["zoo", "run", path.stem if shipped_recipe(path.stem) == path else str(path)]
    said = [override for override in options.overrides if override not in options.varied]
    words += [word for override in said for word in ("--set", str(override))]
    for name, value in options.surroundings.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    words += [word for file in plugin_files() for word in ("--plugin", str(file))]
    if not options.several:
        return shlex.join([*words, "--run-dir", str(folder), "--resume"])
    words += options.several
    words += [] if options.run_dir is None else ["--run-dir", str(options.run_dir.parent)]
    return shlex.join([*words, "--resume"])


def take_up(folder: RunFolder, checked: Checked) -> tuple[Checked, str]:
    """The recipe to go on with, a rate that was found put in, and how things stand: `begin`, `resume` or `finished`.

    Raises ConfigError where the recipe is not the one that the run began with.
    """
    stored = _stored(folder.path)
    if stored is None:
        return checked, "begin"
    checked, own, is_written = _as_begun(folder.path, checked, stored)
    _require_same(stored, own, folder, is_written)
    complete_now = complete(checked)
    document = with_own_defaults(complete_now, stored, is_written, but=FREE)
    if diff_documents(complete_now, document):
        checked = recheck(with_document(checked.resolved, document))
    return checked, "finished" if _is_finished(folder, checked.recipe) else "resume"


def _as_begun(folder: Path, checked: Checked, stored: Mapping) -> tuple[Checked, Mapping, IsWritten]:
    """The recipe with the rate that a run found, if any; then complete, with the run's own defaults.

    The last says what was written of the run's recipe.
    """
    found = saved_range_test(folder) if checked.optimization.finds_lr else None
    if found is not None:
        checked = with_lr(checked, found.lr)
    is_written = written_in(folder)
    own = with_own_defaults(resolved_document(checked), stored, is_written, but=FREE)
    return checked, own, is_written


def require_same_beginning(folder: Path, network: Network, fingerprint: str, say: Say) -> None:
    """Raises ConfigError where the network is not the one that the run began with; says so where the data is not.

    Files that are decoded one by one are told apart by name and time too, so that other data is no error: a copy of
    the same images looks like it.
    """
    own = folder / ARCHITECTURE
    if network.plan is not None and own.is_file():
        diagnostics = Diagnostics()
        kept = load_plan(own, diagnostics)
        raise_if_errors(diagnostics)
        assert kept is not None
        changes = diff_plans(kept, network.plan)
        if changes:
            raise ConfigError([_told_of_network(change, folder) for change in changes])
    began = read_environment(folder).get("data_fingerprint")
    if began not in (None, fingerprint):
        say("warning: the data is not what the run began with: it goes on with other images, or in another order")


def require_same_teacher(folder: Path, resolved: Resolved, teacher: OpenedTeacher | None) -> None:
    """Raises ConfigError where the teacher is not the one that the run began with; it may lie elsewhere by now."""
    began = read_environment(folder).get("teacher")
    if teacher is None or not isinstance(began, dict):
        return
    if teacher.run.path.resolve() == folder.resolve():
        message = f"the teacher of the run in {folder} is that run itself"
    elif teacher.sha256 != began.get("sha256"):
        message = f"the teacher {teacher.run.path} is not the one that the run in {folder} began with"
    else:
        return
    place = distillation_node(resolved).value_span("teacher")
    note = Note(
        f"it began with {began.get('run')}, checkpoint {began.get('checkpoint')}, SHA-256 {began.get('sha256')}"
    )
    help = f"--set {TEACHER}=RUN names the one with these weights; with another teacher, start a new run"
    raise ConfigError([Diagnostic("error", "teacher-changed", message, place, notes=(note,), help=help)])


def _told_of_network(change: Change, folder: Path) -> Diagnostic:
    return Diagnostic(
        "error",
        "network-changed",
        f"{change.path} is {change.after or 'not there'}; the network of {folder} began with {change.before or 'none'}",
        notes=(Note(f"the network it began with stands in {folder / ARCHITECTURE}"),),
        help="with --resume only train.epochs may grow; put the network back, or start a new run",
    )


def _stored(folder: Path) -> Mapping | None:
    return read_file(folder / RESOLVED, Diagnostics()) if is_run(folder) else None


def _is_finished(folder: RunFolder, recipe: Recipe) -> bool:
    """Whether the result is of a training as long as the recipe's; that of a shorter one stands until its own is made.

    `resolved.yaml` cannot tell: it has the longer training from the moment that one begins.
    """
    epochs, most = recipe.train.epochs, recipe.train.max_steps
    if not folder.result.is_file():
        return False
    result = read_result(folder.path)
    is_long = epochs is None or result.get("epochs") == epochs or (most is not None and result.get("steps") == most)
    return is_long or bool(result.get("stopped_early"))


def _require_same(stored: Mapping, now: Mapping, folder: RunFolder, is_written: IsWritten) -> None:
    """Raises ConfigError with a message for each value that differs and may not."""
    changes = [change for change in _changes(stored, now, is_written) if not _may(change)]
    if changes:
        raise ConfigError([_told(change, stored, now, folder) for change in changes])
    grown = next((change for change in diff_documents(stored, now) if change.path == "train.epochs"), None)
    if grown is not None and _ended_inside_an_epoch(folder, grown.before):
        message = (
            f"train.epochs: the run in {folder.path} ended inside an epoch, after {_shown(grown.before)}: "
            "it cannot be lengthened"
        )
        place = _place(now, grown.path)
        raise ConfigError([Diagnostic("error", "recipe-changed", message, place, help="start a new run")])


def _changes(stored: Mapping, now: Mapping, is_written: IsWritten) -> list[Change]:
    """What differs, but for a default that one of them lacks: it came into the language after the run began, or went
    out of it.
    """
    return [
        change
        for change in diff_documents(stored, now)
        if not (change.before is None and _place(now, change.path) == DEFAULT)
        and not (change.kind == "removed" and not is_written(change.path))
    ]


def _ended_inside_an_epoch(folder: RunFolder, epochs: Any) -> bool:
    """Whether a run has closed an epoch that it had not gone through, tested or not: its rest is lost to it."""
    is_whole = epochs is None or float(epochs).is_integer()
    return not is_whole and Shelf(folder.checkpoints).epochs_behind > float(epochs)


def _told(change: Change, stored: Mapping, now: Mapping, folder: RunFolder) -> Diagnostic:
    before, after = (_place(document, change.path) for document in (stored, now))
    return Diagnostic(
        "error",
        "recipe-changed",
        f"{change.path} is {_shown(change.after)}; the run in {folder.path} has {_shown(change.before)}",
        after if after != DEFAULT else before,
        notes=(Note("the run's own", before),) if before is not None else (),
        help="with --resume only train.epochs may grow; put the value back, or " + _anew(change, folder),
    )


def _anew(change: Change, folder: RunFolder) -> str:
    """How to train on with a value of which the run has another: from its weights, unless the network is another."""
    weights = folder.checkpoints / LAST
    if change.path.partition(".")[0] == "model" or not weights.is_dir():
        return "start a new run"
    return f"start a new run: without --resume, from these weights with --set model.weights={weights}"


def _shown(value: Any) -> str:
    return "not there" if value is None else scalar_text(value)


def _place(document: Mapping, path: str) -> Span | None:
    """The place of the value at a path of keys and indices; None where there is none."""
    node: Node | None = document
    for part in path.split("."):
        if isinstance(node, Sequence):
            node = node.items[int(part)] if int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, Mapping) else None
    return node.span if node is not None else None


def _may(change: Change) -> bool:
    """Whether a resumed run may have this change."""
    if change.path.partition(".")[0] in FREE:
        return True
    if _lies_under(change.path, CHECKPOINTING):
        return True
    if change.path == TEACHER and None not in (change.before, change.after):
        return True  # its weights decide, not where they lie
    if change.path != "train.epochs" or change.before is None or change.after is None:
        return False
    return float(change.after) >= float(change.before)
