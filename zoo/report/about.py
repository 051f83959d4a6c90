"""The page's sections about the run itself: recipe, environment, how to reproduce it, linked reports. Floor 6."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from zoo.diagnostics import percent
from zoo.layout import (
    ARCHITECTURE,
    CHECKPOINTS,
    DATA,
    END,
    ENVIRONMENT,
    EVIDENCE,
    FIGURES,
    LIBRARIES,
    METRICS,
    METRICS_CSV,
    RANGE_TEST,
    RECIPE,
    REPORT,
    RESOLVED,
    RESULT,
    STEPS,
    TENSORBOARD,
    TRACKERS,
    WANDB,
)
from zoo.report.folder import Run, checkpoint_files, siblings
from zoo.report.sections import Section, highlighted

FILES = {
    REPORT: "this page",
    RESULT: "the outcome",
    END: "why the run ended without one",
    METRICS: "every epoch's figures, one object per line",
    METRICS_CSV: "the same as a table",
    DATA: "class names, image shape, normalisation",
    STEPS: "loss of every log interval, learning rate of every step",
    RECIPE: "the recipe as it was written",
    RESOLVED: "the recipe with every value",
    ARCHITECTURE: "the network as it was built",
    LIBRARIES: "the block libraries that the network uses",
    RANGE_TEST: "the LR range test",
    ENVIRONMENT: "versions, device, seed, commit, fingerprint of the data",
    CHECKPOINTS: "the weights: last and best",
    TENSORBOARD: "the same for TensorBoard",
    WANDB: "the same for W&B",
    TRACKERS: "the run's ids at W&B and MLflow",
    FIGURES: "this page's pictures",
    EVIDENCE: "what this page was made from",
}


def recipe(run: Run) -> Section | None:
    """The recipe as written; with every value, and the architecture, folded away."""
    titles = (
        ("as written", run.recipe),
        (f"With every value ({RESOLVED})", run.resolved),
        (f"The network as built ({ARCHITECTURE})", run.architecture),
    )
    texts = [{"title": title, "html": highlighted(text)} for title, text in titles if text.strip()]
    files = tuple(name for name in (RECIPE, RESOLVED, ARCHITECTURE) if (run.path / name).exists())
    return Section("recipe", "Recipe", {"texts": texts}, files=files) if texts else None


def environment(run: Run) -> Section | None:
    """Versions, device and whatever else env.json says in a few words."""
    long = ("written", "began")  # which values the recipe writes, and all that was so before a run was resumed
    shown = {key: value for key, value in run.environment.items() if key not in long}
    rows = [{"label": label, "value": value} for label, value in _flat(shown)]
    return Section("environment", "Environment", {"rows": rows}, files=(ENVIRONMENT,)) if rows else None


def reproduce(run: Run) -> Section:
    """The commands that lead here again, and the sums to compare with."""
    lines = list(_commands(run))
    lead = "The same versions on the same kind of machine give the same numbers, seed for seed."
    if str((run.environment.get("choices") or {}).get("algorithms", "")).startswith("fastest"):
        lead = (
            "A GPU's fastest kernels do not repeat themselves: the same seed gives figures that are alike, not the "
            "same. With train.deterministic: true they are."
        )
    data = {"commands": "\n".join(lines), "checkpoints": checkpoint_files(run.path)}
    return Section("reproduce", "How to reproduce it", data, lead)


def linked(run: Run) -> Section:
    """Other runs of the recipe, and this run's files."""
    rows = [
        {"name": other.name, "href": other.href, "accuracy": percent(other.accuracy), "epochs": _number(other.epochs)}
        for other in siblings(run.path)
    ]
    return Section("linked", "Linked reports and files", {"siblings": rows, "files": files(run)})


def files(run: Run) -> list[dict[str, str]]:
    """The run's files that are there, each with what it holds."""
    return [{"href": name, "doc": doc} for name, doc in FILES.items() if name == REPORT or (run.path / name).exists()]


def command_to_repeat(run: Run) -> str:
    """The one command that trains the same again; empty where there is nothing to run it from."""
    return f"zoo run {_folder(run)}/{RESOLVED}{_given(run)}" if run.resolved.strip() else ""


def _folder(run: Run) -> str:
    return shlex.quote(str(run.result.get("run_dir") or run.path))


def _given(run: Run, names: Sequence[str] = ("device", "devices", "data_dir")) -> str:
    """The options that the run was given for its surroundings, as far as a command takes them."""
    options = run.environment.get("options") or {}
    words = [("plugin", path) for path in run.environment.get("plugins") or ()]
    words += [(name.replace("_", "-"), options[name]) for name in names if name in options]
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in words)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _commands(run: Run) -> Iterator[str]:
    versions = run.environment.get("versions") or {}
    git = run.environment.get("git") or {}
    folder, given = _folder(run), _given(run, ("device", "data_dir"))
    if git.get("commit"):
        yield f"git checkout {git['commit']}" + (
            "   # with uncommitted changes at the time" if git.get("dirty") else ""
        )
    pins = [
        f"{name}=={versions[name]}" for name in ("torch", "torchvision", "timm", "albumentations") if versions.get(name)
    ]
    if pins:
        yield f"pip install {'. ' if git.get('commit') else ''}{' '.join(pins)}"
    command = run.environment.get("command")
    if command:
        yield f"# it was: {_as_typed(command)}"
    yield f"zoo run {folder}/{RESOLVED}{_given(run)}    # every value written out"
    yield f"zoo eval {folder}{given}                 # test the weights again"
    yield f"zoo explain {folder}{given}              # more maps: --method, --layer, --misclassified, --class"
    yield f"zoo report {folder}               # this page again"


def _as_typed(command: list[str]) -> str:
    words = ["zoo", *command[1:]] if command and command[0].rsplit("/", 1)[-1] in ("zoo", "__main__.py") else command
    return shlex.join(map(str, words))


def _flat(data: Any) -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        label = str(key).replace("_", " ")
        if isinstance(value, dict) and value:
            items = [(name, str(item)) for name, item in value.items() if item is not None]
            apart = "\n" if any(" " in item for _, item in items) else ", "
            yield label, apart.join(f"{name} {item}" for name, item in items)
        elif isinstance(value, list) and value:
            yield label, _as_typed(value) if key == "command" else ", ".join(map(str, value))
        elif value not in (None, [], {}):
            yield label, str(value)
