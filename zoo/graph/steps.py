"""Turns one layer, its wires and its scope into one step: an op, or a block's call. Floor 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from zoo.diagnostics import Span, counted
from zoo.document import Mapping as MappingNode
from zoo.document import Node, Scalar
from zoo.document.evaluation import substitute
from zoo.graph.arguments import Arguments, call_keywords, op_arguments
from zoo.graph.context import Context, Job, PlanBlock, Told
from zoo.graph.mismatch import Refusal, explain
from zoo.graph.params import Call, bind
from zoo.graph.patterns import bare_init, fits, with_patterns
from zoo.graph.plan import ParameterSpec, Ref, Step, TensorSpec, Value, specs_in
from zoo.graph.shapes import Request, ShapeError
from zoo.graph.slips import module_meant
from zoo.graph.texts import BlockText, LayerText
from zoo.graph.values import UNKNOWN, Feed, MaybeValue, Scope, Unknown, gives_nothing, pick_of, shown_sizes
from zoo.graph.wiring import Wire, Wires, look_up
from zoo.layers import Op, ops


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a layer: its step (None where it failed), its value, and how many steps it runs."""

    step: Step | None
    value: MaybeValue
    size: int = 1


FAILED = Made(None, UNKNOWN)
MOST_NUMBERS = 2**60 - 1  # of a free tensor, eight bytes each


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step is to stand: its name, its layer's text, what it reads and may name."""

    name: str
    layer: LayerText
    wires: Wires
    scope: Scope
    path: str
    steps: Sequence[Step]  # of the block so far, for messages
    is_first: bool = True
    is_copy: bool = False  # in a module of copies

    @property
    def span(self) -> Span:
        """The layer's name."""
        return self.layer.span

    @property
    def from_span(self) -> Span:
        """Where `from` names what it reads; the layer's name where it is left out."""
        node = self.layer.keys.get("from")
        return node.span if node else self.span

    @property
    def arguments(self) -> MappingNode:
        """The layer's arguments, those of `first` laid over them for the first copy."""
        node, first = self.layer.arguments, self.layer.keys.get("first")
        if self.is_first and isinstance(first, MappingNode):
            node = MappingNode((*node.without(first.keys).entries, *first.entries), node.span)
        return node


class StepMaker:
    """Makes steps; ``plan_block`` plans the blocks they call."""

    def __init__(self, context: Context, plan_block: PlanBlock) -> None:
        self._context = context
        self._plan_block = plan_block

    def make(self, place: Place, told: Told) -> Made:
        """The step of a layer that is not skipped."""
        layer = place.layer
        text = layer.block_text
        op = ops.get(layer.op) if layer.op and text is None else None
        if text is not None:
            made = self._block(place, text, told)
        else:
            made = FAILED if op is None else self._op(place, op, told)
        if made.step is None or made.step.is_tensor:
            return made
        copy = place.name if place.is_copy else None
        return replace(made, step=with_patterns(made.step, layer.keys, place.scope, told.own, copy))

    def _block(self, place: Place, text: BlockText, told: Told) -> Made:
        what = text.name or place.layer.shown
        inputs = _block_inputs(place, text, what, told)
        feeds = {name: Feed(name, Ref(name), wire.feed.value, wire.feed.span) for name, wire in inputs.items()}
        params, defaults = place.scope.params, Told()
        if text.params is not None:
            found = {entry.key: (entry, substitute(entry.value, place.scope, told.own)) for entry in place.arguments}
            call = Call(what, place.span, found)
            params = bind(self._context.declared(text), call, feeds, told.own, defaults.own)
        job = Job(text, params, feeds, f"{place.path}{place.name}.")
        planned = self._context.remembered(job, self._plan_block)
        own = defaults.all(job.path.rstrip("."), inside=True)
        told.call((*own, *planned.diagnostics), what, place.layer.op_span or place.span)
        if planned.block is None or isinstance(planned.output, Unknown):
            return Made(None, planned.output, planned.size + 1)
        arguments = {} if text.params is None else {name: param.value for name, param in params.items()}
        step = Step(
            place.name,
            "block",
            text.name,
            arguments,
            tuple(wire.feed.ref for wire in inputs.values()),
            planned.output,
            place.span,
            body=planned.block,
        )
        return Made(step, planned.output, planned.size + 1)

    def _op(self, place: Place, op: Op, told: Told) -> Made:
        if op.is_tensor:
            return _free_tensor(place, op, told)
        if module_meant(op, place.layer.arguments.keys) is not None:
            return FAILED  # told when the names were checked
        wires = _gathered(op, place.wires)
        node = place.arguments
        arguments = op_arguments(op, node, wires.first, place.scope, place.span, told.own)
        call = call_keywords(op, place.layer.keys.get("call"), place.scope, told.own)
        if arguments is None or call is None or not _fit(op, arguments, wires, place, told):
            return FAILED
        if not arguments.complete or any(isinstance(wire.feed.value, Unknown) for wire in wires.all):
            return FAILED
        request = _request(op, arguments, wires, call)
        try:
            inferred = self._context.shapes.infer(request)
            _require_dimension(op, arguments, request)
        except ShapeError as error:
            told.own.add(explain(_refusal(request, wires, place, str(error))))
            return FAILED
        if not _has_one_batch(op, inferred.output, place, told):
            return FAILED
        step = Step(
            place.name,
            op.kind,
            op.name,
            arguments.values,
            tuple(wire.feed.ref for wire in wires.positional),
            inferred.output,
            place.span,
            {name: wire.feed.ref for name, wire in wires.named.items()},
            call,
            inferred.parameters,
        )
        return Made(step, inferred.output)


