"""The classes of an ejected file: which instances share one, its parameters, its optional parts. Floor 6.

Blocks are solved from the inside out, because what an inner block's class takes is a constant of the block around it.
Instances of one form are one class. A form that another one contains, but for layers that it passes by (a shortcut
without projection), joins that one's class: where a condition is not met, a module is ``nn.Identity`` there, and a
function does not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from zoo.exchange.eject.conditions import condition
from zoo.exchange.eject.forms import Described, describe
from zoo.exchange.eject.instances import Instance
from zoo.exchange.eject.names import ClassNames
from zoo.exchange.eject.solving import Parameter, Solution, solve
from zoo.exchange.eject.variants import Variant, variants_of
from zoo.graph import Ref
from zoo.graph.python_text import class_identifier, fresh


@dataclass(frozen=True, slots=True)
class Switch:
    """A function that some instances lack: the attribute that says so, its condition, what stands in its place."""

    attribute: str
    condition: str
    otherwise: Ref


@dataclass(eq=False)
class EjectedClass:
    """A class to be written. ``optional`` maps modules to the conditions under which they are there, ``switches``
    functions.
    """

    name: str
    described: list[Described]  # all its instances, the fullest first
    solution: Solution
    optional: dict[str, str] = field(default_factory=dict)
    switches: dict[str, Switch] = field(default_factory=dict)

    @property
    def pattern(self) -> Instance:
        """The instance whose block has every step."""
        return self.described[0].instance

    def arguments(self, instance: Instance) -> dict[str, Any]:
        """What the constructor takes for one of its instances."""
        index = self._places[id(instance)]
        return {parameter.name: parameter.column[index] for parameter in self.solution.parameters}

    @cached_property
    def _places(self) -> dict[int, int]:
        return {id(each.instance): index for index, each in enumerate(self.described)}


@dataclass
class Classes:
    """All classes, inner ones first, and which of them each instance is of."""

    ordered: list[EjectedClass] = field(default_factory=list)
    of: dict[int, EjectedClass] = field(default_factory=dict)

    def __call__(self, instance: Instance) -> tuple[EjectedClass, Mapping[str, Any]]:
        """An instance's class and its constructor arguments."""
        cls = self.of[id(instance)]
        return cls, cls.arguments(instance)


def classes_of(root: Instance, names: ClassNames) -> Classes:
    """Solves every block of a network."""
    classes = Classes()
    by_definition: dict[tuple[str, str, bool], list[Instance]] = {}
    for instance in root.walk():
        if not instance.is_inline:
            by_definition.setdefault(instance.definition, []).append(instance)
    optional = _optional(by_definition.values())
    waiting = list(by_definition.values())
    while waiting:
        ready = [group for group in waiting if all(_is_solved(instance, classes) for instance in group)]
        assert ready, "two blocks wait for each other"
        for group in ready:
            _solve_definition(group, names, classes, is_optional={id(each) for each in group} <= optional)
        waiting = [group for group in waiting if group not in ready]
    return classes


def _optional(groups: Iterable[list[Instance]]) -> set[int]:
    """The instances of blocks that others of the same block around them lack."""
    found: set[int] = set()
    for group in groups:
        names = {name for each in group for name in each.children}
        lacking = {name for name in names if any(name not in each.children for each in group)}
        found |= {id(each.children[name]) for each in group for name in lacking & each.children.keys()}
    return found


def _is_solved(instance: Instance, classes: Classes) -> bool:
    return all(
        _is_solved(child, classes) if child.is_inline else id(child) in classes.of
        for child in instance.children.values()
    )


def _solve_definition(group: list[Instance], names: ClassNames, classes: Classes, *, is_optional: bool) -> None:
    """Makes the class, or the classes, of one block's instances."""
    described = [describe(instance, classes) for instance in group]
    variants = variants_of(described)
    for index, variant in enumerate(variants):
        name = names.of(variant.described[0].instance, _difference(variants[0], variant, index))
        made = _make_class(name, variant, names.taken, is_optional)
        classes.ordered.append(made)
        classes.of |= {id(each.instance): made for each in variant.described}


def _difference(usual: Variant, variant: Variant, index: int) -> str:
    """What a variant's name says beside the block's: ``WithoutAdd``, ``WithExpand``; nothing for the usual one."""
    ours, theirs = dict(variant.described[0].form.steps), dict(usual.described[0].form.steps)
    more = [class_identifier(name) for name in ours if name not in theirs]
    fewer = [class_identifier(name) for name in theirs if name not in ours and name not in usual.passes]
    if index == 0 or len(more) + len(fewer) > 2 or (more and fewer):
        return ""
    return f"With{'And'.join(more)}" if more else f"Without{'And'.join(fewer)}" if fewer else ""


def _make_class(name: str, variant: Variant, taken: AbstractSet[str], is_optional: bool) -> EjectedClass:
    described = variant.described
    steps = described[0].form.steps
    solution = solve(described, {step for step, _ in steps}, taken, is_optional=is_optional)
    made = EjectedClass(name, described, solution)
    present = [{step for step, _ in each.form.steps} for each in described]
    for step, form in steps:
        there = tuple(step in each for each in present)
        if all(there):
            continue
        text = condition(step, there, solution) or _flag(step, there, described, solution)
        if form.kind == "function":
            made.switches[step] = Switch(fresh(f"has_{step}", solution.attributes), text, variant.passes[step])
        else:
            made.optional[step] = text
    return made


def _flag(step: str, there: tuple[bool, ...], described: list[Described], solution: Solution) -> str:
    """A new parameter that says whether the step is there; it bears the YAML param's name, where there is one."""
    params = described[0].instance.params
    written = [name for name in params if tuple(each.instance.params[name] for each in described) == there]
    name = fresh(next(iter(written), f"has_{step}"), solution.names)
    solution.parameters.append(Parameter(name, there))
    return name
