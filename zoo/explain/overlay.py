"""Laying a map over its image. Floor 6; NumPy, Pillow and a colour map, no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # HWC, three channels unless it says otherwise

SMALLEST_SIDE = 160  # small images are enlarged to at least this, so that the map is smooth over crisp pixels
LARGEST_SIDE = 1280  # but none beyond this: of a strip, 2 pixels high, the width would be thousands


def enlarge(image: Pixels, smallest_side: int = SMALLEST_SIDE) -> Pixels:
    """A small image as large crisp pixels (whole factors, no smoothing), RGB; a large one, or a long one, as it is."""
    rgb = as_rgb(image)
    factor = max(1, min(-(-smallest_side // min(rgb.shape[:2])), LARGEST_SIDE // max(rgb.shape[:2])))
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1)


def as_rgb(image: Pixels) -> Pixels:
    """HW, HW1 or HW3 as HW3; of more channels the first three."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] < 3:
        return image[:, :, :1].repeat(3, axis=2)
    return image[:, :, :3]


def overlay(image: Pixels, map_HW: NDArray[np.floating], smallest_side: int = SMALLEST_SIDE) -> Pixels:
    """The image with the map (0..1) glowing over it: the more it counts, the more colour.

    Where the map is low the image is greyed and dimmed, so that strength also shows without colours.
    """
    import matplotlib
    from PIL import Image

    base = enlarge(image, smallest_side).astype(np.float32) / 255
    height, width = base.shape[:2]
    resized = Image.fromarray(np.asarray(map_HW, np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    heat = np.clip(np.asarray(resized), 0, 1)[:, :, None]
    grey = base @ np.array([[0.299], [0.587], [0.114]], np.float32)
    ground = (0.68 + 0.2 * heat) * (0.35 * base + 0.65 * grey)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.75 * heat[:, :, 0])[:, :, :3].astype(np.float32)
    strength = 0.72 * heat**1.2
    blended: Pixels = np.clip(255 * (ground * (1 - strength) + colours * strength) + 0.5, 0, 255).astype(np.uint8)
    return blended
