"""Plans one block: its layers in order, each turned into steps. Floor 3.

A block's plan depends on nothing but its text, its params and the values that come in, so equal calls share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document.evaluation import fill_in
from zoo.document import Scalar
from zoo.graph.arguments import plain_or_none
from zoo.graph.context import MOST_STEPS, Context, Job, Planned, Told
from zoo.graph.names import check_layer_name
from zoo.graph.plan import Block, Output, Ref, Step, Value
from zoo.graph.steps import FAILED, Made, Place, StepMaker
from zoo.graph.texts import LayerText
from zoo.graph.values import UNKNOWN, Feed, MaybeValue, Scope, Unknown
from zoo.graph.wiring import Wire, Wires, look_up, outputs, wires


class Body:
    """The planning of one block."""

    def __init__(self, context: Context, job: Job) -> None:
        self._context = context
        self._job = job
        self._diagnostics = Diagnostics()
        self._maker = StepMaker(context, lambda inner: Body(context, inner).plan())
        self._feeds = {name: Feed(name, Ref(name), value, job.text.span) for name, value in job.inputs.items()}
        self._before = next(iter(self._feeds.values()))
        self._steps: list[Step] = []
        self._places: dict[str, Place] = {}
        self._size = 0
        self._failed = False
        self._names = [layer.name for layer in job.text.layers]

    def plan(self) -> Planned:
        """The block's plan; its value is known as far as anything in it is."""
        for index, layer in enumerate(self._job.text.layers):
            self._layer(layer, frozenset(self._names[index:]))
            if self._size > MOST_STEPS:
                break
        told = Told()
        output, value = outputs(self._job.text.output, self._before, self._scope(), told.own)
        self._tell(told, self._job.path.rstrip("."))
        block = None if self._failed or isinstance(value, Unknown) else self._block(output)
        return Planned(block, value, self._size, tuple(self._diagnostics))

    def _block(self, output: Output) -> Block:
        text = self._job.text
        steps = tuple(self._steps)
        return Block(text.name, text.inputs, steps, output, is_chain(text.inputs, steps, output), text.span)

    def _scope(self, later: frozenset[str] = frozenset()) -> Scope:
        return Scope(self._job.params, self._feeds, later)

    def _layer(self, layer: LayerText, later: frozenset[str]) -> None:
        told = Told()
        scope = self._scope(later)
        found = wires(layer.keys.get("from"), self._before, layer.span, scope, told.own)
        feed = self._run(layer, found, scope, told)
        self._tell(told, f"{self._job.path}{layer.shown}")
        if layer.name:
            self._feeds[layer.name] = replace(feed, name=layer.name)
        if layer.op not in ("Parameter", "Buffer") or layer.block_text is not None:
            self._before = feed

    def _run(self, layer: LayerText, found: Wires, scope: Scope, told: Told) -> Feed:
        if "repeat" not in layer.keys:
            return self._one(layer, found, scope, told)
        raise NotImplementedError

    def _one(self, layer: LayerText, found: Wires, scope: Scope, told: Told) -> Feed:
        name = layer.name or str(len(self._steps))
        wanted = self._is_wanted(layer, scope, told)
        if wanted is None:
            return self._unknown(layer, name)
        if not wanted:
            return self._skipped(layer, found, scope, told)
        made = self._maker.make(Place(name, layer, found, scope, self._job.path, self._job.depth), told)
        return self._take(made, layer, name)

    def _take(self, made: Made, layer: LayerText, name: str) -> Feed:
        self._size += made.size
        if made.step is None:
            self._failed = True
        else:
            self._steps.append(made.step)
        return Feed(name, Ref(name), made.value, layer.span)

    def _unknown(self, layer: LayerText, name: str) -> Feed:
        self._failed = True
        return Feed(name, Ref(name), UNKNOWN, layer.span)

    def _is_wanted(self, layer: LayerText, scope: Scope, told: Told) -> bool | None:
        node = layer.keys.get("when")
        if node is None:
            return True
        value = plain_or_none(node, scope, told.own)
        if value is not None and not isinstance(value, bool):
            told.own.error("wrong-type", f"{layer.shown}: when: expected true or false, got {value!r}", node.span)
            return None
        return value

    def _skipped(self, layer: LayerText, found: Wires, scope: Scope, told: Told) -> Feed:
        other = layer.keys.get("else")
        if isinstance(other, Scalar):
            return look_up(other, scope, told.own)
        return found.all[0].feed

    def _tell(self, told: Told, path: str) -> None:
        self._diagnostics.extend(told.all(path, inside=bool(self._job.path)))
        self._failed = self._failed or bool(told.own.errors or told.below.errors)


def is_chain(inputs: tuple[str, ...], steps: tuple[Step, ...], output: Output) -> bool:
    """Whether the steps are modules, each of which reads the one before and nothing else."""
    before = Ref(inputs[0])
    for step in steps:
        plain = not (step.named_inputs or step.call) and step.inputs == (before,)
        if step.kind not in ("module", "block") or not plain:
            return False
        before = Ref(step.name)
    return len(inputs) == 1 and output == before