def _refusal(request: Request, wires: Wires, place: Place, words: str) -> Refusal:
    steps = {step.name: step for step in place.steps}
    # in a module of copies, only the copies before are in reach; they are called as the file's layer is
    feeds: Mapping[str, Feed] = {} if place.is_copy else place.scope.feeds
    home = f"{place.layer.name}." if place.is_copy else ""
    return Refusal(request, wires, place.span, place.arguments, words, steps, feeds, home, in_block=bool(place.path))


def _request(op: Op, arguments: Arguments, wires: Wires, call: Mapping[str, object]) -> Request:
    positional = tuple(wire.feed.value for wire in wires.positional if not isinstance(wire.feed.value, Unknown))
    named = {name: wire.feed.value for name, wire in wires.named.items() if not isinstance(wire.feed.value, Unknown)}
    return Request(op, arguments.values, positional, named, call)


def _gathered(op: Op, wires: Wires) -> Wires:
    """An op that takes a list takes one tuple for it."""
    if not op.gathers or len(wires.positional) != 1 or not isinstance(wires.positional[0].feed.value, tuple):
        return wires
    wire = wires.positional[0]
    assert isinstance(wire.feed.value, tuple)
    return Wires(tuple(replace(wire, feed=wire.feed.pick(index)) for index in range(len(wire.feed.value))))


def _fit(op: Op, arguments: Arguments, wires: Wires, place: Place, told: Told) -> bool:
    """Whether the op takes inputs of this number, name and kind; tells where not."""
    fewest, most = op.input_bounds(arguments.values)
    number = len(wires.all)
    if number < fewest or (most is not None and number > most):
        due = f"{fewest}" if most == fewest else f"at least {fewest}" if most is None else f"{fewest} to {most}"
        help = _naming(op, fewest) if number < fewest else None
        told.own.error(
            "wrong-inputs",
            f"{op.name} takes {due} input{'s' if due != '1' else ''}, here it gets {number}",
            place.from_span,
            help=help,
        )
        return False
    return (
        _are_named(op.name, op.input_names, wires, told)
        and _are_tensors(op, wires, told)
        and _keeps_samples_apart(op, arguments, wires, place, told)
    )


