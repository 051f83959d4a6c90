"""Which constants of a class are literals, which are constructor parameters, and which follow from those. Floor 6.

The constants at one place, over all instances of the class, are a column. A column that is equal everywhere is a
literal. One that equals a param of the YAML block is that param; columns that agree are one parameter; a column that
is a fixed multiple or part of another is written so (``channels // 2``).
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from zoo.exchange.eject.forms import Constant, Described, Slot
from zoo.exchange.eject.relations import ABSENT, Column, agree, is_constant, is_scalar, key, relation
from zoo.graph.plan import TensorSpec
from zoo.graph.python_text import fresh, literal

_INCOMING = ("in_channels", "in_features", "num_features", "num_channels", "normalized_shape", "embed_dim")
_OUTGOING = ("out_channels", "out_features", "groups")
_NEUTRAL = (0, 1, True, False, None, "")


@dataclass
class Parameter:
    """A constructor parameter: its value for each instance; ``in_forward`` where the forward reads it.

    ``given`` is the YAML param that it stands for, if any: Python may want another name. The forward reads it as the
    attribute, whose name no submodule and nothing of ``nn.Module`` bears.
    """

    name: str
    column: Column
    in_forward: bool = False
    given: str = ""
    attribute: str = ""

    @property
    def default(self) -> tuple[Any] | None:
        """The neutral value (0, 1, false, nothing) that half the instances have, if there is one."""
        if self.name in _INCOMING:
            return None
        keys = key(self.column)
        usual = [value for kind, value in dict.fromkeys(keys) if 2 * keys.count((kind, value)) >= len(keys)]
        return next(((value,) for value in usual if value in _NEUTRAL), None)

    @property
    def annotation(self) -> str:
        """Its type hint."""
        types = {type(value) for value in self.column}
        nothing = " | None" if type(None) in types else ""
        names = sorted(kind.__name__ for kind in types - {type(None)})
        return (" | ".join(["float"] if names == ["float", "int"] else names)) + nothing


@dataclass
class Solution:
    """The parameters of a class, and the text of each constant in terms of them."""

    parameters: list[Parameter] = field(default_factory=list)
    texts: dict[Slot, str] = field(default_factory=dict)  # where modules are built
    forward: dict[Slot, tuple[Parameter | None, str]] = field(default_factory=dict)  # {0}: parameter or first input
    names: set[str] = field(default_factory=set)  # what no further parameter may be called
    attributes: set[str] = field(default_factory=set)  # what no further attribute may be called


def solve(
    described: Sequence[Described], steps: AbstractSet[str], taken: AbstractSet[str], *, is_optional: bool = False
) -> Solution:
    """Solves a class, given all its instances, its steps' names and the file's names, which no parameter may bear.

    ``is_optional`` says that the block is not there in each block of its kind around it.
    """
    return _Solver(described, steps, taken, is_optional).solution()


class _Solver:
    def __init__(
        self, described: Sequence[Described], steps: AbstractSet[str], taken: AbstractSet[str], is_optional: bool
    ) -> None:
        self._described = described
        self._steps = steps
        params = {
            name: tuple(each.instance.params[name] for each in described) for name in described[0].instance.params
        }
        # What all instances are given alike is part of the block, unless it is there just because of it: a stride of 2.
        stays = {name for name, column in params.items() if is_constant(column)}
        stays -= {name for name in stays if is_optional and params[name][0] not in _NEUTRAL}
        self._given = {name: column for name, column in params.items() if is_scalar(column) and name not in stays}
        slots = dict.fromkeys(slot for each in described for slot in each.constants)
        self._constants = {slot: self._first(slot) for slot in slots}
        self._columns = {slot: self._column(slot) for slot in slots}
        self._incoming = _incoming_width(described)
        self._solution = Solution(names=set(taken), attributes={*steps, *dir(nn.Module())})

    def _first(self, slot: Slot) -> Constant:
        return next(each.constants[slot] for each in self._described if slot in each.constants)

    def _column(self, slot: Slot) -> Column:
        return tuple(each.constants[slot].value if slot in each.constants else ABSENT for each in self._described)

    def solution(self) -> Solution:
        """Texts for all constants, and the parameters in the order of the signature."""
        solution = self._solution
        for slot, column in self._columns.items():
            present = [value for value in column if value is not ABSENT]
            if is_constant(present):
                solution.texts[slot] = self._param_of(slot, column, present[0]) or literal(present[0])
            elif self._constants[slot].is_read:
                solution.forward[slot] = self._read(slot, column)
            else:
                solution.texts[slot] = self._built(slot, column)
        solution.parameters.sort(key=self._order)
        for parameter in solution.parameters:
            if parameter.in_forward:
                parameter.attribute = fresh(parameter.name, solution.attributes)
        return solution

    def _order(self, parameter: Parameter) -> tuple[bool, int]:
        given = list(self._given)
        return parameter.name not in _INCOMING, given.index(parameter.given) if parameter.given else len(given)

    def _built(self, slot: Slot, column: Column) -> str:
        """A constant of a constructor."""
        name = self._constants[slot].name
        exact = self._equal(column)
        if exact is not None:
            return exact.name
        if name in _INCOMING and self._incoming:
            # What comes in is not told from what goes out, even if it is always half of it: the input says it.
            text = "{0}" if agree(self._incoming, column) else relation(self._incoming, column)
            if text is not None:
                width = self._equal(self._incoming) or self._new(slot, self._incoming)
                return text.format(width.name)
        base, text = self._related(column, name) or (self._new(slot, column), "{0}")
        return text.format(base.name)

    def _param_of(self, slot: Slot, column: Column, value: Any) -> str | None:
        """The param, or incoming width, that a constant is wherever it is there: of a layer that some instances lack.

        It is one number by chance, since few instances have the layer; any other instance would want its own. That is
        known of widths, and of what a YAML param of the same name says.
        """
        name = self._constants[slot].name
        if self._constants[slot].is_read:
            return None
        if name in self._given and agree(self._given[name], column):
            return self._adopt(name).name
        is_width = name in _INCOMING or name in _OUTGOING
        if not is_width or type(value) is not int or value in _NEUTRAL or all(item is not ABSENT for item in column):
            return None
        exact = self._equal(column)
        if exact is None and name in _INCOMING and self._incoming and agree(self._incoming, column):
            exact = self._new(slot, self._incoming)
        return None if exact is None else exact.name

    def _read(self, slot: Slot, column: Column) -> tuple[Parameter | None, str]:
        """A constant of the forward: a YAML param, else a size of the first input, else a parameter."""
        exact = self._equal(column)
        if exact is None or exact.name not in self._given:
            text = self._from_shape(slot, column)
            if text is not None:
                return None, text
        parameter, text = (exact, "{0}") if exact else self._related(column, "") or (self._new(slot, column), "{0}")
        parameter.in_forward = True
        return parameter, text

    def _equal(self, column: Column) -> Parameter | None:
        """The parameter, there already or taken from the YAML params, that has this column."""
        for name, given in self._given.items():
            if agree(given, column):
                return self._adopt(name)
        return next((each for each in self._solution.parameters if agree(each.column, column)), None)

    def _adopt(self, name: str) -> Parameter:
        """A YAML param as a constructor parameter."""
        there = next((each for each in self._solution.parameters if each.given == name), None)
        return there or self._add(Parameter(fresh(name, self._solution.names), self._given[name], given=name))

    def _add(self, parameter: Parameter) -> Parameter:
        self._solution.parameters.append(parameter)
        return parameter

    def _related(self, column: Column, name: str) -> tuple[Parameter, str] | None:
        """A parameter, and how this column follows from it."""
        for param, given in self._given.items():
            text = relation(given, column, name)
            if text is not None:
                return self._adopt(param), text
        related = ((each, relation(each.column, column, name)) for each in self._solution.parameters)
        return next(((each, text) for each, text in related if text is not None), None)

    def _from_shape(self, slot: Slot, column: Column) -> str | None:
        """The constant as a size of the tensor that the function reads first."""
        shapes = [each.constants[slot].shape if slot in each.constants else None for each in self._described]
        ranks = {len(shape) for shape in shapes if shape is not None}
        if len(ranks) != 1:
            return None
        # Of sizes that are always equal, the one in the same place as seen from the end: maps are often square.
        place = self._constants[slot].from_end
        dims = sorted(range(1, ranks.pop()), key=lambda dim: (dim != place + len(shapes[0] or ()), dim))
        columns = {dim: tuple(shape[dim] if shape is not None else ABSENT for shape in shapes) for dim in dims}
        exact = next((dim for dim in dims if agree(columns[dim], column)), None)
        if exact is not None:
            return f"{{0}}.shape[{exact}]"
        parts = ((dim, relation(columns[dim], column)) for dim in dims)
        return next((text.replace("{0}", f"{{0}}.shape[{dim}]") for dim, text in parts if text is not None), None)

    def _new(self, slot: Slot, column: Column) -> Parameter:
        """A parameter of its own, named after its argument: ``in_…`` if one of those that share the column is."""
        names = [self._constants[other].name for other, values in self._columns.items() if key(values) == key(column)]
        name = next((name for name in names if name in _INCOMING[:2]), [*names, self._constants[slot].name][0])
        taken = {*self._solution.names, *self._steps, *self._given}
        if name in taken:
            name = f"{slot.step or 'inner'}_{name}"
        name = fresh(name, taken)
        self._solution.names.add(name)
        return self._add(Parameter(name, tuple(None if item is ABSENT else item for item in column)))


def _incoming_width(described: Sequence[Described]) -> Column:
    """The channels, or features, of each instance's first input; empty where they are always the same."""
    widths = []
    for each in described:
        value = each.instance.values[each.instance.block.inputs[0]]
        if not isinstance(value, TensorSpec) or len(value.shape) < 2:
            return ()
        widths.append(value.shape[1] if len(value.shape) > 3 else value.shape[-1])
    return () if is_constant(widths) else tuple(widths)
