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
    if data.sampling != "all" and loss is not None and loss.arguments.get("weight") == "balanced":
        diagnostics.warning(
            "balanced-twice",
            f"loss.weight: balanced, and data.sampling: {data.sampling} beside it: classes with few images get more of "
            "the loss, and come more often as well",
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
