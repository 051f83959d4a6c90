"""Some images of a batch changed, the others left as they are, without the host waiting for a GPU. Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Change = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


def where_chosen(
    pixels_BHWC: Tensor,
    chosen_B: Tensor,
    parameters: Mapping[str, Tensor],
    change: Change,
    others_BHWC: Tensor | None = None,
) -> Tensor:
    """The images, the chosen ones changed; takes over ``pixels_BHWC``, or ``others_BHWC`` if there are any.

    ``change(pixels, parameters)`` is given images and their rows of the parameters, treats each image by itself, and
    gives as many of the same size and type. A CPU changes the chosen ones alone. A GPU changes all and keeps the right
    ones: to learn how many are chosen the host would have to wait for it. ``others_BHWC`` stand in the places of those
    that are not chosen; their size and type may be others, as long as ``change`` gives the same.
    """
    others_BHWC = pixels_BHWC if others_BHWC is None else others_BHWC
    if pixels_BHWC.device.type != "cpu":
        return torch.where(chosen_B.view(-1, 1, 1, 1), change(pixels_BHWC, parameters), others_BHWC)
    at = chosen_B.nonzero()[:, 0]
    if len(at) == len(chosen_B):
        return change(pixels_BHWC, parameters)
    if len(at) > 0:
        own = {name: values[at] for name, values in parameters.items()}
        _put(others_BHWC, at, change(pixels_BHWC.index_select(0, at), own))
    return others_BHWC


def _put(images: Tensor, at: Tensor, changed: Tensor) -> None:
    """Puts changed images in their places. Value by value, as PyTorch copies, bytes take eight times as long."""
    if images[0].numel() * images.element_size() % 8 == 0 and images.is_contiguous() and images.storage_offset() == 0:
        images, changed = (some.reshape(len(some), -1).view(torch.int64) for some in (images, changed))
    images[at] = changed