def _are_named(what: str, inputs: Sequence[str], wires: Wires, told: Told) -> bool:
    """Whether what is given by name goes by the names of inputs; tells where not."""
    unknown = [name for name in wires.named if name not in inputs]
    for name in unknown:
        help = f"its inputs are {', '.join(inputs)}"
        told.own.error("unknown-key", f"{what} has no input {name!r}", wires.named[name].span, help=help)
    return not unknown


def _naming(op: Op, fewest: int) -> str:
    """How the inputs are named: by what they are, where they are no equals."""
    if op.max_inputs is None or len(op.input_names) < fewest or op.input_names[1:2] == ("other",):
        return "name them: from: [layer, other]"
    return f"name them: from: {{{', '.join(f'{name}: …' for name in op.input_names[:fewest])}}}"


def _are_tensors(op: Op, wires: Wires, told: Told) -> bool:
    for wire in wires.all:
        value = wire.feed.value
        if isinstance(value, tuple | dict):
            message = f"{op.name} takes tensors, {wire.feed.name} gives {counted(len(value), 'output')}"
            told.own.error("several-outputs", message, wire.span, help=pick_of(wire.feed.name, value))
            return False
        if value is None:
            told.own.error("no-output", gives_nothing(wire.feed.name), wire.span)
            return False
    return True


def _keeps_samples_apart(op: Op, arguments: Arguments, wires: Wires, place: Place, told: Told) -> bool:
    named = [(op.input_names.index(name), wire) for name, wire in wires.named.items()]
    for index, wire in [*enumerate(wires.positional), *named]:
        spec = wire.feed.value
        if not isinstance(spec, TensorSpec):
            continue
        for dim in op.mixed_dims(arguments.values, len(spec.shape), index):
            if 0 <= dim < len(spec.shape) and spec.shape[dim] < 0:
                node = place.arguments.get("dim") or place.arguments.get("equation")
                told.own.error(
                    "batch-mixed",
                    f"{op.name} over dimension {dim} would mix up the samples of the batch",
                    node.span if node else place.span,
                    help=_apart(op, arguments, len(spec.shape)),
                )
                return False
    return True


def _require_dimension(op: Op, arguments: Arguments, request: Request) -> None:
    """Raises ShapeError, in torch's words, for a dimension that is not there: softmax takes it on the meta device."""
    dim = op.complete(arguments.values).get("dim")
    if op.mixes is None or op.gathers or not isinstance(dim, int):
        return
    values = (*request.inputs, *request.named.values())
    # A number without dimensions counts as one that has one.
    rank = max((len(value.shape) for value in values if isinstance(value, TensorSpec)), default=0) or 1
    if not -rank <= dim < rank:
        raise ShapeError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")


def _apart(op: Op, arguments: Arguments, rank: int) -> str:
    """How the samples of a batch are kept apart."""
    fields = op.arguments.model_fields
    if "batch_first" in fields and rank > 2 and not arguments.values.get("batch_first"):
        return "add batch_first: true"
    if "dim" in fields:
        return "dimension 0 is the batch; the channels are dimension 1"
    return (
        "dimension 0 is the batch: give what comes in a dimension more, or keep the batch out of those that are mixed"
    )


def _has_one_batch(op: Op, output: Value, place: Place, told: Told) -> bool:
    """Whether the batch is in one dimension of what comes out; in two, every sample has met every other."""
    mixed = next((spec.shape for spec in specs_in(output) if sum(size < 0 for size in spec.shape) > 1), None)
    if mixed is not None:
        told.own.error(
            "batch-mixed",
            f"{op.name} pairs the samples of the batch with each other: {shown_sizes(mixed)} comes out",
            place.span,
            help="of several inputs with a batch, all have it in the same dimension",
        )
    return mixed is None


