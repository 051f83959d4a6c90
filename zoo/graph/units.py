"""The blocks of a plan that one would take one by hand at a time: for activation checkpointing. Floor 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zoo.graph.depth import parts_of
from zoo.graph.plan import Block, Plan, Step
from zoo.layers.foreign import LIBRARIES

Within = Callable[[str], tuple[str, ...]]
"""The blocks of another library's model, which a plan does not open, by the path of its layer."""


def blocks_in(plan: Plan, within: Within) -> tuple[str, ...]:
    """The dotted paths of the plan's blocks, in order; none lies in another.

    A block is one that has a name and two layers with weights. Of a stage, in which such blocks follow one another,
    each of those is one, but no block of a single convolution or product, which may be a larger one's inside.
    """
    return tuple(_found(plan.root, "", within))


def _found(block: Block, prefix: str, within: Within) -> Iterator[str]:
    for step in block.steps:
        path = f"{prefix}{step.name}"
        if step.op in LIBRARIES:
            yield from (f"{path}.{name}" for name in within(path))
        elif step.body is not None:
            if not step.body.class_name or _holds_blocks(step.body):
                yield from _found(step.body, f"{path}.", within)
            elif len(_layers(step)) > 1:
                yield path


def _holds_blocks(block: Block) -> bool:
    """Whether a block with a name and two matrices stands in it by itself, in no branch."""
    for part in parts_of(block):
        layers = [step for step in part if not step.is_tensor]
        body = layers[0].body if len(layers) == 1 else None
        if body is None:
            continue
        if _holds_blocks(body) or (body.class_name and sum(map(_has_matrix, _layers(layers[0]))) > 1):
            return True
    return False


def _layers(step: Step) -> list[Step]:
    """The layers in a block that have weights."""
    inner = step.body.walk() if step.body is not None else ()
    return [below for _, below in inner if any(not tensor.is_buffer for tensor in below.parameters)]


def _has_matrix(layer: Step) -> bool:
    return any(len(tensor.shape) > 1 and not tensor.is_buffer for tensor in layer.parameters)
