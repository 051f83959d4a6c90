"""What a class takes and gives, in a line: ``[B, in_channels, H, W] to [B, channels, H // 2, W // 2]``. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.exchange.eject.classes import EjectedClass
from zoo.exchange.eject.relations import Column, offset, relation
from zoo.graph.plan import TensorSpec, Value

_LETTERS = {4: ("B", "C", "H", "W"), 3: ("B", "N", "C"), 2: ("B", "C")}


def shape_line(cls: EjectedClass) -> str:
    """The sentence for a forward's docstring."""
    sizes = _Sizes([(each.column, each.name) for each in cls.solution.parameters])
    instances = [each.instance for each in cls.described]
    inputs = [sizes.shown([instance.values[name] for instance in instances]) for name in cls.pattern.block.inputs]
    return f"{' and '.join(inputs)} to {sizes.shown([instance.output for instance in instances])}."


class _Sizes:
    """Names for sizes that differ between instances: a parameter's, or a letter for its dimension."""

    def __init__(self, parameters: list[tuple[Column, str]]) -> None:
        self._parameters = parameters
        self._letters: dict[tuple[str, Column], str] = {}

    def shown(self, values: Sequence[Value]) -> str:
        """One value's shape, over all instances."""
        tuples = [value for value in values if isinstance(value, tuple)]
        if len(tuples) == len(values) and len(set(map(len, tuples))) == 1:
            return f"({', '.join(self.shown(part) for part in zip(*tuples, strict=True))})"
        dicts = [value for value in values if isinstance(value, dict)]
        if len(dicts) == len(values) and len(set(map(tuple, dicts))) == 1:
            return f"{{{', '.join(f'{name}: {self.shown([each[name] for each in dicts])}' for name in dicts[0])}}}"
        shapes = [value.shape for value in values if isinstance(value, TensorSpec)]
        if len(shapes) < len(values) or len({len(shape) for shape in shapes}) > 1:
            return "tensors"
        columns = list(zip(*shapes, strict=True))
        letters = _LETTERS.get(len(columns), tuple(f"D{dim}" for dim in range(len(columns))))
        return f"[{', '.join(map(self._size, columns, letters))}]"

    def _size(self, column: Column, letter: str) -> str:
        if column[0] < 0:
            return "B" if column[0] == -1 else f"{-column[0]} B"
        if len(set(column)) == 1:
            return str(column[0])
        exact = next((name for base, name in self._parameters if base == column), self._letters.get((letter, column)))
        if exact is not None:
            return exact
        own = [(sizes, name) for (kind, sizes), name in self._letters.items() if kind == letter]
        for base, name in [*self._parameters, *own]:
            text = relation(base, column) or offset(base, column)
            if text is not None:
                return text.format(name)
        self._letters[letter, column] = letter + "'" * len(own)
        return self._letters[letter, column]
