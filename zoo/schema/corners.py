"""What is drawn by its corners: a value at some epochs, straight lines between them, constant beyond. Floor 1."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from pydantic_core import PydanticCustomError


def require_corners(epochs: Sequence[float], values: Sequence[float], name: str) -> None:
    """Raises PydanticCustomError where these are no corners; ``name`` is what the values are called."""
    if len(epochs) != len(values):
        raise PydanticCustomError(
            "lengths",
            "{values} {name} for {epochs} epochs; each corner has one of both",
            {"at": name, "name": name, "epochs": len(epochs), "values": len(values)},
        )
    if any(late <= early for early, late in pairwise(epochs)):
        raise PydanticCustomError("order", "each epoch must come after the one before", {"at": "epochs"})
    if min(epochs) < 0:
        raise PydanticCustomError("negative", "no epoch lies before 0", {"at": "epochs"})


def between_corners(epochs: Sequence[float], values: Sequence[float], epoch: float) -> float:
    """The value at an epoch (0: where the training begins)."""
    after = bisect_right(epochs, epoch)
    if after == 0:
        return values[0]
    if after == len(epochs):
        return values[-1]
    left, right = epochs[after - 1], epochs[after]
    low, high = values[after - 1], values[after]
    return low + (high - low) * (epoch - left) / (right - left)
