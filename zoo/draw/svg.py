"""A drawing as SVG that reads well on light and dark pages. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from zoo.draw.drawing import Drawing, Node
from zoo.draw.layout import LINE, Item, Layout, lay_out

# Colours stand twice: on every shape and text, for a light page and for viewers that know no style sheets, and by class
# in a style sheet for dark pages.
_LIGHT = {
    "ink": "#1b2330", "soft": "#5b6675", "line": "#8a95a5", "paper": "#ffffff", "module": "#dbe8fb",
    "function": "#fdf0d5", "block": "#dff3e3", "parameter": "#f3e1f5", "input": "#eceff3", "output": "#eceff3",
}  # fmt: skip
_DARK = {
    "ink": "#e8edf4", "soft": "#a9b4c2", "line": "#77828f", "paper": "#14181f", "module": "#22385a",
    "function": "#4b3d1c", "block": "#1f4029", "parameter": "#44284a", "input": "#2a313b", "output": "#2a313b",
}  # fmt: skip
_FONT = "ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
_RULES = [
    *(f".{role} {{ fill: {colour} }}" for role, colour in _DARK.items()),
    f"g rect, path {{ stroke: {_DARK['line']} }}",
    ".line { stroke: none }",
]
_STYLE = f"@media (prefers-color-scheme: dark) {{ {' '.join(_RULES)} }}"

ROUNDED = {"input", "output", "function"}


def svg(drawing: Drawing) -> str:
    """The picture as one SVG document, its size in pixels."""
    layout = lay_out(drawing)
    width, height = round(layout.width), round(layout.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{_FONT}" font-size="12" text-anchor="middle" '
        f'role="img" aria-label="The graph of {escape(drawing.name)}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path {_filled("line")} d="M0,0 L8,4 L0,8 z"/></marker></defs>',
        f'<rect {_filled("paper")} width="{width}" height="{height}"/>',
        *_arrows(layout),
        *(_box(node, layout.boxes[node.id]) for node in drawing.nodes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _filled(role: str) -> str:
    """The attributes of what is filled with a colour of the page."""
    return f'class="{role}" fill="{_LIGHT[role]}"'


def _arrows(layout: Layout) -> list[str]:
    """The arrows; one that goes with another at first is drawn from where it branches off."""
    parts = []
    reached: set[tuple[float, float]] = set()
    for edge, points in layout.routes:
        branch = max(0, next(number for number, point in enumerate(points) if point not in reached) - 1)
        reached.update(points)
        line = f'fill="none" stroke="{_LIGHT["line"]}" stroke-width="1.4"'
        parts.append(f'<path {line} d="{_path(points[branch:])}" marker-end="url(#tip)"/>')
        if edge.label and not branch:
            lx, ly = points[0]
            place = f'font-size="10" text-anchor="start" x="{lx + 4:.1f}" y="{ly + 12:.1f}"'
            parts.append(f"<text {_filled('soft')} {place}>{escape(edge.label)}</text>")
    return parts


def _path(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    path = [f"M{x:.1f},{y:.1f}"]
    for px, py in rest:
        if abs(px - x) < 0.05 and abs(py - y) < 0.05:
            continue  # a stretch of no length would leave the arrow's tip without a direction
        if abs(px - x) < 0.05:
            path.append(f"V{py:.1f}")
        else:  # only between rows do arrows change sides
            middle = (y + py) / 2
            path.append(f"C{x:.1f},{middle:.1f} {px:.1f},{middle:.1f} {px:.1f},{py:.1f}")
        x, y = px, py
    return " ".join(path)


def _box(node: Node, item: Item) -> str:
    radius = item.height / 2 if node.kind in ROUNDED else 5
    lines = [
        f'<rect {_filled(node.kind)} stroke="{_LIGHT["line"]}" x="{item.x - item.width / 2:.1f}" y="{item.y:.1f}" '
        f'width="{item.width:.1f}" height="{item.height:.1f}" rx="{radius:.1f}"/>'
    ]
    first = item.y + (item.height - len(node.lines) * LINE) / 2 + LINE * 0.75
    for number, line in enumerate(node.lines):
        look = f'{_filled("ink")} font-weight="600"' if number == 0 else _filled("soft")
        lines.append(f'<text {look} x="{item.x:.1f}" y="{first + number * LINE:.1f}">{escape(line)}</text>')
    return f"<g><title>{escape(node.title)}</title>{''.join(lines)}</g>"
