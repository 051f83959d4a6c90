"""What an op is: its arguments, its inputs, how it is built or applied, and how a person would write it. Floor 2.

Torch is not imported here: an entry only refers to what it builds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from zoo.schema import ArgsModel, fields_of
from zoo.schema.signature import completed

if TYPE_CHECKING:
    from torch import nn

OpKind = Literal["module", "function", "parameter", "buffer"]
Inferred = Literal["channels", "features"]  # dimension 1, the last dimension
Arguments: TypeAlias = Mapping[str, Any]
Mixes: TypeAlias = Callable[[Arguments, int, int], tuple[int, ...]]  # of an input: its rank, and which it is
Writer: TypeAlias = Callable[["Op", Sequence[str], Mapping[str, str], "str | None"], str]
Constructs: TypeAlias = Callable[["Op", Mapping[str, str]], str]


class Fault(NamedTuple):
    """What is wrong with an argument: its name, a message to follow the name, the way out."""

    argument: str
    message: str
    help: str | None = None


Check: TypeAlias = Callable[[Arguments], Fault | None]


def no_fault(arguments: Arguments) -> None:
    """Nothing to check beyond the types."""


def as_call(op: Op, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None) -> str:
    """``torch.cat([a, b], dim=1)``: the inputs, then the arguments."""
    texts = [f"[{', '.join(inputs)}]"] if op.gathers else list(inputs)
    texts += argument_texts(op, keywords)
    if training is not None:
        texts.append(f"training={training}")
    return f"{op.path}({', '.join(texts)})"


def as_constructor(op: Op, arguments: Mapping[str, str]) -> str:
    """``nn.Conv2d(3, 64, kernel_size=3)``."""
    return f"{op.path}({', '.join(argument_texts(op, arguments))})"


def argument_texts(op: Op, arguments: Mapping[str, str]) -> list[str]:
    """Arguments in the signature's order: at most two leading required ones by position, the rest by keyword.

    ``dim`` keeps its name, as people write it. Keywords that are no arguments (further tensors) come last.
    """
    texts: list[str] = []
    leading = True
    fields = fields_of(op.arguments)
    for key, info in fields.items():
        leading = leading and info.is_required() and len(texts) < 2 and key in arguments and key != "dim"
        if key in arguments:
            texts.append(arguments[key] if leading else f"{key}={arguments[key]}")
    return texts + [f"{key}={text}" for key, text in arguments.items() if key not in fields]


@dataclass(frozen=True, slots=True)
class Op:
    """An entry of the catalogue.

    A module's ``arguments`` are its constructor's, a function's the keywords beside its tensors. ``path`` is its name
    in Python source that bears the lines of ``imports`` at its top.
    """

    name: str
    kind: OpKind
    target: Callable[..., Any]
    arguments: type[ArgsModel]
    path: str
    imports: tuple[str, ...] = ("import torch",)
    input_names: tuple[str, ...] = ("input",)
    min_inputs: int = 1
    max_inputs: int | None = 1  # None: any number
    second_input: str | None = None  # the argument that stands for a second input: `other` of `mul`
    gathers: bool = False  # the inputs go as one list
    infers: Mapping[str, Inferred] = field(default_factory=dict)  # arguments filled from the first input's shape
    call: type[ArgsModel] | None = None  # keywords of a module's forward call
    follows_training: bool = False  # a function with a `training` keyword
    mixes: Mixes | None = None
    check: Check = no_fault  # what no signature says
    writes: Writer = as_call
    constructs: Constructs = as_constructor
    decisive: tuple[str, ...] = ()  # arguments that decide what is constructed: never a class's parameters
    doc: str = ""

    @property
    def is_tensor(self) -> bool:
        """Whether it is a tensor of the block's own, a parameter or a buffer."""
        return self.kind in ("parameter", "buffer")

    def build(self, arguments: Arguments) -> nn.Module:
        """A new module; under ``torch.device("meta")`` it allocates nothing."""
        return cast("nn.Module", self.target(**arguments))

    def apply(self, inputs: Sequence[Any], named: Mapping[str, Any], arguments: Arguments) -> Any:
        """A function's value for tensors by position and by name, in evaluation unless the arguments say `training`."""
        inputs, keywords = self._by_position(inputs, {**named, **arguments})
        if self.follows_training:
            keywords.setdefault("training", False)
        return self.target(list(inputs), **keywords) if self.gathers else self.target(*inputs, **keywords)

    def expression(self, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None = None) -> str:
        """A function's call as Python text: ``F.relu(x)``, ``torch.cat([a, b], dim=1)``, ``a + b + c``.

        ``training`` is the text of the training flag, for ops that follow it. Inputs that are operations themselves
        come in parentheses where this text makes operands of them.
        """
        inputs, keywords = self._by_position(inputs, keywords)
        return self.writes(self, inputs, keywords, training)

    def _by_position(self, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Moves the keywords that name the next inputs to their positions."""
        ordered, rest = list(inputs), dict(keywords)
        for name in self.input_names[len(ordered) :]:
            if rest.get(name) is None:
                break
            ordered.append(rest.pop(name))
        return ordered, rest

    def constructor(self, arguments: Mapping[str, str]) -> str:
        """A module's construction as Python text: ``nn.Conv2d(3, 64, kernel_size=3)``."""
        return self.constructs(self, arguments)

    def input_bounds(self, arguments: Arguments) -> tuple[int, int | None]:
        """How few and how many inputs the op takes with these arguments; None: any number."""
        if self.second_input is None:
            return self.min_inputs, self.max_inputs
        return (1, 1) if arguments.get(self.second_input) is not None else (2, self.max_inputs)

    def complete(self, arguments: Arguments) -> dict[str, Any]:
        """The arguments with the defaults filled in."""
        return completed(self.arguments, arguments)

    def mixed_dims(self, arguments: Arguments, rank: int, index: int = 0) -> tuple[int, ...]:
        """The dimensions (from 0) along which this op lets a value depend on its neighbours, or takes them apart.

        Where the batch is among them, samples would see each other. ``index`` says which input is meant, ``rank`` is
        that input's.
        """
        if self.mixes is None:
            return ()
        dims = self.mixes(self.complete(arguments), rank, index)
        return tuple(dim + rank if dim < 0 else dim for dim in dims)

    def modifies_input(self, arguments: Arguments) -> bool:
        """Whether it writes into its first input."""
        return bool(arguments.get("inplace", False))


def over(argument: str) -> Mixes:
    """Mixing along the dimension or dimensions that an argument names; None names all."""

    def dims(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
        value = arguments[argument]
        if value is None:
            return tuple(range(rank))
        return (value,) if isinstance(value, int) else tuple(value)

    return dims


def along(*dims: int, inputs: int | None = None) -> Mixes:
    """Mixing along these dimensions whatever the arguments: of all inputs, or of the first so many."""

    def fixed(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
        return dims if inputs is None or index < inputs else ()

    return fixed


def last(count: int) -> Mixes:
    """Mixing along the last ``count`` dimensions, as windows over a map do."""
    return along(*range(-count, 0))


def all_but_first(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
    """Mixing along every dimension but 0, as a convolution does: channels and map."""
    return tuple(range(1, rank))


def maps(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
    """Mixing along all that follows the channels: resizing."""
    return tuple(range(2, rank))
