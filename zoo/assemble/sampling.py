"""Whether what a recipe's epochs are made of goes together: `data.sampling`, `data.repeats`. Floor 7."""

from __future__ import annotations

from zoo.assemble.losses import LossSpec
from zoo.assemble.resolve import Resolved
from zoo.data import DataSettings
from zoo.diagnostics import Diagnostics, Note


def check_sampling(resolved: Resolved, data: DataSettings, loss: LossSpec | None, diagnostics: Diagnostics) -> None:
    """Tells of batches that repeats do not fit into, and of classes of unequal size that are corrected for twice."""
    if data.repeats > 1:
        _check_repeats(resolved, data.batch_size, data.repeats, diagnostics)
    if data.sampling != "all" and loss is not None:
        _check_weights(resolved, data.sampling, loss.arguments.get("weight"), diagnostics)


def _check_weights(resolved: Resolved, sampling: str, weight: object, diagnostics: Diagnostics) -> None:
    by_hand = isinstance(weight, tuple) and len(set(weight)) > 1  # equal weights favour no class
    if weight != "balanced" and not by_hand:
        return
    said, why = "balanced", "classes with few images get more of the loss, and come more often as well"
    if by_hand:
        said, why = "a list", "if it makes up for classes of unequal size, these are corrected for twice"
    diagnostics.warning(
        "balanced-twice",
        f"loss.weight: {said}, and data.sampling: {sampling} beside it: {why}",
        resolved.section("loss").value_span("weight"),
        notes=[Note("the sampling stands here", resolved.section("data").value_span("sampling"))],
        help="leave one of them out",
    )


def _check_repeats(resolved: Resolved, size: int, repeats: int, diagnostics: Diagnostics) -> None:
    place = resolved.section("data").value_span("repeats")
    if size < 2 * repeats:
        fewer = f"repeats: {size // 2}, or " if size >= 4 else ""
        diagnostics.error(
            "too-many-repeats",
            f"data.repeats: with every image {repeats} times a batch of {size} has fewer than two different ones",
            place,
            help=f"{fewer}data.batch_size of {2 * repeats} at least",
        )
    elif size % repeats:
        fitting = size // repeats * repeats
        diagnostics.warning(
            "torn-repeats",
            f"data.repeats: {repeats} does not divide the batch of {size}: where a batch ends, an image's repeats are "
            "torn apart",
            place,
            help=f"data.batch_size: {fitting}, or {fitting + repeats}",
        )
