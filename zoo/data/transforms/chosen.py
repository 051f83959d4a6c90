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
        others_BHWC[at] = change(pixels_BHWC[at], {name: values[at] for name, values in parameters.items()})
    return others_BHWC
