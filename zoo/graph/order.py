"""References within a block: to what stands above, and to nothing else; what goes round in a circle. Floor 3."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Node, Scalar, scalars
from zoo.document.evaluation import names_read, place
from zoo.graph.context import MOST_ERRORS
from zoo.graph.texts import BlockText, LayerText
from zoo.graph.values import unknown_layer
from zoo.graph.wiring import reference_text
from zoo.layers import ops

_BACK = re.compile(r"-[1-9]\d{0,5}")  # ultralytics' way to name a layer: how far above it stands


@dataclass(frozen=True, slots=True)
class Use:
    """One layer reading another, and where that stands; ``by_default`` where no `from` says it."""

    name: str
    span: Span
    by_default: bool = False


def check_order(text: BlockText, diagnostics: Diagnostics, around: BlockText | None = None) -> None:
    """Tells of references to layers that are not there, that stand below, or that read one another in a circle.

    ``around`` is where an anonymous block stands: what it reads of that has to be handed in.
    """
    order = _Order(text, diagnostics, around)
    for index in range(len(text.layers)):
        order.check(index)
    order.check_output()


class _Order:
    """One block's layers by position, and what each reads."""

    def __init__(self, text: BlockText, diagnostics: Diagnostics, around: BlockText | None) -> None:
        self._text = text
        self._around = around
        self._diagnostics = diagnostics
        self._uses = [list(uses_of(layer)) for layer in text.layers]
        # A list's numbers are not known before planning, once one of its layers is repeated or skipped.
        self._is_open = text.is_list and any({"repeat", "when"} & set(layer.keys.keys) for layer in text.layers)
        self._shown = [layer.name or str(index) for index, layer in enumerate(text.layers)]
        self._position = {} if self._is_open else {name: index for index, name in enumerate(self._shown)}
        self._above = list(text.inputs)
        self._templates: list[str] = []  # what the names of copies begin with
        self._circles: set[frozenset[int]] = set()

    def check(self, index: int) -> None:
        """Checks what one layer reads; the layers come in order."""
        for use in self._uses[index]:
            target = self._position.get(use.name)
            if target is None:
                self._check_unknown(use)
            elif target >= index and len(self._diagnostics) < MOST_ERRORS:
                self._below(index, target, use)
        self._above.append(self._shown[index])
        template = self._text.layers[index].keys.get("as")
        if isinstance(template, Scalar):
            self._templates.append(str(template.value).partition("$")[0])

    def check_output(self) -> None:
        """Checks what the block gives."""
        for use in references(self._text.output):
            if use.name not in self._position:
                self._check_unknown(use)

    def _check_unknown(self, use: Use) -> None:
        is_copy = any(use.name.startswith(template) for template in self._templates)
        if use.name in self._text.inputs or is_copy or (self._is_open and use.name.isdigit()):
            return  # an input; or a copy, which planning will know
        if len(self._diagnostics) < MOST_ERRORS:
            error = unknown_layer(use.name, dict.fromkeys(reversed(self._above)))
            help = self._handed_in(use.name) or self._counted_back(use.name) or error.help
            self._diagnostics.error(error.code, error.message, use.span, help=help)

    def _handed_in(self, name: str) -> str | None:
        """The way out where an anonymous block reads a layer that stands around it, above it."""
        if self._around is None:
            return None
        layers, inputs = self._around.layers, self._around.inputs
        at = next(index for index, layer in enumerate(layers) if layer.block is self._text)
        if not name.isidentifier() or name not in {*inputs, *(layer.name for layer in layers[:at])}:
            return None
        source = layers[at].keys.get("from")
        before = layers[at - 1].name or str(at - 1) if at else inputs[0]
        sources = [reference_text(node) for node in scalars(source)] if source is not None else [before]
        return (
            f"{name} stands outside this block: hand it in, beside `layers`, "
            f"by from: [{', '.join([*sources, name])}] and inputs: [{', '.join([*self._text.inputs, name])}]"
        )

    def _counted_back(self, name: str) -> str | None:
        """The way out where a layer is named by how far above it stands."""
        if not _BACK.fullmatch(name):
            return None
        back = int(name)
        if self._is_open or -back > len(self._above):
            return "layers go by their names, in a list by their numbers from 0"
        return f"layers go by their names, {self._above[back]} here" + (
            "; the layer before is read where from is left out" if back == -1 else ""
        )

    def _below(self, index: int, target: int, use: Use) -> None:
        reader, read = self._shown[index], self._shown[target]
        path = self._path(target, index)
        if path is None:
            notes = [Note(f"{read} stands here", self._text.layers[target].span)]
            help = "a layer reads what stands above it: change the order"
            message = f"{reader} reads {read}, which stands below it"
            self._diagnostics.error("forward-reference", message, use.span, notes=notes, help=help)
            return
        members = frozenset([index, *(at for at, _ in path)])
        if members not in self._circles:
            self._circles.add(members)
            self._circle(index, path, use)

    def _circle(self, index: int, path: list[tuple[int, Use]], use: Use) -> None:
        round_trip = [index, *(at for at, _ in path), index]
        names = " -> ".join(self._shown[at] for at in round_trip)
        pairs = zip(round_trip[1:-1], round_trip[2:], path, strict=True)
        notes = [self._reading(reader, read, link) for reader, read, (_, link) in pairs]
        help = "a layer reads what stands above it; break the cycle at one of these lines"
        self._diagnostics.error("cycle", f"a cycle: {names}", use.span, notes=notes, help=help)

    def _reading(self, reader: int, read: int, use: Use) -> Note:
        how = ", the layer before it" if use.by_default else ""
        return Note(f"{self._shown[reader]} reads {self._shown[read]}{how}", use.span)

    def _path(self, start: int, goal: int) -> list[tuple[int, Use]] | None:
        """From one layer to another by what each reads: the layers on the way, each with the use that leads on."""
        came: dict[int, tuple[int, Use]] = {}
        queue = deque([start])
        while queue and goal not in came and start != goal:
            at = queue.popleft()
            for use in (*self._uses[at], *self._default(at)):
                to = at - 1 if use.by_default else self._position.get(use.name)
                if to is not None and to not in came and to != start:
                    came[to] = (at, use)
                    queue.append(to)
        if start != goal and goal not in came:
            return None
        path: list[tuple[int, Use]] = []
        at = goal
        while at != start:
            at, use = came[at]
            path.append((at, use))
        return path[::-1]

    def _default(self, index: int) -> Iterator[Use]:
        """The layer before, where a layer has no `from`."""
        layer = self._text.layers[index]
        if index > 0 and "from" not in layer.keys and not is_source(layer):
            yield Use(self._shown[index - 1], layer.span, by_default=True)


def is_source(layer: LayerText) -> bool:
    """Whether a layer reads no input: a `Parameter` or `Buffer`."""
    op = ops.get(layer.op) if layer.op else None
    return op is not None and op.is_tensor and layer.block_text is None


def uses_of(layer: LayerText) -> Iterator[Use]:
    """All that a layer reads by name: values, sizes and modules."""
    yield from references(layer.keys.get("from"))
    yield from references(layer.keys.get("else"))
    yield from references(layer.share)
    if is_source(layer):
        yield from references(layer.arguments.get("batch_like"))
    for entry in (*layer.keys, *layer.arguments):
        for path, scalar in names_read(entry.value):
            if path.parts:
                yield Use(path.name, place(scalar, path.start, path.end))


def references(node: Node | None) -> Iterator[Use]:
    """What a name, a list of names or a mapping to names refers to."""
    for scalar in scalars(node):
        yield Use(reference_text(scalar).partition(".")[0], scalar.span)
