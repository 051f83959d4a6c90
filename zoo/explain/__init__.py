"""Explanations: where a network looked, as class activation maps and as grids of pictures. Floor 6.

``cams`` gives maps as arrays; ``layers_with_maps``, ``choose_layer`` and ``default_layer`` say what can be looked at;
``explain`` does it all for some images, and its result draws itself; ``seen_pixels`` makes a network's input an image
again.
"""

from zoo.explain.cams import cams
from zoo.explain.explanation import ANY_CLASS, Cell, Explanation, explain
from zoo.explain.layers import MapLayer, choose_layer, default_layer, layers_with_maps
from zoo.explain.methods import METHODS, find_method
from zoo.explain.overlay import overlay
from zoo.explain.seen import seen_pixels

__all__ = [
    "ANY_CLASS",
    "METHODS",
    "Cell",
    "Explanation",
    "MapLayer",
    "cams",
    "choose_layer",
    "default_layer",
    "explain",
    "find_method",
    "layers_with_maps",
    "overlay",
    "seen_pixels",
]
