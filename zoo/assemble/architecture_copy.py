"""The architecture as a run keeps it: a file, and beside it the block libraries that it uses. Floor 7."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from zoo.architectures import FOLDER
from zoo.assemble.defaults import DEFAULT, with_value
from zoo.assemble.networks import Network, architecture_of
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Node, Scalar, each_of, from_data, plain, read_file
from zoo.document.writer import escaped, write, write_data
from zoo.errors import CheckpointError
from zoo.graph import find_library
from zoo.layout import ARCHITECTURE, LIBRARIES
from zoo.models import read_architecture


def architecture_files(resolved: Resolved, network: Network) -> dict[str, str]:
    """The network's file as built, and those of its libraries: their names in the run folder, and their texts.

    What the architecture extends is merged in; its params and input are those that it was built with.
    """
    if network.plan is None:
        return {ARCHITECTURE: write_data(_foreign(network))}
    document, path = read_architecture(architecture_of(resolved), Diagnostics())
    assert document is not None
    shapes = {name: list(shape) for name, shape in network.inputs.items()}
    inputs = next(iter(shapes.values())) if list(shapes) == ["input"] else shapes
    document = with_value(document, ("input",), inputs)
    if network.plan.params:
        document = document.replacing("params", escaped(from_data(dict(network.plan.params), DEFAULT)))
    libraries = _Libraries()
    return {ARCHITECTURE: write(libraries.kept(document, path.parent, f"{LIBRARIES}/")), **libraries.files}


@dataclass
class _Libraries:
    """The copies of block libraries, each made once. Shipped ones stay where they are."""

    files: dict[str, str] = field(default_factory=dict)
    _names: dict[Path, str] = field(default_factory=dict)

    def kept(self, document: Mapping, folder: Path, where: str) -> Mapping:
        """The document with ``use`` naming the copies; ``where`` leads from its own copy's folder to theirs."""
        use = document.get("use")
        if use is None:
            return document
        return with_value(document, ("use",), [self._name(item, folder, where) for item in each_of(use)])

    def _name(self, node: Node, folder: Path, where: str) -> str:
        assert isinstance(node, Scalar)
        path = find_library(node, folder)
        if path is None or path.resolve().parent == FOLDER:
            return str(node.value)
        key = path.resolve()
        if key not in self._names:
            taken = set(self._names.values())
            names = (f"{path.stem}{number or ''}{path.suffix}" for number in range(len(taken) + 1))
            self._names[key] = next(name for name in names if name not in taken)
            document, _ = read_architecture(path, Diagnostics())
            assert document is not None
            self.files[f"{LIBRARIES}/{self._names[key]}"] = write(self.kept(document, path.parent, ""))
        return f"{where}{self._names[key]}"


def _foreign(network: Network) -> dict[str, Any]:
    library, _, name = network.name.partition(":")
    layer: dict[str, Any] = {"op": library, "name": name}
    if network.foreign is not None:
        layer |= plain_arguments(network)
    return {"name": name.replace(".", "_"), "input": list(network.inputs["input"]), "layers": {"model": layer}}


@dataclass(frozen=True)
class _ForeignLayer:
    num_classes: int | None = None


@dataclass(frozen=True)
class _ForeignCopy:
    """What is read of a foreign model's copy."""

    input: tuple[int, ...] | None = None
    layers: dict[str, _ForeignLayer] = field(default_factory=dict)


def foreign_as_built(run: Path) -> tuple[tuple[int, ...] | None, int | None]:
    """The images' shape and the classes that a run's foreign model was built for; None for what its copy lacks.

    Raises CheckpointError where the copy says what no run writes.
    """
    document = read_file(run / ARCHITECTURE, Diagnostics())
    try:
        copy = TypeAdapter(_ForeignCopy).validate_python(plain(document) if document is not None else {})
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise CheckpointError(
            f"{run / ARCHITECTURE} is damaged: at {place} it says what no run writes",
            help="put the file back as the run wrote it; without it the model is built as its recipe says",
        ) from None
    return copy.input, copy.layers.get("model", _ForeignLayer()).num_classes


def plain_arguments(network: Network) -> dict[str, Any]:
    """A foreign model's arguments, the number of classes among them."""
    assert network.foreign is not None
    classes = {} if network.classes is None else {"num_classes": network.classes}
    return {**network.foreign.arguments, **classes}
