"""Explanations: where a network looked, as class activation maps and as grids of pictures. Floor 6.

``cams`` gives maps as arrays; ``default_layer`` and ``layers_with_maps`` say what can be looked at; ``Cell``
and ``draw_grid`` make a picture of image, map, prediction and truth.
"""

from zoo.explain.cams import cams
from zoo.explain.layers import MapLayer, default_layer, layers_with_maps
from zoo.explain.methods import METHODS, find_method

__all__ = [
    "METHODS",
    "MapLayer",
    "cams",
    "default_layer",
    "find_method",
    "layers_with_maps",
]
