"""Pictures: grids of images as PNG files, and single images as data URIs for the page. Floor 6."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.explain import overlay
from zoo.explain.overlay import as_rgb, enlarge
from zoo.explain.sheet import Sheet

Pixels = NDArray[np.uint8]

CRISP = 72  # images up to this side are kept pixel for pixel and enlarged by the browser
LARGEST = 176  # side of an embedded image


def data_uri(image: Pixels) -> str:
    """An image as a ``data:`` URI: small ones lossless, large ones as JPEG of at most 176 pixels a side."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(as_rgb(image)))
    buffer = io.BytesIO()
    if max(picture.size) <= CRISP:
        picture.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((LARGEST, LARGEST))
        picture.save(buffer, "JPEG", quality=82, optimize=True)
        kind = "jpeg"
    return uri_of(kind, buffer.getvalue())


def uri_of(kind: str, content: bytes) -> str:
    """A file of an image, ``png`` or ``jpeg``, as a ``data:`` URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def is_crisp(image: Pixels) -> bool:
    """Whether the browser is to enlarge the image without smoothing."""
    return bool(max(image.shape[:2]) <= CRISP)


def map_uri(image: Pixels, map_HW: Pixels) -> str:
    """An image with a recorded map (0..255) laid over it, as a ``data:`` URI."""
    return data_uri(overlay(image, map_HW.astype(np.float32) / 255, smallest_side=144))


def gallery(mistakes: dict[str, NDArray[Any]], names: Sequence[str], path: Path, *, columns: int = 8) -> Path:
    """Misclassified images as a grid, prediction and truth above each."""
    images = mistakes["images"]
    across, down, rows = 1.22, 1.56, -(-len(images) // columns)
    title = f"misclassified: {len(images)} test images, the most confident of every class"
    sheet = Sheet(columns * across, rows * down + 0.5, title)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        left, top = column * across + 0.06, 0.55 + row * down
        predicted, true = (names[mistakes[kind][place]] for kind in ("predictions", "labels"))
        confidence = f" ({100 * mistakes['confidence'][place]:.0f} %)"
        sheet.words(predicted, left + 0.55, top + 0.13, ha="center", width=1.1, tail=confidence)
        sheet.words(f"true: {true}", left + 0.55, top + 0.27, ha="center", width=1.1)
        sheet.picture(enlarge(image), left, top + 0.33, 1.1)
    return sheet.save(path)


def augmented(originals: Pixels, versions: Pixels, columns: Sequence[str], path: Path) -> Path:
    """One row an image: as it is (NHWC), then as the first epochs saw it (N, epoch, HWC); ``columns`` name these."""
    shown = versions.shape[1] + 1
    sheet = Sheet(shown * 1.3 + 0.26, len(originals) * 1.3 + 0.75, "augmentation")
    for row, original in enumerate(originals):
        for column, image in enumerate([original, *versions[row]]):
            left = column * 1.3 + 0.06 + 0.2 * (column > 0)
            if row == 0:
                sheet.words(columns[column], left + 0.6, 0.63, ha="center")
            sheet.picture(enlarge(image), left, 0.7 + row * 1.3, 1.2)
    return sheet.save(path)
