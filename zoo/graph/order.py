"""References within a block: to what stands above, and to nothing else; what goes round in a circle. Floor 3."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Mapping, Node, Scalar, Sequence
from zoo.document.evaluation import names_read, place
from zoo.graph.texts import BlockText, LayerText
from zoo.graph.values import unknown_layer
from zoo.graph.wiring import reference_text


@dataclass(frozen=True, slots=True)
class Use:
    """One layer reading another, and where that stands; ``by_default`` where no `from` says it."""

    name: str
    span: Span
    by_default: bool = False


def check_order(text: BlockText, diagnostics: Diagnostics) -> None:
    """Tells of references to layers that are not there, that stand below, or that read one another in a circle."""
    uses = [list(uses_of(layer)) for layer in text.layers]
    position = {name: index for index, name in enumerate(_names(text)) if name is not None}
    circles: set[frozenset[int]] = set()
    for index in range(len(text.layers)):
        for use in uses[index]:
            target = position.get(use.name)
            if target is not None and target >= index:
                _below(text, uses, index, target, use, circles, diagnostics)
            elif target is None and use.name not in text.inputs and not _may_come(use.name, text, index):
                above = [*text.inputs, *(name for name, at in position.items() if at < index)]
                error = unknown_layer(use.name, dict.fromkeys(above))
                diagnostics.error(error.code, error.message, use.span, help=error.help)
    for use in _references(text.output):
        if use.name not in position and use.name not in text.inputs and not _may_come(use.name, text, len(uses)):
            error = unknown_layer(use.name, {**dict.fromkeys(text.inputs), **position})
            diagnostics.error(error.code, error.message, use.span, help=error.help)


def uses_of(layer: LayerText) -> Iterator[Use]:
    """All that a layer reads by name: values, sizes and modules."""
    yield from _references(layer.keys.get("from"))
    yield from _references(layer.keys.get("else"))
    yield from _references(layer.share)
    if layer.op in ("Parameter", "Buffer") and layer.block_text is None:
        yield from _references(layer.arguments.get("batch_like"))
    for entry in (*layer.keys, *layer.arguments):
        for path, scalar in names_read(entry.value):
            if path.parts:
                yield Use(path.name, place(scalar, path.start, path.end))


def _references(node: Node | None) -> Iterator[Use]:
    if isinstance(node, Scalar):
        yield Use(reference_text(node).partition(".")[0], node.span)
    elif isinstance(node, Sequence):
        for item in node:
            yield from _references(item)
    elif isinstance(node, Mapping):
        for entry in node:
            yield from _references(entry.value)


def _names(text: BlockText) -> list[str | None]:
    """The layers' names as far as they are known before planning: a list's are not, once one is repeated or skipped."""
    if not text.is_list:
        return [layer.name for layer in text.layers]
    fixed = not any({"repeat", "when"} & set(layer.keys.keys) for layer in text.layers)
    return [str(index) if fixed else None for index in range(len(text.layers))]


def _may_come(name: str, text: BlockText, index: int) -> bool:
    """Whether a name may be that of a copy, which planning will tell."""
    if text.is_list:
        return name.isdigit() and None in _names(text)
    for layer in text.layers[:index]:
        template = layer.keys.get("as")
        if isinstance(template, Scalar) and name.startswith(str(template.value).partition("$")[0]):
            return True
    return False


def _below(
    text: BlockText,
    uses: list[list[Use]],
    index: int,
    target: int,
    use: Use,
    circles: set[frozenset[int]],
    diagnostics: Diagnostics,
) -> None:
    path = _path(text, uses, target, index)
    shown = [layer.name or str(at) for at, layer in enumerate(text.layers)]
    if path is None:
        diagnostics.error(
            "forward-reference",
            f"{shown[index]} reads {shown[target]}, which stands below it",
            use.span,
            notes=[Note(f"{shown[target]} stands here", text.layers[target].span)],
            help="a layer reads what stands above it: change the order",
        )
        return
    members = frozenset([index, *(at for at, _ in path)])
    if members in circles:
        return
    circles.add(members)
    round_trip = [shown[index], *(shown[at] for at, _ in path)]
    notes = [
        _reading(shown[at], shown[path[step + 1][0] if step + 1 < len(path) else index], link)
        for step, (at, link) in enumerate(path)
        if link is not None
    ]
    names = " -> ".join([*round_trip, shown[index]])
    diagnostics.error(
        "cycle",
        f"a cycle: {names}",
        use.span,
        notes=notes,
        help="a layer reads what stands above it; break the cycle at one of these lines",
    )


def _reading(reader: str, read: str, use: Use) -> Note:
    return Note(f"{reader} reads {read}" + (", the layer before it" if use.by_default else ""), use.span)


def _path(text: BlockText, uses: list[list[Use]], start: int, goal: int) -> list[tuple[int, Use | None]] | None:
    """From one layer to another by what each reads: the layers on the way with the use that leads on; None: no way."""
    if start == goal:
        return []
    position = {name: index for index, name in enumerate(_names(text)) if name is not None}
    came: dict[int, tuple[int, Use]] = {}
    queue = deque([start])
    while queue:
        at = queue.popleft()
        for use in (*uses[at], *_default(text, at)):
            to = at - 1 if use.by_default else position.get(use.name)
            if to is None or to in came or to == start:
                continue
            came[to] = (at, use)
            if to == goal:
                return _walked_back(came, start, goal)
            queue.append(to)
    return None


def _default(text: BlockText, index: int) -> Iterator[Use]:
    """The layer before, where a layer has no `from`."""
    layer = text.layers[index]
    if index > 0 and "from" not in layer.keys and layer.op not in ("Parameter", "Buffer"):
        yield Use(text.layers[index - 1].name, layer.span, by_default=True)


def _walked_back(came: dict[int, tuple[int, Use]], start: int, goal: int) -> list[tuple[int, Use | None]]:
    path: list[tuple[int, Use | None]] = []
    at = goal
    while at != start:
        at, use = came[at]
        path.append((at, use))
    return path[::-1]
