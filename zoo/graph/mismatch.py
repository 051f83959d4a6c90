"""Says in our words why a layer does not fit what comes in. Floor 3.

Torch has the last word on what fits; this module only words its refusal: what was expected, what came, from which
line, and which layer made it so. Where nothing better is known, torch's own first sentence is shortened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from zoo.diagnostics import Diagnostic, Span
from zoo.document import Mapping as MappingNode
from zoo.graph.halving import where_the_map_changes
from zoo.graph.plan import Step, TensorSpec
from zoo.graph.shapes import BATCH, OTHER_BATCH, Request
from zoo.graph.values import Feed, shown
from zoo.graph.wiring import Wire, Wires

_BROADCASTING = {"maximum", "minimum", "where", "lerp", "masked_fill", "cosine_similarity"}
_LAYOUT = {1: "channels, length", 2: "channels, height, width", 3: "channels, depth, height, width"}
_CHANNELS = ("in_channels", "num_features", "num_channels")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A layer that torch refuses: what was asked, where it stands, and torch's words."""

    request: Request
    wires: Wires
    span: Span
    arguments: MappingNode  # as written
    words: str
    steps: Mapping[str, Step]
    feeds: Mapping[str, Feed]
    home: str = ""  # what the steps' names are shown with in front
    in_block: bool = False  # whose input is not the network's

    def shrinker(self, feed: Feed) -> str | None:
        """Which layer before a value resized its map."""
        return where_the_map_changes(feed, self.steps, self.feeds, self.home)

    @property
    def op(self) -> str:
        """The op's name."""
        return self.request.op.name

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes that come in."""
        return [wire.feed.value.shape for wire in self.wires.all if isinstance(wire.feed.value, TensorSpec)]

    def written(self, argument: str, wire: Wire) -> Span:
        """Where an argument stands; where it is left out, the place that names the input."""
        node = self.arguments.get(argument)
        return node.span if node else wire.span


def explain(refusal: Refusal) -> Diagnostic:
    """The message for a layer that torch refuses."""
    for explained in (_overflow, _pair, _convolution, _linear, _norm, _window, _order):
        diagnostic = explained(refusal)
        if diagnostic is not None:
            return diagnostic
    gets = ", ".join(f"{wire.feed.name} is {shown(wire.feed.value)}" for wire in refusal.wires.all)
    message = f"{refusal.op}: {terse(refusal.words)}" + (f"; {gets}" if gets else "")
    return Diagnostic("error", "shape-mismatch", message, refusal.span, label=_labels(refusal))


def _labels(refusal: Refusal) -> str:
    return _origin(refusal.wires.all[0], refusal.span) if len(refusal.wires.all) == 1 else ""


def _origin(wire: Wire, span: Span) -> str:
    """``[64, 32, 32], from line 27``."""
    giver = wire.feed.span
    place = f"line {giver.line}" if giver.source == span.source else f"{giver.file}:{giver.line}"
    return f"{shown(wire.feed.value)}, from {place}"


def _mismatch(
    refusal: Refusal, message: str, wire: Wire, span: Span | None = None, help: str | None = None
) -> Diagnostic:
    span = span or wire.span
    return Diagnostic("error", "shape-mismatch", f"{refusal.op}: {message}", span, label=_origin(wire, span), help=help)


def _overflow(refusal: Refusal) -> Diagnostic | None:
    if not re.search(r"overflow|too large|out of range|maximum", refusal.words, re.IGNORECASE):
        return None
    if all(size < 2**40 for shape in refusal.shapes for size in shape) and "overflow" not in refusal.words.lower():
        return None
    message = (
        f"{refusal.op}: the tensor is too large: torch counts at most 2**63 bytes, a batch of {BATCH:,} among them"
    )
    return Diagnostic("error", "too-large", message, refusal.span)


def _pair(refusal: Refusal) -> Diagnostic | None:
    """Two inputs that cannot be added, multiplied or joined."""
    wires, shapes, op = refusal.wires.positional, refusal.shapes, refusal.request.op
    if op.kind != "function" or len(wires) < 2 or len(shapes) != len(wires):
        return None
    if op.name in ("matmul", "bmm"):
        return _product(refusal)
    if not (op.gathers or op.second_input or op.name in _BROADCASTING):
        return None  # of other functions the inputs need not be alike
    dim = refusal.request.arguments.get("dim", 0) if op.gathers else None
    if isinstance(dim, int) and not -len(shapes[0]) - 1 <= dim <= len(shapes[0]):
        return None  # there is no such dimension, which torch says
    for index in range(1, len(wires)):
        if _agree(shapes[0], shapes[index], dim, stacks=op.name == "stack"):
            continue
        first, second = wires[0].feed, wires[index].feed
        outside = f" outside dimension {dim}" if op.name == "cat" else ""
        message = (
            f"inputs differ{outside}: {first.name} is {shown(first.value)}, {second.name} is {shown(second.value)}"
        )
        return _mismatch(refusal, message, wires[index], help=_way_out(refusal, first, second))
    return None


def _product(refusal: Refusal) -> Diagnostic | None:
    """Two matrices whose inner sizes differ: the last of the first, the last but one of the second."""
    (one, other), (first, second) = refusal.shapes, (wire.feed for wire in refusal.wires.positional)
    if min(len(one), len(other)) < 2 or one[-1] == other[-2]:
        return None
    message = (
        f"the last size of {first.name}, {shown(first.value)}, "
        f"is not the last but one of {second.name}, {shown(second.value)}"
    )
    help = f"turn {second.name}: {{op: transpose, dim0: -2, dim1: -1}}" if one[-1] == other[-1] else None
    return _mismatch(refusal, message, refusal.wires.positional[1], help=help)


def _agree(one: tuple[int, ...], other: tuple[int, ...], dim: object, *, stacks: bool) -> bool:
    if stacks:
        return one == other
    if isinstance(dim, int):
        axis = dim % max(len(one), 1)
        return len(one) == len(other) and one[:axis] + one[axis + 1 :] == other[:axis] + other[axis + 1 :]
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(one), reversed(other), strict=False))


def _way_out(refusal: Refusal, first: Feed, second: Feed) -> str | None:
    one, other = first.value, second.value
    if not isinstance(one, TensorSpec) or not isinstance(other, TensorSpec):
        return None
    if sorted((len(one.shape), len(other.shape))) == [2, 4] and one.shape[:2] == other.shape[:2]:
        return _as_a_map(refusal, first if len(one.shape) == 2 else second)
    if len(one.shape) == len(other.shape) == 4 and one.shape[2:] != other.shape[2:]:
        smaller = first if one.shape[2] * one.shape[3] < other.shape[2] * other.shape[3] else second
        return refusal.shrinker(smaller)
    if len(one.shape) == len(other.shape) >= 2 and one.shape[1] != other.shape[1] and len(one.shape) == 4:
        return (
            f"a Conv2d with kernel_size: 1 and out_channels: {one.shape[1]} makes {second.name} as wide as {first.name}"
        )
    return None


def _as_a_map(refusal: Refusal, vector: Feed) -> str:
    """How a value for each channel is laid over a map."""
    step = refusal.steps.get(vector.ref.name)
    dims = step.arguments.get("dim") if step is not None else None
    if step is not None and step.kind == "function" and isinstance(dims, list | tuple) and len(dims) == 2:
        return f"keepdim: true at {step.span.file}:{step.span.line} ({step.op}) makes {vector.name} a map of 1x1"
    channels = vector.value.shape[1] if isinstance(vector.value, TensorSpec) else -1
    return f"{{op: reshape, shape: [-1, {channels}, 1, 1]}} makes {vector.name} a map of 1x1"


def _image_help(refusal: Refusal, wire: Wire) -> str | None:
    """The way out where the network's input has the batch in it, or a grey image no channels."""
    sizes = list(refusal.shapes[0][1:])
    if wire.feed.name != "input" or refusal.in_block:
        return None
    if len(sizes) == 4:
        return f"the batch is left out of an input: {sizes[1:]}"
    return f"of grey images an input is {[1, *sizes]}" if len(sizes) == 2 else None


