"""How deep each part of a plan lies, counted from the input: for layer-wise learning rates. Floor 3.

On the way from the input to the output the graph narrows again and again to one value, which all that follows is
made from. What lies between two such values counts once: a layer, or all layers of branches that part and join, as in
a residual block. A block that has a name counts once, unless named blocks follow one another in it, as in a stage; if
it counts once in one place (an inverted residual with its shortcut) it does so everywhere.

A layer without a tensor of two dimensions or more (a norm, a scale) belongs to what stands before it, and a free
tensor (a token, positions) to what reads it. Depth 0 is the stem. What does not lead to the network's main output, an
auxiliary head, is as deep as the head.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from zoo.graph.plan import Block, Plan, Step
from zoo.layers.foreign import LIBRARIES

Within = Callable[[str], Mapping[str, int]]
"""The depths of the parameters of another library's model, which a plan does not open, by the path of its layer."""


def depths_in(plan: Plan, within: Within) -> dict[str, int]:
    """The depth of every step that was counted, by its dotted path; all below it lies as deep."""
    live = _leading_to_main(plan.root)
    counting = _Counting(_counted_once(plan), within)
    counting.visit(plan.root, "", live)
    head = max(counting.depths.values(), default=0)
    return {step.name: head for step in plan.root.steps if step.name not in live} | counting.depths


class _Counting:
    """A walk along the graph, and the depth it has come to."""

    def __init__(self, once: Collection[str], within: Within) -> None:
        self.depths: dict[str, int] = {}
        self._once = once
        self._within = within
        self._depth = -1

    def visit(self, block: Block, prefix: str, live: Collection[str] | None = None) -> None:
        """Counts what stands in a block, one after another."""
        for part in parts_of(block, live):
            layers = [step for step in part if not step.is_tensor]
            only = layers[0] if len(layers) == 1 else None
            if only is not None and only.body is not None and self._opens(only.body):
                self._note((step for step in part if step is not only), prefix)
                self.visit(only.body, f"{prefix}{only.name}.")
            elif only is not None and only.op in LIBRARIES:
                self._note(part, prefix)
                inner = self._within(f"{prefix}{only.name}")
                self.depths |= {f"{prefix}{only.name}.{name}": self._depth + 1 + at for name, at in inner.items()}
                self._depth += 1 + max(inner.values(), default=-1)
            else:
                self._depth += any(map(_has_matrix, layers))
                self._note(part, prefix)

    def _opens(self, block: Block) -> bool:
        return not block.class_name or (block.class_name not in self._once and _holds_blocks(block))

    def _note(self, part: Iterable[Step], prefix: str) -> None:
        self.depths |= {f"{prefix}{step.name}": max(0, self._depth) for step in part}


def parts_of(block: Block, live: Collection[str] | None = None) -> Iterator[list[Step]]:
    """A block's steps in order, cut wherever one value alone is read from there on; of those that are live."""
    steps = [step for step in block.steps if live is None or step.name in live]
    last: dict[str, int] = {ref.name: number for number, step in enumerate(steps) for ref in step.refs}
    if len(block.output_refs) > 1 and live is None:
        last |= {ref.name: len(steps) for ref in block.output_refs}
    open_until = max((last.get(name, -1) for name in block.inputs), default=-1)
    part: list[Step] = []
    for number, step in enumerate(steps):
        part.append(step)
        if not step.is_tensor and open_until <= number:
            yield part
            part = []
        if not step.is_tensor:
            open_until = max(open_until, last.get(step.name, -1))
    if part:
        yield part


def _counted_once(plan: Plan) -> set[str]:
    """The names of blocks that count once somewhere, and so everywhere."""
    bodies = (step.body for _, step in plan.walk() if step.body is not None)
    return {body.class_name for body in bodies if body.class_name and not _holds_blocks(body)}


def _holds_blocks(block: Block) -> bool:
    """Whether a named block stands in it by itself, in no branch."""
    for part in parts_of(block):
        layers = [step for step in part if not step.is_tensor]
        body = layers[0].body if len(layers) == 1 else None
        if body is not None and (body.class_name or _holds_blocks(body)):
            return True
    return False


def _has_matrix(step: Step) -> bool:
    inner = step.body.walk() if step.body is not None else ()
    every = (step, *(below for _, below in inner))
    return any(len(tensor.shape) > 1 and not tensor.is_buffer for one in every for tensor in one.parameters)


def _leading_to_main(root: Block) -> set[str]:
    """The names of the steps that the main output is made from: of several outputs that of the most steps."""
    steps = {step.name: step for step in root.steps}
    found: list[set[str]] = []
    for output in root.output_refs:
        leading: set[str] = set()
        waiting = [output.name]
        while waiting:
            name = waiting.pop()
            if name in steps and name not in leading:
                leading.add(name)
                waiting += [ref.name for ref in steps[name].refs]
                waiting += [steps[name].share or name]
        found.append(leading)
    return max(found, key=len)
