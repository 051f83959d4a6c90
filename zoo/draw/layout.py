"""Where the boxes go: a layered layout after Sugiyama, Tagawa and Toda (1981). Floor 6.

Boxes stand in rows by their longest path from an input. An arrow that passes a row gets a lane there, as wide
as a box is to it, so that no arrow ever runs over a box and no two boxes touch. What one box gives to many goes in
one lane until it branches off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from zoo.draw.drawing import Drawing, Edge

CHARACTER = 7.4  # pixels a character of the box text takes at most
LINE = 17.0
PADDING = 12.0
LANE = 10.0
GAP_X = 22.0
GAP_Y = 38.0
SWEEPS = 24


@dataclass(slots=True, eq=False)
class Item:
    """A box, or a lane for a passing arrow (``node`` is None)."""

    row: int
    width: float
    height: float
    node: str | None
    x: float = 0.0  # centre
    y: float = 0.0  # top
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Layout:
    """Placed boxes by id, each arrow as the points it passes, and the picture's size, in pixels."""

    boxes: dict[str, Item]
    routes: tuple[tuple[Edge, tuple[tuple[float, float], ...]], ...]
    width: float
    height: float


def lay_out(drawing: Drawing) -> Layout:
    """Places every box and routes every arrow."""
    rows = _rows(drawing)
    boxes = {
        node.id: Item(rows[node.id], _width(node.lines), len(node.lines) * LINE + PADDING, node.id)
        for node in drawing.nodes
    }
    lanes: dict[tuple[str, str, int], Item] = {}
    chains = [_chain(edge, boxes, lanes) for edge in drawing.edges]
    grid: dict[int, list[Item]] = defaultdict(list)
    for item in [*boxes.values(), *lanes.values()]:
        grid[item.row].append(item)
    ordered = [grid[row] for row in sorted(grid)]
    _order(ordered)
    _place_x(ordered)
    height = _place_y(ordered)
    left = min(item.x - item.width / 2 for row in ordered for item in row) - PADDING
    for row in ordered:
        for item in row:
            item.x -= left
    width = max(item.x + item.width / 2 for row in ordered for item in row) + PADDING
    return Layout(boxes, tuple(_routes(drawing.edges, chains, ordered)), width, height)


def _width(lines: Sequence[str]) -> float:
    return max(len(line) for line in lines) * CHARACTER + 2 * PADDING


def _rows(drawing: Drawing) -> dict[str, int]:
    """Longest path from a source; a source that feeds a deep box moves down next to it."""
    rows = {node.id: 0 for node in drawing.nodes}
    feeds: dict[str, list[str]] = defaultdict(list)
    fed: dict[str, list[str]] = defaultdict(list)
    for edge in drawing.edges:
        feeds[edge.source].append(edge.target)
        fed[edge.target].append(edge.source)
    for node in drawing.nodes:  # forward order: every source stands before its targets
        rows[node.id] = max((rows[source] + 1 for source in fed[node.id]), default=0)
    for node in drawing.nodes:
        if node.kind == "parameter" and not fed[node.id] and feeds[node.id]:
            rows[node.id] = max(0, min(rows[target] for target in feeds[node.id]) - 1)
    return rows


def _chain(edge: Edge, boxes: dict[str, Item], lanes: dict[tuple[str, str, int], Item]) -> list[Item]:
    """The arrow's source, a lane in each row it passes, its target; arrows that carry the same share their lanes.

    Without that, layers that each read all before them would have a lane for every arrow in every row, cubic in their
    number.
    """
    source, target = boxes[edge.source], boxes[edge.target]
    chain = [source]
    for row in range(source.row + 1, target.row):
        key = edge.source, edge.label, row
        if key not in lanes:
            lanes[key] = Item(row, LANE, 0.0, None)
            _link(chain[-1], lanes[key])
        chain.append(lanes[key])
    _link(chain[-1], target)
    return [*chain, target]