def _convolution(refusal: Refusal) -> Diagnostic | None:
    found = re.fullmatch(r"Conv(?:Transpose)?([123])d", refusal.op)
    if not found or not refusal.shapes:
        return None
    wire, shape, arguments = refusal.wires.all[0], refusal.shapes[0], refusal.request.arguments
    dimensions = int(found[1])
    if len(shape) != dimensions + 2:
        message = f"expected [{_LAYOUT[dimensions]}], got {shown(wire.feed.value)}"
        return _mismatch(refusal, message, wire, help=_image_help(refusal, wire) if dimensions == 2 else None)
    if arguments.get("in_channels") != shape[1]:
        message = f"expected {arguments.get('in_channels')} channels, got {shape[1]}"
        return _mismatch(
            refusal,
            message,
            wire,
            refusal.written("in_channels", wire),
            f"{wire.feed.name} is {shown(wire.feed.value)}; in_channels may be left out",
        )
    if re.search(r"(?i)kernel size can't be greater|output size is too small|non-positive|negative", refusal.words):
        kernel = arguments.get("kernel_size")
        message = f"the kernel ({_size(kernel, dimensions)}) is larger than the map, {shown(wire.feed.value)}"
        return _mismatch(
            refusal,
            message,
            wire,
            refusal.written("kernel_size", wire),
            refusal.shrinker(wire.feed) or "add padding",
        )
    return None


