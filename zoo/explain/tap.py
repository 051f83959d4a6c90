"""Tapping a network: layers' outputs led through identity modules as BCHW maps, and back. Floor 6.

What grad-cam then looks at is always a module that gives BCHW maps nobody else reads: no ``reshape_transform``
(which ShapleyCAM forgets), no AblationLayer for transformers, and no ``inplace`` layer that writes into what was
kept (grad-cam keeps a view where the network is on the CPU).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.explain.layers import MapLayer


class Tapped(nn.Module):
    """A network with a tap, an identity module, behind each of some layers. The network gets hooks: tap a copy."""

    def __init__(self, model: nn.Module, layers: Sequence[MapLayer]) -> None:
        super().__init__()
        self.model = model
        self.taps = nn.ModuleList(nn.Identity() for _ in layers)
        for number, layer in enumerate(layers):
            model.get_submodule(layer.name).register_forward_hook(self._through(number, layer))

    def _through(self, number: int, layer: MapLayer) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def lead(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            maps = self.taps[number](layer.to_maps(output))  # looked up at each call: AblationCAM swaps taps
            return layer.from_maps(maps, output)

        return lead

    def forward(self, images_BCHW: Tensor) -> Any:
        """The network's own output."""
        return self.model(images_BCHW)
