"""A plan as a picture: SVG with a layered layout of our own, or Mermaid text. Floor 6; no torch of its own."""

from zoo.draw.drawing import Drawing, Edge, Node, drawing
from zoo.draw.mermaid import mermaid
from zoo.draw.svg import svg

__all__ = ["Drawing", "Edge", "Node", "drawing", "mermaid", "svg"]