def _block_inputs(place: Place, text: BlockText, what: str, told: Told) -> dict[str, Wire]:
    """Which wire feeds which input of a block."""
    wires, span = place.wires, place.from_span
    found = dict(zip(text.inputs, wires.positional, strict=False))
    if len(wires.positional) > len(text.inputs):
        told.own.error(
            "wrong-inputs",
            f"{what} takes {counted(len(text.inputs), 'input')}, here it gets {len(wires.positional)}",
            span,
            help=f"let it take more with inputs: [{', '.join(text.inputs)}, …]",
        )
    _are_named(what, text.inputs, wires, told)
    found |= {name: wire for name, wire in wires.named.items() if name in text.inputs}
    missing = [name for name in text.inputs if name not in found]
    if missing and not told.own.errors:
        told.own.error(
            "wrong-inputs",
            f"{what} lacks its input {' and '.join(missing)}",
            span,
            help=f"name them: from: [{', '.join(text.inputs)}]",
        )
    for name in missing:
        found[name] = Wire(Feed(name, Ref(name), UNKNOWN, span), span)
    return {name: found[name] for name in text.inputs}


def _free_tensor(place: Place, op: Op, told: Told) -> Made:
    """A `Parameter` or `Buffer`."""
    if place.layer.keys.get("from") is not None:
        told.own.error("wrong-inputs", f"{op.name} reads no input", place.layer.keys.key_span("from"))
        return FAILED
    like = place.layer.arguments.get("batch_like")
    arguments = op_arguments(op, place.arguments.without(["batch_like"]), None, place.scope, place.span, told.own)
    init = bare_init(place.layer.keys.get("init"), place.scope, told.own)
    feed = look_up(like, place.scope, told.own) if isinstance(like, Scalar) else None
    if arguments is None or not arguments.complete or (feed is not None and isinstance(feed.value, Unknown)):
        return FAILED
    shape = tuple(arguments.values["shape"])
    if prod(shape) > MOST_NUMBERS:
        message = f"{op.name}: the tensor is too large: torch counts at most 2**63 bytes"
        told.own.error("too-large", message, place.arguments.value_span("shape"))
        return FAILED
    spec = TensorSpec(shape, arguments.values.get("dtype", "float32"))
    if init is not None and not fits(init, shape, place.name, told.own, dtype=spec.dtype):
        return FAILED
    if like is not None:
        batch = _batch_of(feed, like, shape, op, told)
        if batch is None:
            return FAILED
        spec = replace(spec, shape=(batch, *shape[1:]))
    own = ParameterSpec("", shape, op.kind == "buffer", op.kind == "parameter" and not _is_frozen(place, told), init)
    step = Step(
        place.name,
        op.kind,
        op.name,
        arguments.values,
        (),
        spec,
        place.span,
        parameters=(own,),
        batch_like=feed.ref if feed else None,
    )
    return Made(step, spec)


def _batch_of(feed: Feed | None, like: Node, shape: tuple[int, ...], op: Op, told: Told) -> int | None:
    """Dimension 0 of what `batch_like` names; None after telling why it cannot be taken."""
    fault, help = None, None
    if feed is None:
        fault = "batch_like names one layer"
    elif isinstance(feed.value, tuple | dict):
        fault, help = f"{feed.name} gives {counted(len(feed.value), 'output')}", pick_of(feed.name, feed.value)
    elif not isinstance(feed.value, TensorSpec) or not feed.value.shape:
        fault = f"{feed.name} has no dimension to take the batch from"
    elif shape[:1] != (1,):
        fault = "batch_like expands dimension 0, which must be 1 in shape"
    else:
        return feed.value.shape[0]
    told.own.error("bad-value", f"{op.name}: {fault}", like.span, help=help)
    return None


def _is_frozen(place: Place, told: Told) -> bool:
    """Whether a free tensor is: it has no parameters that a pattern could name."""
    node = place.layer.keys.get("freeze")
    found = substitute(node, place.scope, told.own) if node is not None else None
    if node is None or found is None:
        return False
    if not isinstance(found, Scalar) or not isinstance(found.value, bool):
        message = f"{place.layer.shown}: freeze: expected true or false, it has no parameters below it"
        told.own.error("wrong-type", message, node.span, help="write freeze: true")
        return False
    return found.value