def _size(value: object, dimensions: int) -> str:
    sizes = value if isinstance(value, tuple) else (value,) * dimensions
    return "x".join(map(str, sizes))


def _linear(refusal: Refusal) -> Diagnostic | None:
    if refusal.op != "Linear" or not refusal.shapes:
        return None
    wire, shape = refusal.wires.all[0], refusal.shapes[0]
    due = refusal.request.arguments.get("in_features")
    if not shape or shape[-1] == due:
        return None
    help = f"{wire.feed.name} is {shown(wire.feed.value)}; in_features may be left out"
    if len(shape) == 4:
        help = f"{wire.feed.name} is {shown(wire.feed.value)}: {{op: flatten, start_dim: 1}} before it"
    return _mismatch(
        refusal, f"expected {due} features, got {shape[-1]}", wire, refusal.written("in_features", wire), help
    )


def _norm(refusal: Refusal) -> Diagnostic | None:
    if "Norm" not in refusal.op or not refusal.shapes:
        return None
    wire, shape, arguments = refusal.wires.all[0], refusal.shapes[0], refusal.request.arguments
    ranked = re.search(r"Norm([123])d$", refusal.op)
    if ranked and len(shape) not in ((2, 3) if ranked[1] == "1" else (int(ranked[1]) + 2,)):
        return _mismatch(refusal, f"expected [{_LAYOUT[int(ranked[1])]}], got {shown(wire.feed.value)}", wire)
    for name in _CHANNELS:
        if name in arguments and len(shape) > 1 and arguments[name] != shape[1]:
            return _mismatch(
                refusal,
                f"expected {arguments[name]} channels, got {shape[1]}",
                wire,
                refusal.written(name, wire),
                f"{name} may be left out: it is the incoming channels",
            )
    due = arguments.get("normalized_shape")
    if due is not None:
        sizes = list(due) if isinstance(due, list | tuple) else [due]
        if not sizes:
            message = "normalized_shape: expected at least one size, got []"
            return _mismatch(refusal, message, wire, refusal.written("normalized_shape", wire))
        if list(shape[-len(sizes) :]) != sizes:
            return _mismatch(
                refusal,
                f"expected a shape that ends in {sizes}, got {shown(wire.feed.value)}",
                wire,
                refusal.written("normalized_shape", wire),
            )
    return None


def _window(refusal: Refusal) -> Diagnostic | None:
    if "ool" not in refusal.op or not refusal.shapes:
        return None
    wire = refusal.wires.all[0]
    if re.search(r"too small|non-positive|greater", refusal.words):
        kernel = refusal.request.arguments.get("kernel_size")
        message = f"the window ({kernel}) is larger than the map, {shown(wire.feed.value)}"
        return _mismatch(
            refusal,
            message,
            wire,
            refusal.written("kernel_size", wire),
            refusal.shrinker(wire.feed),
        )
    return None


def _order(refusal: Refusal) -> Diagnostic | None:
    """A new order of dimensions that does not name each of them once."""
    dims = refusal.request.arguments.get("dims")
    if refusal.op not in ("permute", "Permute") or not isinstance(dims, list | tuple) or not refusal.shapes:
        return None
    wire, rank = refusal.wires.all[0], len(refusal.shapes[0])
    due = f"{rank} numbers, the batch counted" if len(dims) != rank else f"each of 0 to {rank - 1} once"
    is_without_batch = sorted(dims) == list(range(rank - 1))
    help = f"dimension 0 is the batch: dims: {[0, *(dim + 1 for dim in dims)]}" if is_without_batch else None
    return _mismatch(refusal, f"dims: expected {due}, got {list(dims)}", wire, refusal.written("dims", wire), help)


def terse(words: str) -> str:
    """Torch's first sentence, the large batch in it called by its name."""
    first = re.split(r"\n|(?<!i\.e)(?<!e\.g)\. |\.$", words.strip(), maxsplit=1)[0]
    return re.sub(r"\d+", lambda match: _named(match[0]), first)[:200]


def _named(digits: str) -> str:
    number = int(digits)
    for prime in (BATCH, OTHER_BATCH):
        if number and number % prime == 0:
            return "batch" if number == prime else f"{number // prime} * batch"
    return digits
