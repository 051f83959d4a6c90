"""What an initialiser is. Floor 2; no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from zoo.schema import ArgsModel
from zoo.schema.signature import completed

FaultFinder: TypeAlias = Callable[[Mapping[str, Any], tuple[int, ...]], str | None]  # of arguments and a shape

ANY_DIMS = (0, 8)
FIRST_IMAGES = 5000  # that are measured where nothing says how many


def no_fault(arguments: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Nothing to check beyond types, dimensions and dtype."""


@dataclass(frozen=True, slots=True)
class Initialiser:
    """Fills a tensor in place: ``fill(tensor, **arguments)``; where it ``needs_images``, with ``images=`` an iterable.

    Those images are normalised training images, each float CHW, and need not be in memory all at once. A fill runs
    without gradients. ``imports`` are what its source needs beside torch.
    """

    name: str
    arguments: type[ArgsModel]
    fill: Callable[..., Any]
    needs_images: bool = False
    dims: tuple[int, int] = ANY_DIMS  # the fewest and the most dimensions a tensor may have
    floats_only: bool = False
    check: FaultFinder = no_fault
    doc: str = ""
    imports: tuple[str, ...] = ()

    def images_wanted(self, arguments: Mapping[str, Any]) -> int:
        """How many training images it is computed from; 0 where from none."""
        return completed(self.arguments, arguments).get("images", FIRST_IMAGES) if self.needs_images else 0

    def fault(self, shape: tuple[int, ...], arguments: Mapping[str, Any], dtype: str = "float32") -> str | None:
        """Why this initialiser cannot fill such a tensor; None where it can."""
        fewest, most = self.dims
        if not fewest <= len(shape) <= most:
            due = str(fewest) if fewest == most else f"{fewest} to {most}"
            return f"{self.name} wants {due} dimensions, the tensor is {list(shape)}"
        if self.floats_only and not dtype.startswith("float"):
            return f"{self.name} makes floats, the tensor is {dtype}"
        return self.check(arguments, shape)
