"""What a network makes of some images: prediction, confidence, and maps of what speaks for it. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.explain.cams import cams
from zoo.explain.layers import MapLayer, choose_layer, layers_with_maps
from zoo.explain.methods import find_method
from zoo.explain.private import private_copy

ANY_CLASS = "any class"  # stands for a class's name where the method knows none


@dataclass(frozen=True, eq=False)
class Cell:
    """One image explained: what the network says of it, and for each class asked about a map (HW, 0..1).

    A method that knows no class gives one map, called ``any class``.
    """

    image: NDArray[np.uint8]  # HWC, as large as the maps
    predicted: str
    confidence: float  # the probability of ``predicted``
    maps: tuple[tuple[str, NDArray[np.float32]], ...]
    true: str | None = None  # None where it is not known
    name: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the network is known to be wrong."""
        return self.true is not None and self.true != self.predicted


@dataclass(frozen=True, eq=False)
class Explanation:
    """Images explained by one method at one layer."""

    method: str
    layer: str
    cells: tuple[Cell, ...]

    @property
    def remark(self) -> str:
        """Why there is one map an image only; empty where there is one for each class."""
        found = find_method(self.method)
        return "" if found.knows_class else f"{found.name} knows no class: one map an image, whatever it is taken for"

    def draw(self, path: Path, *, title: str = "") -> Path:
        """Draws the cells as a grid into a PNG file and returns its path."""
        from zoo.explain.grid import draw_grid

        return draw_grid(self.cells, path, title=title or f"{self.method} at {self.layer}", remark=self.remark)


def explain(
    model: nn.Module,
    images_BCHW: Tensor,
    pixels: Sequence[NDArray[np.uint8]],
    class_names: Sequence[str],
    *,
    labels: Sequence[int] | None = None,
    names: Sequence[str] = (),
    method: str = "gradcam",
    layer: str | None = None,
    layers: Mapping[str, MapLayer] | None = None,
    target_class: int | None = None,
) -> Explanation:
    """Explains what a network says of some images, and, where it is wrong, what speaks for the true class.

    ``images_BCHW`` are as the network sees them, ``pixels`` the same to be looked at (uint8, HWC, of their height and
    width: a map lies on what it speaks of), ``labels`` their classes where they are known, ``names`` what to call
    them. ``layers`` are those with maps, where they are known already. ``target_class`` asks about that class instead,
    in every image. Of a method that knows no class there is one map an image. The model is left as found. Raises
    UsageError for an unknown method or layer, for pixels of another size, or where there is no map.
    """
    _check_sizes(images_BCHW, pixels)
    how = find_method(method)
    layers = layers_with_maps(model, images_BCHW.shape[1:]) if layers is None else layers
    chosen = choose_layer(layers, layer, model).name
    probabilities = _probabilities(model, images_BCHW)
    predictions = probabilities.argmax(1).tolist()
    asked = _questions(predictions, labels if how.knows_class else None, target_class)
    places, classes = [place for place, _ in asked], [index for _, index in asked]
    found = cams(model, images_BCHW[places], classes, method=how.name, layer=chosen, layers=layers)
    maps: list[list[tuple[str, NDArray[np.float32]]]] = [[] for _ in predictions]
    for (place, index), map_HW in zip(asked, found, strict=True):
        maps[place].append((class_names[index] if how.knows_class else ANY_CLASS, map_HW))
    cells = [
        Cell(
            image=pixels[place],
            predicted=class_names[best],
            confidence=float(probabilities[place, best]),
            maps=tuple(maps[place]),
            true=None if labels is None else class_names[labels[place]],
            name=names[place] if names else "",
        )
        for place, best in enumerate(predictions)
    ]
    return Explanation(how.name, chosen, tuple(cells))


def _check_sizes(images_BCHW: Tensor, pixels: Sequence[NDArray[np.uint8]]) -> None:
    wanted = tuple(images_BCHW.shape[2:])
    for height, width in (image.shape[:2] for image in pixels):
        if (height, width) != wanted:
            raise UsageError(f"pixels of {height}x{width} are not the network's images of {wanted[0]}x{wanted[1]}")


def _questions(
    predictions: Sequence[int], labels: Sequence[int] | None, target_class: int | None
) -> list[tuple[int, int]]:
    """Which class to ask about in which image: the one asked for, or what was predicted and then what is true."""
    if target_class is not None:
        return [(place, target_class) for place in range(len(predictions))]
    asked = list(enumerate(predictions))
    if labels is not None:
        asked += [(place, label) for place, label in enumerate(labels) if label != predictions[place]]
    return asked


def _probabilities(model: nn.Module, images_BCHW: Tensor) -> NDArray[np.float32]:
    """Softmax of the scores in fp32, BK."""
    twin = private_copy(model)
    with torch.no_grad():
        scores = torch.cat([twin(images.float()) for images in torch.split(images_BCHW, 64)])
    probabilities: NDArray[np.float32] = scores.softmax(1).cpu().numpy()
    return probabilities
