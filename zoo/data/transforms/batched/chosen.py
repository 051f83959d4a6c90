"""Images of a batch changed, all or some of them, without the host waiting for a GPU. Floor 2.

A change is given images (B, H, W, C) and their rows of the parameters, treats each image by itself, leaves those that
it was given as they are, and gives as many, all of one size and type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import Parameters, Shape

Change = Callable[[Tensor, Mapping[str, Tensor]], Tensor]

_AT_ONCE = 1 << 18  # numbers: with a handful of planes beside them they stay in a CPU's cache, which halves the time


def in_parts(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor], change: Change) -> Tensor:
    """All images changed, a few at a time on a CPU."""
    if not _picks(pixels_BHWC):
        return change(pixels_BHWC, parameters)
    every = torch.arange(len(pixels_BHWC))
    parts = [change(*_rows(pixels_BHWC, parameters, few)) for few in _few(every, pixels_BHWC)]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def where_chosen(
    pixels_BHWC: Tensor,
    chosen_B: Tensor,
    parameters: Mapping[str, Tensor],
    change: Change,
    others_BHWC: Tensor | None = None,
) -> Tensor:
    """The images, the chosen ones changed; takes over ``pixels_BHWC``, or ``others_BHWC`` if there are any.

    ``others_BHWC`` stand in the places of those that are not chosen; their size and type may be others, as long as
    ``change`` gives the same.
    """
    return by_number(pixels_BHWC, chosen_B.to(torch.int8) - 1, parameters, (change,), others_BHWC)


def by_number(
    pixels_BHWC: Tensor,
    number_B: Tensor,
    parameters: Mapping[str, Tensor],
    changes: Sequence[Change],
    others_BHWC: Tensor | None = None,
) -> Tensor:
    """The images, each changed by the one of ``changes`` that its number says; as they are where it says none.

    A CPU gives each change the images concerned alone. A GPU makes every change of all and keeps the right ones: to
    learn how many are concerned the host would have to wait for it.
    """
    result = pixels_BHWC if others_BHWC is None else others_BHWC
    for number, change in enumerate(changes):
        chosen_B = number_B == number
        if not _picks(pixels_BHWC):
            result = torch.where(chosen_B.view(-1, 1, 1, 1), change(pixels_BHWC, parameters), result)
            continue
        at = chosen_B.nonzero()[:, 0]
        if len(at) == len(chosen_B):
            return in_parts(pixels_BHWC, parameters, change)
        for few in _few(at, pixels_BHWC) if len(at) else ():
            _put(result, few, change(*_rows(pixels_BHWC, parameters, few)))
    return result


def _picks(pixels_BHWC: Tensor) -> bool:
    """Whether the images concerned are picked out."""
    return pixels_BHWC.device.type == "cpu"


def _few(at: Tensor, pixels_BHWC: Tensor) -> Iterator[Tensor]:
    """Places of images in parts that a CPU's cache holds."""
    yield from torch.split(at, max(1, _AT_ONCE // max(1, pixels_BHWC[:1].numel())))


def _rows(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor], at: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    return pixels_BHWC.index_select(0, at), {name: values.index_select(0, at) for name, values in parameters.items()}


def _put(images: Tensor, at: Tensor, changed: Tensor) -> None:
    """Puts changed images in their places. Value by value, as PyTorch copies, bytes take eight times as long."""
    if images[0].numel() * images.element_size() % 8 == 0 and images.is_contiguous() and images.storage_offset() == 0:
        images, changed = (some.reshape(len(some), -1).view(torch.int64) for some in (images, changed))
    images[at] = changed


@dataclass(frozen=True)
class Sometimes:
    """A form that changes each image with a probability, and keeps its size and type."""

    p: float
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``chosen`` (n): whether; and what :meth:`drawn` gives."""
        return {"chosen": draws.happens(self.p), **self.drawn(draws)}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Changes the images concerned."""
        return Canvas.of(where_chosen(canvas.pixels(), parameters["chosen"], parameters, self.changed))

    def drawn(self, draws: Draws) -> Parameters:
        """The parameters of every sample, beside ``chosen``."""
        return {}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """All images after the change, in memory of their own."""
        raise NotImplementedError