def _link(upper: Item, lower: Item) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _order(rows: list[list[Item]]) -> None:
    """Orders each row by the mean position of its neighbours, down and up in turn, to undo crossings."""
    for sweep in range(8):
        downwards = sweep % 2 == 0
        for index in range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1):
            near = rows[index - 1] if downwards else rows[index + 1]
            position = {id(item): number for number, item in enumerate(near)}
            row = rows[index]
            own = {id(item): number for number, item in enumerate(row)}

            def mean(
                item: Item, position: dict[int, int] = position, own: dict[int, int] = own, downwards: bool = downwards
            ) -> float:
                places = [position[id(other)] for other in (item.above if downwards else item.below)]
                return sum(places) / len(places) if places else float(own[id(item)])

            row.sort(key=mean)


def _place_x(rows: list[list[Item]]) -> None:
    """Pulls every item towards its neighbours' middle, then pushes a row's items apart again."""
    for row in rows:
        _spread(row, [0.0] * len(row))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wishes = [_wish(item, downwards=sweep % 2 == 0) for item in row]
            _spread(row, wishes)


def _wish(item: Item, *, downwards: bool) -> float:
    near = (item.above if downwards else item.below) or (item.below if downwards else item.above)
    return sum(other.x for other in near) / len(near) if near else item.x


def _spread(row: list[Item], wishes: list[float]) -> None:
    """The places nearest to the wishes (least squares) that keep order and gaps: pool adjacent violators."""
    offsets, offset = [], 0.0
    for number, item in enumerate(row):
        if number:
            offset += (row[number - 1].width + item.width) / 2 + GAP_X
        offsets.append(offset)
    pools: list[tuple[float, int]] = []  # mean, members
    for wish, start in zip(wishes, offsets, strict=True):
        mean, members = wish - start, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, members = (mean * members + other * count) / (members + count), members + count
        pools.append((mean, members))
    means = [mean for mean, members in pools for _ in range(members)]
    for item, start, mean in zip(row, offsets, means, strict=True):
        item.x = mean + start


def _place_y(rows: list[list[Item]]) -> float:
    y = PADDING
    for row in rows:
        height = max(item.height for item in row)
        for item in row:
            item.y = y + (height - item.height) / 2 if item.node else y
            if item.node is None:
                item.height = height
        y += height + GAP_Y
    return y - GAP_Y + PADDING


def _routes(
    edges: Sequence[Edge], chains: list[list[Item]], rows: list[list[Item]]
) -> list[tuple[Edge, tuple[tuple[float, float], ...]]]:
    leaving: dict[int, list[int]] = defaultdict(list)
    arriving: dict[int, list[int]] = defaultdict(list)
    for number, chain in enumerate(chains):
        leaving[id(chain[0])].append(number)
        arriving[id(chain[-1])].append(number)
    start = _ports(leaving, chains, first=True)
    end = _ports(arriving, chains, first=False)
    tops = [min(item.y for item in row) for row in rows]
    bottoms = [max(item.y + item.height for item in row) for row in rows]
    routes = []
    for number, (edge, chain) in enumerate(zip(edges, chains, strict=True)):
        source, target = chain[0], chain[-1]
        points = [(start[number], source.y + source.height), (start[number], bottoms[source.row])]
        for lane in chain[1:-1]:
            points += [(lane.x, tops[lane.row]), (lane.x, bottoms[lane.row])]
        points += [(end[number], tops[target.row]), (end[number], target.y)]
        routes.append((edge, tuple(points)))
    return routes


def _ports(groups: dict[int, list[int]], chains: list[list[Item]], *, first: bool) -> dict[int, float]:
    """Where on its box each arrow leaves or arrives: side by side, in the order of where it goes.

    Arrows that leave in the same lane leave at the same place.
    """
    ports = {}
    for numbers in groups.values():
        box = chains[numbers[0]][0 if first else -1]
        places: dict[tuple[float, int], list[int]] = defaultdict(list)
        for number in numbers:
            near = chains[number][1 if first else -2]
            places[near.x, -1 if first and near.node is None else number].append(number)
        pitch = min(16.0, (box.width - PADDING) / len(places))
        for place, key in enumerate(sorted(places)):
            for number in places[key]:
                ports[number] = box.x + (place - (len(places) - 1) / 2) * pitch
    return ports
