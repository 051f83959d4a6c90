"""TARGET: a recipe, an architecture, a timm or torchvision model, or a run folder, as a network. Floor 7."""

from __future__ import annotations

from pathlib import Path

from zoo.architectures import architecture_names
from zoo.assemble.architecture_copy import foreign_as_built
from zoo.assemble.check import sure_of_data
from zoo.assemble.environment import with_plugins_of
from zoo.assemble.finding import is_of_run, newest_run, run_of
from zoo.assemble.networks import Network, Shape, architecture_network, foreign_network, network_of, with_arguments
from zoo.assemble.resolve import resolve
from zoo.assemble.shipped import file_or_name_meant, recipe_names, shipped_recipe
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import Mapping, from_data, read_file
from zoo.errors import UsageError
from zoo.graph import Plan
from zoo.layout import ARCHITECTURE, RESOLVED, RUNS, is_dir, is_file
from zoo.schema.recipe import is_recipe

FOREIGN = ("timm:", "torchvision:")
_CALL = Span(Source("the call"), 1, 1, 1, 1)


def network(
    target: str,
    diagnostics: Diagnostics,
    *,
    input_shape: Shape | None = None,
    params: dict[str, object] | None = None,
) -> Network | None:
    """The network that a TARGET names; None where the diagnostics hold errors.

    ``params`` go to an architecture or a foreign model. Raises UsageError where there is no such target, or the target
    has its own params.
    """
    node = from_data(params, _CALL) if params else None
    assert node is None or isinstance(node, Mapping)
    if target.startswith(FOREIGN):
        return with_arguments(foreign_network(target, input_shape), node, diagnostics)
    path, run = Path(target), run_named(target)
    if run is not None:
        _refuse_params(target, node)
        found = Diagnostics()
        built = _of_run(run, found, input_shape)
        diagnostics.extend(with_plugins_of(run, found))
        return built
    if is_file(path):
        return _of_file(path, diagnostics, node, input_shape)
    if target in architecture_names():
        return architecture_network(target, diagnostics, params=node, input_shape=input_shape)
    if shipped_recipe(target) is not None:
        _refuse_params(target, node)
        return _of_recipe(target, diagnostics, input_shape)
    if is_dir(path):
        raise UsageError(f"{path} is no run folder: it has no {RESOLVED}", code="no-run")
    raise UsageError(
        f"there is no target {target!r}",
        code="no-such-target",
        notes=[
            "a target is a recipe or architecture, by file or name, timm:NAME, torchvision:NAME, a run folder, or the "
            "name of a run under ./runs"
        ],
        help=file_or_name_meant(path, [*architecture_names(), *recipe_names()]),
    )


def _of_file(path: Path, diagnostics: Diagnostics, params: Mapping | None, shape: Shape | None) -> Network | None:
    document = read_file(path, diagnostics)
    if document is None:
        return None
    if is_recipe(document.keys):
        _refuse_params(str(path), params)
        return _of_recipe(str(path), diagnostics, shape)
    return architecture_network(path, diagnostics, params=params, input_shape=shape)


def _refuse_params(target: str, params: Mapping | None) -> None:
    """Raises UsageError for params beside a recipe or a run, which have their own."""
    if params is not None:
        raise UsageError(
            f"{target} has its own params: {', '.join(params.keys)} cannot be given beside it",
            help="name the architecture itself, or write a recipe that extends this one",
        )


def _of_recipe(name: str, diagnostics: Diagnostics, shape: Shape | None) -> Network | None:
    """A recipe's network, for the images and classes of its data where these are sure."""
    resolved = resolve(name, (), diagnostics)
    if resolved is None:
        return None
    sure, classes = sure_of_data(resolved)
    found = network_of(resolved, diagnostics, input_shape=shape or sure)
    return found.for_classes(classes) if found is not None and classes is not None else found


def _of_run(path: Path, diagnostics: Diagnostics, shape: Shape | None) -> Network | None:
    """A run's network, from the architecture it keeps; a foreign one from its recipe, for what it was built for."""
    resolved = resolve(str(run_file(path, RESOLVED)), (), diagnostics)
    if resolved is None:
        return None
    if resolved.recipe.model.architecture is not None:
        return architecture_network(run_file(path, ARCHITECTURE), diagnostics, input_shape=shape)
    own, classes = foreign_as_built(path)
    found = network_of(resolved, diagnostics, input_shape=shape or own)
    if found is None:
        return None
    return (found.for_classes(classes) if classes is not None else found).untrained


def run_named(target: str) -> Path | None:
    """The run folder that a TARGET names: by path, or the latest in a folder of runs; one under ./runs goes by name.

    Names of what ships come first.
    """
    path = Path(target)
    if is_of_run(path):
        return run_of(path)
    if is_file(path) or target in architecture_names() or shipped_recipe(target) is not None:
        return None
    return newest_run(path) or newest_run(RUNS / target)


def run_file(run: Path, name: str) -> Path:
    """A file of a run folder. Raises UsageError where the folder is none."""
    if not is_file(run / name):
        raise UsageError(f"{run} is no run folder: it has no {name}", code="no-run")
    return run / name


def planned(target: str, diagnostics: Diagnostics, *, input_shape: Shape | None = None) -> Plan | None:
    """The plan of a TARGET. Raises UsageError for a foreign model, which has none."""
    found = network(target, diagnostics, input_shape=input_shape)
    if found is not None and found.plan is None:
        raise UsageError(f"{target} is another library's model: it has no plan", help="zoo summary shows its layers")
    return found.plan if found is not None else None
