"""Initialisers and frozen parameters: where in the ejected file each is said. Floor 6.

What all instances of a class have in common is said in that class; what differs is said by the block around them, at
the top by the network. What holds for every layer of a kind in the whole network is one loop over its modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from zoo.exchange.eject.classes import Classes, EjectedClass
from zoo.exchange.eject.instances import Instance
from zoo.graph import Init, Step
from zoo.graph.python_text import is_attribute, literal
from zoo.layers import initialisers, ops

Path: TypeAlias = tuple[str, ...]
InitCall: TypeAlias = tuple[str, tuple[tuple[str, Any], ...]]  # an initialiser's name and arguments; hashable
FEWEST_FOR_A_LOOP = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter or buffer, by its path, frozen (``init`` is None) or initialised."""

    path: Path
    init: InitCall | None

    @property
    def images_wanted(self) -> int:
        """How many training images it is computed from; 0 where from none."""
        return 0 if self.init is None else initialisers[self.init[0]].images_wanted(dict(self.init[1]))


@dataclass
class Settings:
    """What each class says; ``by_kind`` maps an op to the initialisers of its parameters in the whole network."""

    of: dict[EjectedClass, list[Setting]] = field(default_factory=dict)
    by_kind: dict[str, dict[str, InitCall]] = field(default_factory=dict)


def settings_of(root: Instance, classes: Classes) -> Settings:
    """Distributes a network's settings over its classes."""
    settings = Settings(by_kind=_by_kind(root))
    left: dict[int, list[Setting]] = {}

    def gather(instance: Instance) -> list[Setting]:
        """What is to be said of an instance, the part that its own class says left out."""
        found: list[Setting] = []
        for step in instance.block.steps:
            found += _own(step, settings.by_kind)
            child = instance.children.get(step.name)
            if child is not None:
                below = gather(child) if child.is_inline else left[id(child)]
                found += [Setting((step.name, *each.path), each.init) for each in below]
        return found

    for cls in classes.ordered:
        gathered = [gather(each.instance) for each in cls.described]
        here = _in_all(gathered, cls)
        settings.of[cls] = list(here)
        for described, found in zip(cls.described, gathered, strict=True):
            left[id(described.instance)] = [each for each in found if each not in here]
    return settings


def parameter_paths(instance: Instance) -> Iterator[Path]:
    """The paths of all parameters below an instance, buffers left out."""
    for step in instance.block.steps:
        for spec in step.parameters:
            if not spec.is_buffer:
                yield _path(step, spec.name)
        child = instance.children.get(step.name)
        if child is not None:
            yield from ((step.name, *path) for path in parameter_paths(child))


def collapsed(frozen: Iterable[Path], instance: Instance) -> list[Path]:
    """Frozen parameters as few paths: a module all of whose parameters are frozen stands for them."""
    left = dict.fromkeys(frozen)
    every: dict[Path, list[Path]] = {}  # below each module, and itself
    for path in parameter_paths(instance):
        for length in range(1, len(path) + 1):
            every.setdefault(path[:length], []).append(path)
    found: list[Path] = []
    for path in list(left):
        if path not in left:
            continue
        for length in range(1, len(path) + 1):
            below = every[path[:length]]
            if all(each in left for each in below):
                found.append(path[:length])
                for each in below:
                    del left[each]
                break
    return found


def reach(instance: Instance, path: Path) -> str:
    """How a class's constructor reaches a module or parameter: ``self.layer1[0].conv1.weight``."""
    text = "self"
    here: Instance | None = instance
    for name in path:
        if here is not None and here.is_list:
            text += f"[{name}]"
        else:
            text = f"{text}.{name}" if is_attribute(name) else f"getattr({text}, {literal(name)})"
        here = here.children.get(name) if here is not None else None
    return text


def _path(step: Step, name: str) -> Path:
    return (step.name, *name.split(".")) if name and step.kind == "module" else (step.name,)


def _hashable(init: Init) -> InitCall:
    return init.name, tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in init.arguments.items())


def _own(step: Step, by_kind: Mapping[str, Mapping[str, Any]]) -> list[Setting]:
    found = []
    for spec in step.parameters:
        is_zero_already = step.kind != "module" and spec.init is not None and spec.init.name == "zeros"
        if spec.init is not None and not is_zero_already and spec.name not in by_kind.get(step.op, {}):
            found.append(Setting(_path(step, spec.name), _hashable(spec.init)))
        if not spec.trainable and not spec.is_buffer:
            found.append(Setting(_path(step, spec.name), None))
    return found


def _in_all(gathered: list[list[Setting]], cls: EjectedClass) -> dict[Setting, None]:
    """The settings that every instance has which has their layer, in order."""
    names = [{step.name for step in each.instance.block.steps} for each in cls.described]
    pairs = list(zip(map(set, gathered), names, strict=True))
    return {
        setting: None
        for setting in gathered[0]
        if all(setting in found or setting.path[0] not in there for found, there in pairs)
    }


def _by_kind(root: Instance) -> dict[str, dict[str, InitCall]]:
    """Initialisers that all layers of an op share, where a loop over the modules finds just those layers."""
    steps = [step for instance in root.walk() for step in instance.block.steps if step.kind == "module"]
    if any("." in spec.name for step in steps for spec in step.parameters):
        return {}  # a layer that holds layers: a loop would reach inside
    inits: dict[str, dict[str, list[Any]]] = {}
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.op] = counts.get(step.op, 0) + 1
        for spec in step.parameters:
            inits.setdefault(step.op, {}).setdefault(spec.name, []).append(spec.init and _hashable(spec.init))
    found = {}
    for op, names in inits.items():
        # Only a bias may be missing somewhere: the loop asks for it.
        there = {name: forms for name, forms in names.items() if name == "bias" or len(forms) == counts[op]}
        shared = {name: forms[0] for name, forms in there.items() if len(set(forms)) == 1 and forms[0] is not None}
        plain = {name: init for name, init in shared.items() if not initialisers[init[0]].needs_images}
        if plain and counts[op] >= FEWEST_FOR_A_LOOP and not _has_kin(op, counts):
            found[op] = plain
    return found


def _has_kin(op: str, used: Iterable[str]) -> bool:
    """Whether ``isinstance`` would take another op of the network for this one."""
    target = ops[op].target
    kinds = [ops[other].target for other in used if other != op]
    # what a function builds may be of any class
    return not isinstance(target, type) or any(not isinstance(kind, type) or issubclass(kind, target) for kind in kinds)
