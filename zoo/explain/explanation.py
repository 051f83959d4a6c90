"""What a network makes of some images: prediction, confidence, and maps of what speaks for it. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.explain.cams import cams
from zoo.explain.layers import choose_layer, layers_with_maps
from zoo.explain.methods import find_method
from zoo.explain.private import private_copy


@dataclass(frozen=True, eq=False)
class Cell:
    """One image explained. Maps are HW in 0..1; ``true`` and its map are there where the class is known."""

    image: NDArray[np.uint8]  # HWC, as large as the map
    predicted: str
    confidence: float
    predicted_map: NDArray[np.float32]
    true: str | None = None
    true_map: NDArray[np.float32] | None = None  # only where the prediction is wrong
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

    def draw(self, path: Path, *, title: str = "") -> Path:
        """Draws the cells as a grid into a PNG file and returns its path."""
        from zoo.explain.grid import draw_grid

        return draw_grid(self.cells, path, title=title or f"{self.method} at {self.layer}")


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
) -> Explanation:
    """Explains what a network says of some images, and, where it is wrong, what speaks for the true class.

    ``images_BCHW`` are as the network sees them, ``pixels`` the same images to be looked at (uint8, HWC). The
    model is left as found. Raises UsageError for an unknown method or layer, or where there is no map.
    """
    found = find_method(method).name
    chosen = choose_layer(layers_with_maps(model, images_BCHW.shape[1:]), layer, model).name
    probabilities = _probabilities(model, images_BCHW)
    predictions = probabilities.argmax(1)
    maps = cams(model, images_BCHW, predictions.tolist(), method=found, layer=chosen)
    wrong = [] if labels is None else np.flatnonzero(predictions != np.asarray(labels)).tolist()
    wanted = [] if labels is None else [labels[index] for index in wrong]
    others = cams(model, images_BCHW[wrong], wanted, method=found, layer=chosen)
    true_maps = dict(zip(wrong, others, strict=True))
    cells = [
        Cell(
            image=pixels[index],
            predicted=class_names[int(best)],
            confidence=float(probabilities[index, best]),
            predicted_map=maps[index],
            true=None if labels is None else class_names[labels[index]],
            true_map=true_maps.get(index),
            name=names[index] if names else "",
        )
        for index, best in enumerate(predictions)
    ]
    return Explanation(found, chosen, tuple(cells))


def _probabilities(model: nn.Module, images_BCHW: Tensor) -> NDArray[np.float32]:
    """Softmax of the scores in fp32, BK."""
    twin = private_copy(model)
    with torch.no_grad():
        scores = torch.cat([twin(images.float()) for images in images_BCHW.split(64)])
    probabilities: NDArray[np.float32] = scores.softmax(1).cpu().numpy()
    return probabilities
