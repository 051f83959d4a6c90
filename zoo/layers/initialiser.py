"""What an initialiser is. Floor 2; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo.schema import ArgsModel

ANY_DIMS = (0, 8)


@dataclass(frozen=True, slots=True)
class Initialiser:
    """Fills a tensor in place: ``fill(tensor, **arguments)``; where it ``needs_images``, with ``images=`` a tensor.

    Those images are normalised training images, float BCHW. A fill runs without gradients.
    """

    name: str
    arguments: type[ArgsModel]
    fill: Callable[..., Any]
    needs_images: bool = False
    dims: tuple[int, int] = ANY_DIMS  # the fewest and the most dimensions a tensor may have
    doc: str = ""
