"""The classes of an ejected file: which instances share one, its parameters, its optional parts. Floor 6.

Blocks are solved from the inside out, because what an inner block's class takes is a constant of the block around it.
Instances of one form are one class. A form that another one contains, but for layers that it passes by (a shortcut
without projection), joins that one's class: there the layer is ``nn.Identity`` where a condition is not met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from zoo.exchange.eject.forms import Described, Form, StepForm, describe
from zoo.exchange.eject.instances import Instance
from zoo.exchange.eject.solving import Parameter, Solution, solve
from zoo.graph import Ref
from zoo.graph.python_text import class_identifier, fresh

_FACTORS = (2, 4, 6, 8)  # of widths that a condition may compare


@dataclass(eq=False)
class EjectedClass:
    """A class to be written. ``optional`` maps a step to the condition under which it is there."""

    name: str
    described: list[Described]  # all its instances, the fullest first
    solution: Solution
    optional: dict[str, str] = field(default_factory=dict)

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


def classes_of(root: Instance, root_name: str) -> Classes:
    """Solves every block of a network."""
    classes = Classes()
    by_definition: dict[tuple[str, str], list[Instance]] = {}
    for instance in root.walk():
        if not instance.is_inline:
            by_definition.setdefault(instance.definition, []).append(instance)
    names = {class_identifier(root_name)}
    waiting = list(by_definition.values())
    while waiting:
        ready = [group for group in waiting if all(_is_solved(instance, classes) for instance in group)]
        for group in ready:
            _solve_definition(group, root_name, names, classes)
        waiting = [group for group in waiting if group not in ready]
    return classes


def _is_solved(instance: Instance, classes: Classes) -> bool:
    return all(
        _is_solved(child, classes) if child.is_inline else id(child) in classes.of
        for child in instance.children.values()
    )


def _solve_definition(group: list[Instance], root_name: str, names: set[str], classes: Classes) -> None:
    """Makes the class, or the classes, of one block's instances."""
    described = [describe(instance, classes) for instance in group]
    variants = _variants(described)
    for index, variant in enumerate(variants):
        first = variant[0].instance
        if first.call is None:
            name = class_identifier(root_name)
        else:
            stem = class_identifier(first.block.class_name or first.call.name, prefix="Layer")
            name = _unused(stem + _difference(variants[0][0].form, variant[0].form, index), names)
        made = _make_class(name, variant)
        classes.ordered.append(made)
        classes.of |= {id(each.instance): made for each in variant}


def _unused(name: str, names: set[str]) -> str:
    stem, number = name, 2
    while name in names:
        name, number = f"{stem}{number}", number + 1
    names.add(name)
    return name


def _difference(usual: Form, form: Form, index: int) -> str:
    """What a variant's name says beside the block's: ``WithoutAdd``, ``WithExpand``; nothing for the usual one."""
    if index == 0:
        return ""
    ours, theirs = dict(form.steps), dict(usual.steps)
    more = [class_identifier(name) for name in ours if name not in theirs]
    fewer = [class_identifier(name) for name in theirs if name not in ours]
    if more and not fewer and len(more) <= 2:
        return f"With{'And'.join(more)}"
    if fewer and not more and len(fewer) <= 2:
        return f"Without{'And'.join(fewer)}"
    return ""


def _variants(described: list[Described]) -> list[list[Described]]:
    """Instances by form, the form of the most instances first; forms that another contains join it."""
    forms: dict[Form, list[Described]] = {}
    for each in described:
        forms.setdefault(each.form, []).append(each)
    fullest_first = sorted(forms, key=lambda form: -len(form.steps))
    groups: list[list[Described]] = []
    for form in fullest_first:
        home = next((group for group in groups if _contains(group[0].form, form)), None)
        if home is None:
            groups.append(list(forms[form]))
        else:
            home.extend(forms[form])
    return sorted(groups, key=lambda group: -len(group))


def _contains(full: Form, part: Form) -> bool:
    """Whether ``part`` is ``full`` with some modules passed by, each handing on its one input."""
    passed: dict[str, Ref] = {}
    ours, theirs = dict(full.steps), dict(part.steps)
    if full.inputs != part.inputs or not set(theirs) <= set(ours) or not full.output:
        return False
    for name, step in ours.items():
        step = _redirected(step, passed)
        if name in theirs:
            if step != theirs[name]:
                return False
        elif step.kind in ("module", "block") and len(step.inputs) == 1 and not step.named_inputs:
            passed[name] = step.inputs[0]
        else:
            return False
    return _redirect_output(full.output, passed) == part.output


def _redirect(ref: Ref, passed: Mapping[str, Ref]) -> Ref:
    if ref.name not in passed:
        return ref
    return replace(passed[ref.name], picks=(*passed[ref.name].picks, *ref.picks))


def _redirected(step: StepForm, passed: Mapping[str, Ref]) -> StepForm:
    return replace(
        step,
        inputs=tuple(_redirect(ref, passed) for ref in step.inputs),
        named_inputs=tuple((name, _redirect(ref, passed)) for name, ref in step.named_inputs),
        batch_like=step.batch_like and _redirect(step.batch_like, passed),
    )


def _redirect_output(output: tuple[Any, ...], passed: Mapping[str, Ref]) -> tuple[Any, ...]:
    kind, refs = output
    if kind == "one":
        return kind, _redirect(refs, passed)
    if kind == "dict":
        return kind, tuple((name, _redirect(ref, passed)) for name, ref in refs)
    return kind, tuple(_redirect(ref, passed) for ref in refs)


def _make_class(name: str, described: list[Described]) -> EjectedClass:
    full = described[0].form
    solution = solve(described, {step for step, _ in full.steps})
    made = EjectedClass(name, described, solution)
    for step, _ in full.steps:
        there = tuple(step in dict(each.form.steps) for each in described)
        if not all(there):
            made.optional[step] = _condition(step, there, described, solution)
    return made


def _condition(step: str, there: tuple[bool, ...], described: list[Described], solution: Solution) -> str:
    """A text over the class's parameters that is true where the step is there; a new parameter where none is."""
    tests: list[tuple[str, tuple[bool, ...]]] = []
    numbers = [each for each in solution.parameters if all(type(value) is int for value in each.column)]
    tests += [(each.name, each.column) for each in solution.parameters if all(type(v) is bool for v in each.column)]
    for index, one in enumerate(numbers):
        for other in numbers[index + 1 :]:
            tests.append((f"{one.name} != {other.name}", _unequal(one.column, other.column)))
    for one in numbers:
        for other in numbers:
            for factor in _FACTORS:
                product = tuple(factor * value for value in other.column)
                tests.append((f"{one.name} != {factor} * {other.name}", _unequal(one.column, product)))
        for usual in dict.fromkeys(one.column):
            tests.append((f"{one.name} != {usual}", _unequal(one.column, (usual,) * len(there))))
    for text, column in tests:
        if column == there:
            return text
    for index, (text, column) in enumerate(tests):
        for second, values in tests[index + 1 :]:
            if tuple(a or b for a, b in zip(column, values, strict=True)) == there:
                return f"{text} or {second}"
    taken = {parameter.name for parameter in solution.parameters}
    params = described[0].instance.params
    written = [name for name in params if tuple(each.instance.params[name] for each in described) == there]
    name = fresh(next(iter(written), f"has_{step.replace('-', '_')}"), taken)
    solution.parameters.append(Parameter(name, there))
    return name


def _unequal(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[bool, ...]:
    return tuple(a != b for a, b in zip(one, other, strict=True))
