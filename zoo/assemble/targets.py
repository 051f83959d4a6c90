"""TARGET: a recipe, an architecture, a timm or torchvision model, or a run folder, as a network. Floor 7."""

from __future__ import annotations

from pathlib import Path

from zoo.assemble.layout import ARCHITECTURE, RESOLVED
from zoo.assemble.networks import Network, Shape, architecture_network, foreign_network, network_of, with_arguments
from zoo.assemble.resolve import resolve
from zoo.assemble.shipped import recipe_names, shipped_recipe
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import Mapping, from_data, read_file
from zoo.errors import UsageError
from zoo.graph import Plan
from zoo.models import architecture_names
from zoo.registry import did_you_mean
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

    ``params`` go to an architecture or a foreign model. Raises UsageError where there is no such target.
    """
    node = from_data(params, _CALL) if params else None
    assert node is None or isinstance(node, Mapping)
    if target.startswith(FOREIGN):
        return with_arguments(foreign_network(target, input_shape), node, diagnostics)
    path = Path(target)
    if path.is_dir():
        return _of_run(run_of(path), diagnostics, input_shape)
    if path.is_file():
        return _of_file(path, diagnostics, node, input_shape)
    if target in architecture_names():
        return architecture_network(target, diagnostics, params=node, input_shape=input_shape)
    if shipped_recipe(target) is not None:
        return _of_recipe(target, diagnostics, input_shape)
    raise UsageError(
        f"there is no target {target!r}",
        code="no-such-target",
        notes=["a target is a recipe or architecture, by file or name, timm:NAME, torchvision:NAME, or a run folder"],
        help=did_you_mean(path.stem, [*architecture_names(), *recipe_names()]),
    )


def _of_file(path: Path, diagnostics: Diagnostics, params: Mapping | None, shape: Shape | None) -> Network | None:
    document = read_file(path, diagnostics)
    if document is None:
        return None
    if is_recipe(document.keys):
        return _of_recipe(str(path), diagnostics, shape)
    return architecture_network(path, diagnostics, params=params, input_shape=shape)


def _of_recipe(name: str, diagnostics: Diagnostics, shape: Shape | None) -> Network | None:
    resolved = resolve(name, (), diagnostics)
    return network_of(resolved, diagnostics, input_shape=shape) if resolved is not None else None


def _of_run(path: Path, diagnostics: Diagnostics, shape: Shape | None) -> Network | None:
    """A run's network, from the architecture it keeps; a foreign one from its recipe."""
    resolved = resolve(str(run_file(path, RESOLVED)), (), diagnostics)
    if resolved is None or resolved.recipe.model.architecture is None:
        return network_of(resolved, diagnostics, input_shape=shape) if resolved is not None else None
    return architecture_network(run_file(path, ARCHITECTURE), diagnostics, input_shape=shape)


def run_of(folder: Path) -> Path:
    """The run folder that a checkpoint's folder lies in; any other folder itself."""
    whole = folder.absolute()
    if whole.parent.name != "checkpoints" or (folder / RESOLVED).is_file():
        return folder
    return folder.parent.parent if len(folder.parts) > 2 else whole.parent.parent


def run_file(run: Path, name: str) -> Path:
    """A file of a run folder. Raises UsageError where the folder is none."""
    if not (run / name).is_file():
        raise UsageError(f"{run} is no run folder: it has no {name}", code="no-run")
    return run / name


def planned(target: str, diagnostics: Diagnostics, *, input_shape: Shape | None = None) -> Plan | None:
    """The plan of a TARGET. Raises UsageError for a foreign model, which has none."""
    found = network(target, diagnostics, input_shape=input_shape)
    if found is not None and found.plan is None:
        raise UsageError(f"{target} is another library's model: it has no plan", help="zoo summary shows its layers")
    return found.plan if found is not None else None
