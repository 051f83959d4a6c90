"""What differs between two TARGETs: settings and results, or networks. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from zoo.architectures import architecture_names
from zoo.assemble.check import checked_recipe
from zoo.assemble.complete import complete
from zoo.assemble.environment import with_plugins_of
from zoo.assemble.finding import read_result
from zoo.assemble.resolve import resolve
from zoo.assemble.shipped import shipped_recipe
from zoo.assemble.targets import FOREIGN, planned, run_named
from zoo.diagnostics import Diagnostics
from zoo.diff import Change, diff_data, diff_documents, diff_plans
from zoo.document import Mapping, read_file
from zoo.graph import Plan
from zoo.layout import RESOLVED, RESULT, is_file
from zoo.schema.recipe import is_recipe

_FIRST = ("test", "best", "train", "target")  # of what a run reached


def differences(a: str, b: str, diagnostics: Diagnostics) -> list[Change]:
    """What differs between two TARGETs: of recipes and runs every setting, of two runs what came out too.

    Where one is an architecture, the two networks are compared; where one is a run, which keeps a network of its own,
    they are compared as well. A checkpoint stands for its run.
    """
    kinds = (_kind(a), _kind(b))
    if "architecture" in kinds:
        return _networks(a, b, diagnostics) or []
    runs = [run_named(target) for target in (a, b)]
    names = [str(run / RESOLVED) if run is not None else t for t, run in zip((a, b), runs, strict=True)]
    settings = _compared([_recipe(name, run, diagnostics) for name, run in zip(names, runs, strict=True)])
    if "run" not in kinds:
        return settings
    networks = _networks(a, b, diagnostics) if all(_has_graph(name) for name in names) else None
    if networks is not None:  # a run calls its network by the file that it keeps
        settings = [*(change for change in settings if change.path != "model.architecture"), *networks]
    first, second = runs
    return settings if first is None or second is None else [*settings, *_results(first, second)]


def _networks(a: str, b: str, diagnostics: Diagnostics) -> list[Change] | None:
    """How two networks differ, a recipe's for the images that a run beside it had: only a run knows their size."""
    kinds = {target: _kind(target) for target in (a, b)}
    plans: dict[str, Plan | None] = {}
    shape = None
    for target in sorted(kinds, key=lambda target: kinds[target] != "run"):
        plans[target] = plan = planned(target, diagnostics, input_shape=shape if kinds[target] == "recipe" else None)
        if plan is not None and kinds[target] == "run" and len(plan.inputs) == 1:
            shape = next(iter(plan.inputs.values())).shape[1:]  # without the batch
    first, second = plans[a], plans[b]
    return diff_plans(first, second) if first is not None and second is not None else None


def _has_graph(recipe: str) -> bool:
    """Whether a recipe's network is an architecture, not another library's model."""
    resolved = resolve(recipe, (), Diagnostics())
    return resolved is not None and resolved.recipe.model.architecture is not None


def _kind(target: str) -> Literal["architecture", "recipe", "run"]:
    path = Path(target)
    if run_named(target) is not None:
        return "run"
    if is_file(path):
        document = read_file(path, Diagnostics())
        return "recipe" if document is not None and is_recipe(document.keys) else "architecture"
    is_known_recipe = shipped_recipe(target) is not None and target not in architecture_names()
    return "recipe" if is_known_recipe and not target.startswith(FOREIGN) else "architecture"


def _compared(documents: list[Mapping | None]) -> list[Change]:
    first, second = documents
    return diff_documents(first, second) if first is not None and second is not None else []


def _recipe(name: str, run: Path | None, diagnostics: Diagnostics) -> Mapping | None:
    found = Diagnostics()
    recipe = checked_recipe(name, found)
    diagnostics.extend(found if run is None else with_plugins_of(run, found))
    return complete(recipe) if recipe is not None else None


def _results(*runs: Path) -> list[Change]:
    """How what came out of two runs differs, or which of them came to an end. Raises CheckpointError for damage."""
    done = [(run / RESULT).is_file() for run in runs]
    if all(done):
        return diff_data(*({f"result.{key}": value for key, value in _result(run).items()} for run in runs))
    return diff_data(*({"result": "there" if each else "none: the run is not finished"} for each in done))


def _result(run: Path) -> dict[str, object]:
    """What a run reached, the test first; not which it is, nor its seed, which its recipe says."""
    found = read_result(run)
    keys = dict.fromkeys((*(key for key in _FIRST if key in found), *found))
    return {key: found[key] for key in keys if key not in ("run_dir", "seed")}
