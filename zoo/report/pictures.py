"""Pictures: grids of images as PNG files, and single images as data URIs for the page. Floor 6."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.explain import overlay
from zoo.explain.overlay import as_rgb, enlarge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]

CRISP = 72  # images up to this side are kept pixel for pixel and enlarged by the browser
LARGEST = 200  # side of an embedded image
INK, MUTED = "#1b1f24", "#5b6470"


def data_uri(image: Pixels) -> str:
    """An image as a ``data:`` URI: small ones lossless, large ones as JPEG of at most 200 pixels a side."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(as_rgb(image)))
    buffer = io.BytesIO()
    if max(picture.size) <= CRISP:
        picture.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((LARGEST, LARGEST))
        picture.save(buffer, "JPEG", quality=85, optimize=True)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def is_crisp(image: Pixels) -> bool:
    """Whether the browser is to enlarge the image without smoothing."""
    return max(image.shape[:2]) <= CRISP


def map_uri(image: Pixels, map_HW: Pixels) -> str:
    """An image with a recorded map (0..255) laid over it, as a ``data:`` URI."""
    return data_uri(overlay(image, map_HW.astype(np.float32) / 255, smallest_side=144))


def gallery(mistakes: dict[str, NDArray[Any]], names: Sequence[str], path: Path, *, columns: int = 8) -> Path:
    """Misclassified images as a grid, prediction and truth above each."""
    images = mistakes["images"]
    rows = max(1, -(-len(images) // columns))
    figure = _figure(
        columns * 1.22, rows * 1.56 + 0.5, f"misclassified: {len(images)} test images, the surest of every class"
    )
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        box = (column * 1.22 + 0.06, 0.86 + row * 1.56, 1.1, 1.1)
        said = f"{_short(names[mistakes['predictions'][place]])} {mistakes['confidence'][place]:.0%}"
        truth = f"not {_short(names[mistakes['labels'][place]])}"
        _panel(figure, enlarge(image), box, f"{said}\n{truth}")
    return _save(figure, path)


def augmented(arrays: dict[str, NDArray[Any]], names: Sequence[str], path: Path) -> Path:
    """One row an image: as it is, then as the first epochs saw it."""
    originals, versions = arrays["originals"], arrays["augmented"]
    shown = versions.shape[1] + 1
    figure = _figure(shown * 1.3 + 0.2, len(originals) * 1.3 + 0.75, "augmentation")
    for row, original in enumerate(originals):
        for column, image in enumerate([original, *versions[row]]):
            box = (column * 1.3 + 0.06 + 0.2 * (column > 0), 0.7 + row * 1.3, 1.2, 1.2)
            heading = "as it is" if column == 0 else f"epoch {column}"
            _panel(figure, enlarge(image), box, heading if row == 0 else "")
    return _save(figure, path)


def _short(name: str) -> str:
    return textwrap.shorten(name, 14, placeholder="…") if " " in name else name[:14]


def _figure(width: float, height: float, title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.08 / width, 1 - 0.22 / height, title, fontsize=11, weight="bold", color=INK, va="center")
    return figure


def _panel(figure: Figure, image: Pixels, box: tuple[float, float, float, float], heading: str) -> None:
    """An image in a box (left, top, width, height in inches from the upper left corner)."""
    width, height = figure.get_size_inches()
    left, top, across, down = box
    axes = figure.add_axes((left / width, 1 - (top + down) / height, across / width, down / height))
    axes.imshow(image, interpolation="nearest" if is_crisp(image) else "antialiased")
    axes.axis("off")
    for number, line in enumerate(reversed(heading.split("\n"))):
        baseline = 1 - (top - 0.06 - 0.14 * number) / height
        figure.text((left + across / 2) / width, baseline, line, fontsize=7.5, color=INK, ha="center")


def _save(figure: Figure, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=170)
    return path
