"""A drawing as Mermaid flowchart text (https://mermaid.js.org/syntax/flowchart.html). Floor 6."""

from __future__ import annotations

from zoo.draw.drawing import Drawing, Kind

_SHAPES: dict[Kind, tuple[str, str]] = {
    "input": ("([", "])"),
    "output": ("([", "])"),
    "module": ("[", "]"),
    "function": ("(", ")"),
    "parameter": ("[/", "/]"),
    "block": ("[[", "]]"),
}


def mermaid(drawing: Drawing) -> str:
    """Flowchart text, top to bottom; GitHub and GitLab render it in a Markdown block ```mermaid."""
    numbers = {node.id: f"n{number}" for number, node in enumerate(drawing.nodes)}
    lines = ["flowchart TB"]
    for node in drawing.nodes:
        before, after = _SHAPES[node.kind]
        text = "<br/>".join(_escape(line) for line in node.lines)
        lines.append(f'    {numbers[node.id]}{before}"{text}"{after}')
    for edge in drawing.edges:
        label = f'|"{_escape(edge.label)}"|' if edge.label else ""
        lines.append(f"    {numbers[edge.source]} -->{label} {numbers[edge.target]}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
