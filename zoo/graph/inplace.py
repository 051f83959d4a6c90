"""``inplace`` on a tensor that someone else reads. Floor 3.

Follows memory through the planned network: views and skipped layers pass it on, a layer with ``inplace`` writes to
it and gives it on as a new value. Whoever else reads the old value would read what was written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.graph.plan import Block, Output, Ref, Step, TensorSpec, Value
from zoo.graph.shapes import Request, Shapes
from zoo.layers import ops

Memory: TypeAlias = "int | tuple[Memory, ...] | dict[str, Memory] | None"  # shaped like the value that it belongs to

# Whose backward pass reads what came out (torch's tools/autograd/derivatives.yaml: `result`).
_GRADIENT_FROM_OUTPUT = frozenset(
    {
        *("ReLU", "relu", "Sigmoid", "sigmoid", "Tanh", "tanh"),
        *("Softmax", "softmax", "Softmax2d", "Softmin", "softmin", "LogSoftmax", "log_softmax"),
        *("exp", "expm1", "sqrt", "rsqrt", "reciprocal", "amax", "amin", "logsumexp", "prod"),
        *("pow", "std", "vector_norm", "gumbel_softmax", "scaled_dot_product_attention", "PairwiseDistance"),
    }
)
_GRADIENT_FROM_OUTPUT_IN_PLACE = frozenset(
    {*("CELU", "celu", "ELU", "elu", "LeakyReLU", "leaky_relu", "RReLU", "rrelu", "SELU", "selu")}
)


@dataclass(frozen=True, slots=True)
class _Access:
    path: str
    span: Span


@dataclass(slots=True)
class _Tracker:
    shapes: Shapes
    reads: dict[int, list[_Access]] = field(default_factory=lambda: defaultdict(list))
    writes: list[tuple[int, _Access]] = field(default_factory=list)
    fresh: Iterator[int] = field(default_factory=count)

    def block(self, block: Block, inputs: list[tuple[Memory, Value]], path: str) -> Memory:
        """Follows a block's steps; the memory of what it gives."""
        memory = dict(zip(block.inputs, inputs, strict=True))
        steps = {step.name: step for step in block.steps}
        for step in block.steps:
            memory[step.name] = (self._step(step, steps, memory, f"{path}{step.name}"), step.output)
        return _output(block.output, memory)

    def _step(
        self, step: Step, steps: Mapping[str, Step], memory: Mapping[str, tuple[Memory, Value]], path: str
    ) -> Memory:
        made = steps[step.share] if step.share else step
        inputs = [_picked(memory, ref) for ref in step.inputs]
        if made.body is not None:
            return self.block(made.body, inputs, f"{path}.")
        if made.is_tensor:
            own = next(self.fresh)
            self._read([own], "the next pass", step.span)
            return own
        named = {name: _picked(memory, ref) for name, ref in step.named_inputs.items()}
        return self._leaf(step, made, inputs, named, path)

    def _leaf(
        self,
        step: Step,
        made: Step,
        inputs: list[tuple[Memory, Value]],
        named: dict[str, tuple[Memory, Value]],
        path: str,
    ) -> Memory:
        incoming = [leaf for memory, _ in (*inputs, *named.values()) for leaf in _leaves(memory)]
        op = ops[made.op]
        in_place = op.modifies_input(made.arguments)
        if in_place and incoming:
            self._read(incoming, path, step.span)
            self.writes.append((incoming[0], _Access(path, step.span)))
            return self._kept(made, in_place, self._new(step.output, iter(())), path, step.span)
        values = {name: value for name, (_, value) in named.items()}
        request = Request(op, made.arguments, tuple(value for _, value in inputs), values, step.call)
        views = self.shapes.infer(request).views
        if None in views:  # a mere view reads nothing: its readers do
            self._read(incoming, path, step.span)
        shared = [incoming[view] for view in views if view is not None]
        if shared and (isinstance(step.output, tuple) or op.name == "expand"):
            # autograd lets no one write to what an op of several views gives, nor to places that stand for many
            self._read(shared, f"another part of {path}", step.span)
        given = iter([None if view is None else incoming[view] for view in views])
        return self._kept(made, in_place, self._new(step.output, given), path, step.span)

    def _kept(self, made: Step, in_place: bool, memory: Memory, path: str, span: Span) -> Memory:
        """The memory of an op's output, noted as read where its gradient is computed from it."""
        is_read = made.op in _GRADIENT_FROM_OUTPUT and not _is_spared(made)
        if is_read or (in_place and made.op in _GRADIENT_FROM_OUTPUT_IN_PLACE):
            self._read(list(_leaves(memory)), f"the gradient of {path}", span)
        return memory

    def _read(self, memory: list[int], path: str, span: Span) -> None:
        for leaf in set(memory):
            self.reads[leaf].append(_Access(path, span))

    def _new(self, value: Value, given: Iterator[int | None]) -> Memory:
        """Memory for what comes out: given, or fresh."""
        if isinstance(value, TensorSpec):
            leaf = next(given, None)
            return next(self.fresh) if leaf is None else leaf
        if isinstance(value, dict):
            return {key: self._new(item, given) for key, item in value.items()}
        return None if value is None else tuple(self._new(item, given) for item in value)


def _is_spared(made: Step) -> bool:
    """Whether an op's arguments leave its output out of its gradient.

    The last thing in a hard choice of gumbel_softmax is a sum; a power that is a number has no gradient of its own.
    """
    return bool(made.arguments.get("hard")) or made.arguments.get("exponent") is not None


def check_inplace(block: Block, inputs: Mapping[str, Value], shapes: Shapes, diagnostics: Diagnostics) -> None:
    """Tells of every layer that writes over a tensor which another layer, or the output, reads."""
    if not any(_writes(step) for _, step in block.walk()):
        return
    tracker = _Tracker(shapes)
    output = tracker.block(block, [(tracker._new(value, iter(())), value) for value in inputs.values()], "")
    for leaf in _leaves(output):
        tracker.reads[leaf].append(_Access("the output", block.span))
    for memory, write in tracker.writes:
        others = [read for read in tracker.reads[memory] if read.path != write.path]
        if others:
            notes = [Note(f"{read.path} reads it", read.span) for read in others]
            diagnostics.error(
                "inplace",
                f"{write.path} works in place on a tensor that {others[0].path} reads too",
                write.span,
                notes=notes,
                help="remove `inplace` here",
            )


def _writes(step: Step) -> bool:
    return step.kind in ("module", "function") and ops[step.op].modifies_input(step.arguments)


def _picked(memory: Mapping[str, tuple[Memory, Value]], ref: Ref) -> tuple[Memory, Value]:
    place, value = memory[ref.name]
    for pick in ref.picks:
        place, value = _item(place, pick), _item(value, pick)
    return place, value


def _item(nest: Any, pick: int | str) -> Any:
    if isinstance(nest, dict):
        return nest[pick]
    assert isinstance(nest, tuple)
    return nest[int(pick)]


def _output(output: Output, memory: Mapping[str, tuple[Memory, Value]]) -> Memory:
    if isinstance(output, Ref):
        return _picked(memory, output)[0]
    if isinstance(output, dict):
        return {key: _picked(memory, ref)[0] for key, ref in output.items()}
    return tuple(_picked(memory, ref)[0] for ref in output)


def _leaves(memory: Memory) -> Iterator[int]:
    if isinstance(memory, int):
        yield memory
    elif memory is not None:
        for item in memory.values() if isinstance(memory, dict) else memory:
            yield from _leaves(item)
