"""By what images are normalised, and how images of one normalisation become those of another. Floor 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.data import Dataset, Description, TransformSpec

_WHITE = 255.0  # of the pixels that a data set has


@dataclass(frozen=True)
class Scale:
    """What pixels, as shares of white, became: ``(pixel - mean) / std``; each is one number, or one a channel."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def to(self, other: Scale) -> tuple[list[float], list[float]]:
        """Factor and offset that make images of the other scale of those of this one."""
        mean, std, other_mean, other_std = map(np.asarray, (self.mean, self.std, other.mean, other.std))
        return np.atleast_1d(std / other_std).tolist(), np.atleast_1d((mean - other_mean) / other_std).tolist()


@dataclass(frozen=True)
class Normalization:
    """What made floats of a recipe's images; ``scale`` is None where that is no one mean and std for all of them."""

    scale: Scale | None
    makers: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]  # name and arguments of each transform

    @classmethod
    def of(cls, specs: Sequence[TransformSpec], data: Dataset | Description) -> Normalization:
        """That of these transforms; a Normalize without mean or std takes those of ``data``."""
        found = [(spec, _arguments(spec, data), is_certain) for spec, is_certain in _makers(specs)]
        makers = tuple((spec.name, tuple(sorted(arguments.items()))) for spec, arguments, _ in found)
        if not found:
            return cls(Scale(), makers)
        (spec, arguments, is_certain), *more = found
        return cls(_scale(spec.name, arguments) if is_certain and not more else None, makers)


def _makers(specs: Sequence[TransformSpec], *, is_certain: bool = True) -> Iterator[tuple[TransformSpec, bool]]:
    """Each transform that makes floats, those inside others too, and whether every image goes through it."""
    for spec in specs:
        if spec.children:
            yield from _makers(spec.children, is_certain=False)
        elif spec.gives_floats:
            yield spec, is_certain and spec.p == 1


def _arguments(spec: TransformSpec, data: Dataset | Description) -> dict[str, Any]:
    names = spec.entry.arguments.model_fields
    arguments = {name: spec.argument(name) for name in names}
    if spec.name == "Normalize":  # what it left out costs a pass over the data: asked for where it did
        arguments |= {name: getattr(data, name) for name in ("mean", "std") if name not in spec.arguments}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}


def _scale(name: str, arguments: dict[str, Any]) -> Scale | None:
    if name == "ToFloat":
        return Scale(std=((arguments["max_value"] or _WHITE) / _WHITE,))
    largest = arguments["max_pixel_value"]
    if arguments["normalization"] != "standard" or largest is None:
        return None
    mean, std = (np.atleast_1d(arguments[key]) * (largest / _WHITE) for key in ("mean", "std"))
    return Scale(tuple(mean.tolist()), tuple(std.tolist()))
