"""Plans one block: its layers in order, each turned into steps. Floor 3.

A block's plan depends on nothing but its text, its params and the values that come in, so equal calls share one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Scalar
from zoo.document import Sequence as SequenceNode
from zoo.document.evaluation import fill_in
from zoo.graph.context import MOST_ERRORS, MOST_STEPS, Context, Job, Planned, Told
from zoo.graph.copies import Copies, as_block, copies_of, how_to_read_one, too_many
from zoo.graph.names import check_layer_name
from zoo.graph.order import is_source, references
from zoo.graph.plan import Block, Ref, Step
from zoo.graph.sharing import failed_share, share_step, shared
from zoo.graph.steps import Made, Place, StepMaker
from zoo.graph.texts import LayerText
from zoo.graph.unused import warn_of_unused
from zoo.graph.values import UNKNOWN, Feed, Scope, Unknown
from zoo.graph.wiring import Wires, outputs, reference_text, wires
from zoo.layers import ops


class Body:
    """The planning of one block."""

    def __init__(self, context: Context, job: Job) -> None:
        self._job = job
        self._diagnostics = Diagnostics()
        self._maker = StepMaker(context, lambda inner: Body(context, inner).plan())
        self._feeds = {name: Feed(name, Ref(name), feed.value, feed.span) for name, feed in job.inputs.items()}
        self._before = next(iter(self._feeds.values()))
        self._steps: list[Step] = []
        self._made: dict[str, tuple[Step, Callable[[Wires, Told], Made]]] = {}  # each step, and what makes it again
        self._later = {layer.name for layer in job.text.layers}  # not planned yet
        self._skipped: set[str] = set()  # layers without a single copy
        self._number = 0  # of the next layer of a list
        self._size = 0
        self._failed = False

    def plan(self) -> Planned:
        """The block's plan; its value is known as far as anything in it is."""
        for layer in self._job.text.layers:
            self._layer(layer)
            self._later.discard(layer.name)
            if self._size > MOST_STEPS or len(self._diagnostics) > MOST_ERRORS:
                break
        told = Told()
        output, value = outputs(self._job.text.output, self._before, Scope(self._job.params, self._feeds), told.own)
        self._check_outputs(told)
        self._tell(told, self._job.path.rstrip("."))
        text, failed = self._job.text, self._failed or isinstance(value, Unknown)
        block = None if failed else Block(text.name, text.inputs, tuple(self._steps), output, text.span)
        if block is not None:
            warn_of_unused(block, told.own)
            self._diagnostics.extend(told.own.warnings)
        return Planned(block, value, self._size, tuple(self._diagnostics))

    def _check_outputs(self, told: Told) -> None:
        """Tells of each of several outputs that a skipped layer would have given: what it reads is not meant there."""
        text = self._job.text
        silent = {layer.name for layer in text.layers if "else" not in layer.keys} & self._skipped
        for use in references(text.output) if isinstance(text.output, SequenceNode | Mapping) else ():
            if use.name in silent:
                told.own.error(
                    "skipped",
                    f"output: {use.name} is skipped here, what it reads would come out in its place",
                    use.span,
                    help=f"name another layer, or say what {use.name} gives when it is skipped with `else`",
                )

    def _layer(self, layer: LayerText) -> None:
        told = Told()
        scope = Scope(self._job.params, self._feeds, self._later)
        before = None if is_source(layer) else self._before
        found = wires(layer.keys.get("from"), before, layer.span, scope, told.own).in_order(_input_names(layer))
        copies = copies_of(layer, found, scope, told)
        if copies is None:
            feed = self._unknown(layer)
        elif copies.nested and any(copies.wanted):
            feed = self._take(layer.name, layer, self._nested(layer, copies), found, told)
        else:
            feed = self._in_sequence(layer, copies, told)
        if copies is not None and not any(copies.wanted):
            self._skipped.add(layer.name)
        self._tell(told, f"{self._job.path}{layer.shown}")
        if layer.name:
            self._feeds[layer.name] = replace(feed, name=layer.name, copies=how_to_read_one(layer))
        if not is_source(layer):
            self._before = feed

    def _in_sequence(self, layer: LayerText, copies: Copies, told: Told) -> Feed:
        """The layer, or its copies, as steps of this block."""
        found = copies.wires
        feed = copies.passed if not any(copies.wanted) else None
        for index, scope in copies.each():
            if not copies.wanted[index]:
                feed = copies.other or found.first or feed
            else:
                name = self._name(layer, scope, index, copies, told)
                if name is None:
                    return self._unknown(layer)
                feed = self._take(name, layer, self._single(layer, name, scope, index, copies), found, told)
            if self._size > MOST_STEPS or feed is None:
                break
            found = copies.after(index, found, feed, layer, told)
        return feed or self._unknown(layer)

    def _name(self, layer: LayerText, scope: Scope, index: int, copies: Copies, told: Told) -> str | None:
        node = layer.keys.get("as")
        if not layer.name:
            self._number += 1
            return str(self._number - 1)
        if isinstance(node, Scalar):
            name, span = fill_in(node, scope, told.own), node.span
            help = "let `as` give each copy its own name: with $(i)"
            if name is None or not check_layer_name(name, span, told.own, self._job.text.inputs):
                return None
        elif copies.repeats:  # only shared modules repeat unnested
            name, span, help = f"{layer.name}_{index}", layer.span, "choose another name for one of the two"
        else:
            return layer.name
        written = {text.name for text in self._job.text.layers} - {layer.name}
        if name in written or name in self._made:
            told.own.error("duplicate-name", f"the name {name} is taken", span, help=help)
            return None
        return name

    def _single(
        self, layer: LayerText, name: str, scope: Scope, index: int, copies: Copies
    ) -> Callable[[Wires, Told], Made]:
        if layer.share is not None:
            return lambda found, told: self._shared(layer, name, found, scope, told)
        path, first = self._job.path, copies.repeats and index == 0
        return lambda found, told: self._maker.make(Place(name, layer, found, scope, path, self._steps, first), told)

    def _nested(self, layer: LayerText, copies: Copies) -> Callable[[Wires, Told], Made]:
        path = f"{self._job.path}{layer.name}."

        def make_copy(index: int, scope: Scope, found: Wires, steps: list[Step], told: Told) -> Made:
            own = Told()
            made = self._maker.make(Place(str(index), layer, found, scope, path, steps, index == 0, True), own)
            told.copy(own, f"{path}{index}")
            return made

        return lambda found, told: as_block(layer, replace(copies, wires=found), make_copy, told)

    def _shared(self, layer: LayerText, name: str, found: Wires, scope: Scope, told: Told) -> Made:
        assert layer.share is not None
        first = self._made.get(shared(layer.share, scope, told.own).ref.name)
        if first is not None and first[0].kind == "share":  # which names the first of all
            first = self._made[first[0].share or ""]
        written = reference_text(layer.share)
        if first is None or written in self._skipped:
            return failed_share(layer, told, written, self._job.inputs, written in self._skipped)
        original, make = first
        return share_step(layer, name, original, make(found, told), found, scope, told)

    def _take(self, name: str, layer: LayerText, make: Callable[[Wires, Told], Made], found: Wires, told: Told) -> Feed:
        """Makes a step and puts it at the end of the block."""
        made = make(found, told)
        self._size += made.size
        if self._size > MOST_STEPS >= made.size:  # a larger one has told so itself
            too_many(layer, told)
        feed = Feed(name, Ref(name), made.value, layer.span)
        if made.step is None:
            self._failed = True
        else:
            self._steps.append(made.step)
            self._made[name] = made.step, make
        self._feeds[name] = feed
        return feed

    def _unknown(self, layer: LayerText) -> Feed:
        self._failed = True
        return Feed(layer.name, Ref(layer.name), UNKNOWN, layer.span)

    def _tell(self, told: Told, path: str) -> None:
        self._diagnostics.extend(told.all(path, inside=bool(self._job.path)))
        self._failed = self._failed or bool(told.own.errors or told.below.errors)


def _input_names(layer: LayerText) -> Sequence[str]:
    """The inputs of what a layer calls, in order."""
    if layer.block_text is not None:
        return layer.block_text.inputs
    op = ops.get(layer.op) if layer.op else None
    return op.input_names if op is not None else ()
