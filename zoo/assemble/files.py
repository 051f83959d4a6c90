"""What a run writes about itself before it trains: recipe, resolved recipe, architecture, environment. Floor 7."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.assemble.build import Built
from zoo.assemble.check import Parts
from zoo.assemble.complete import complete
from zoo.assemble.defaults import with_value
from zoo.assemble.environment import environment
from zoo.assemble.keeping import written_paths
from zoo.assemble.layout import ARCHITECTURE, DATA, ENVIRONMENT, RECIPE, RESOLVED
from zoo.assemble.networks import Network, architecture_file
from zoo.assemble.resolve import Resolved
from zoo.data import wants_statistics
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping
from zoo.document.writer import write, write_data
from zoo.models import read_architecture
from zoo.train import RunFolder
from zoo.train.folder import write_atomically


def write_beginning(
    folder: RunFolder, resolved: Resolved, parts: Parts, built: Built, range_test: dict[str, Any] | None = None
) -> None:
    """Writes recipe.yaml, resolved.yaml, architecture.yaml, data.json and env.json. Raises EnvironmentFault.

    ``range_test`` is what env.json says of the LR range test that gave the run its rate.
    """
    write_atomically(folder.path / RECIPE, resolved.text)
    write_atomically(folder.path / RESOLVED, write(resolved_document(resolved, parts)))
    write_atomically(folder.path / ARCHITECTURE, architecture_text(resolved, built.base.network))
    folder.write_json(DATA, asdict(built.dataset.describe(with_statistics=wants_statistics(parts.eval_transforms))))
    runtime = built.training.runtime
    facts = environment(device=runtime.device, seed=resolved.recipe.seed, fingerprint=built.dataset.fingerprint)
    facts["written"] = written_paths(resolved.document)
    facts["choices"] = dict(built.training.choices)
    facts["data"] = {"name": built.dataset.name, "found": built.dataset.found}
    if range_test is not None:
        facts["lr_range_test"] = range_test
    folder.write_json(ENVIRONMENT, facts)


def resolved_document(resolved: Resolved, parts: Parts) -> Mapping:
    """The recipe with every default. An architecture given as a file is the run's own copy: it cannot change."""
    document = complete(resolved, parts)
    architecture = resolved.recipe.model.architecture
    if architecture is not None and isinstance(architecture_file(architecture, resolved.folder), Path):
        document = with_value(document, ("model", "architecture"), ARCHITECTURE)
    return document


def architecture_text(resolved: Resolved, network: Network) -> str:
    """The architecture file of the network as built: what it extends merged in, its params and input as they were."""
    if network.plan is None:
        return write_data(_foreign(network))
    architecture = resolved.recipe.model.architecture
    assert architecture is not None
    document, _ = read_architecture(architecture_file(architecture, resolved.folder), Diagnostics())
    assert document is not None
    shapes = {name: list(shape) for name, shape in network.inputs.items()}
    inputs = next(iter(shapes.values())) if list(shapes) == ["input"] else shapes
    document = with_value(document, ("input",), inputs)
    if network.plan.params:
        document = with_value(document, ("params",), dict(network.plan.params))
    return write(document)


def _foreign(network: Network) -> dict[str, Any]:
    library, _, name = network.name.partition(":")
    layer: dict[str, Any] = {"op": library, "model": name}
    if network.foreign is not None:
        layer |= plain_arguments(network)
    return {"name": name.replace(".", "_"), "input": list(network.inputs["input"]), "layers": {"model": layer}}


def plain_arguments(network: Network) -> dict[str, Any]:
    """A foreign model's arguments, the number of classes among them."""
    assert network.foreign is not None
    classes = {} if network.classes is None else {"num_classes": network.classes}
    return {**network.foreign.arguments, **classes}
