"""Which layers have a map that can be drawn over the image, and how to read it. Floor 6.

Found by running the network on two random images and looking, so it holds for zoo's compiled modules, timm's
and torchvision's alike: no table of model families, no numeric layer references.

Three layouts are understood: ``BCHW`` (convolutions), ``BHWC`` (Swin) and ``BNC`` (token sequences, class and
register tokens in front; the grid is that of a map before, as the patch embedding's, or half of it).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.diagnostics import and_more
from zoo.errors import UsageError
from zoo.explain.private import private_copy
from zoo.registry import did_you_mean, nearest

Layout = Literal["BCHW", "BHWC", "BNC"]

MAX_PREFIX_TOKENS = 16  # class, distillation and register tokens in front of the patches
USEFUL_SIZE = 4  # a map smaller than this says little about where
LISTED_LAYERS = 12  # offered where a name is unknown
NOTE_WIDTH = 68  # characters: a note's lines within 80 columns


@dataclass(frozen=True, slots=True)
class MapLayer:
    """A layer with a map: its dotted name, the map's size, how its output is laid out."""

    name: str
    layout: Layout
    channels: int
    height: int
    width: int
    depends: bool  # whether the network's output depends on the map at all (a ViT's last tokens are thrown away)

    @property
    def size(self) -> str:
        """The map's size as people write it."""
        return f"{self.height}x{self.width}"

    def to_maps(self, output: Tensor) -> Tensor:
        """The layer's output as BCHW; a copy."""
        if self.layout == "BCHW":
            return output.clone()
        if self.layout == "BHWC":
            return output.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
        patches = output[:, output.shape[1] - self.height * self.width :, :]
        return patches.transpose(1, 2).reshape(len(output), -1, self.height, self.width).clone()

    def from_maps(self, maps_BCHW: Tensor, output: Tensor) -> Tensor:
        """The way back: the maps laid out as the layer's output is, its prefix tokens as they were; a copy."""
        if self.layout == "BCHW":
            return maps_BCHW.clone()
        if self.layout == "BHWC":
            return maps_BCHW.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
        prefix = output[:, : output.shape[1] - self.height * self.width, :]
        return torch.cat([prefix, maps_BCHW.flatten(2).transpose(1, 2)], dim=1)


def layers_with_maps(model: nn.Module, input_shape: Sequence[int]) -> dict[str, MapLayer]:
    """The layers that have a map, by dotted name, in the order in which they finish.

    ``input_shape`` is (channels, height, width). The model is left as found.
    """
    twin = private_copy(model)
    _wake(twin)
    return _probe(twin, input_shape)


def default_layer(model: nn.Module, input_shape: Sequence[int]) -> str:
    """The last layer with a map worth looking at. Raises UsageError where there is none."""
    return choose_layer(layers_with_maps(model, input_shape), None, model).name


def choose_layer(layers: Mapping[str, MapLayer], name: str | None, model: nn.Module) -> MapLayer:
    """The layer of that name; without one the default. Raises UsageError that lists the layers with maps."""
    if name is None:
        return _default(layers)
    if name in layers:
        return layers[name]
    known = name in dict(model.named_modules())
    raise UsageError(
        f"layer {name!r} has no map to draw" if known else f"there is no layer {name!r}",
        code="unknown-layer",
        notes=[_listing(name, layers)],
        help=did_you_mean(name, list(layers)),
    )


@torch.no_grad()
def _wake(model: nn.Module) -> None:
    """Gives parameters that are all zero (a fresh head, a residual's last scale) some noise.

    What the output depends on is a question of structure; a zero would answer "nothing".
    """
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.is_floating_point() and not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)


@torch.inference_mode(mode=False)
def _probe(model: nn.Module, input_shape: Sequence[int]) -> dict[str, MapLayer]:
    """Runs a private copy of a model on two random images and reads every layer's output."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.enable_grad():
        scores, outputs = _outputs(model, images)
        gradients = _gradients(scores, list(outputs.values()))
    layers: dict[str, MapLayer] = {}
    for (name, output), gradient in zip(outputs.items(), gradients, strict=True):
        layer = _read(name, tuple(output.shape), gradient, tuple(input_shape), layers)
        if layer is not None:
            layers[name] = layer
    return layers


def _outputs(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The scores, and what each layer gave at its first call, where that is one tensor per image."""
    found: dict[str, Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        if name:

            def keep(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
                if isinstance(output, Tensor) and output.dim() in (3, 4) and len(output) == len(images):
                    found.setdefault(name, output)

            handles.append(module.register_forward_hook(keep))
    try:
        scores = model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        given = f"a tensor {list(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise UsageError(
            "the network gives no single tensor of class scores, so there is no class to explain",
            code="no-classes",
            notes=[f"for 2 images it gives {given}, where scores are [2, classes]"],
        )
    return scores, found


def _gradients(scores: Tensor, outputs: list[Tensor]) -> list[Tensor | None]:
    """The gradient of a random mix of the scores with respect to each output; None where it has none."""
    mix = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1)).to(scores.device)
    wanted = [output for output in outputs if output.requires_grad]
    if not scores.requires_grad or not wanted:
        return [None] * len(outputs)
    found = iter(torch.autograd.grad((scores.float() * mix).sum(), wanted, allow_unused=True))
    return [next(found) if output.requires_grad else None for output in outputs]


def _read(
    name: str, shape: tuple[int, ...], gradient: Tensor | None, image: tuple[int, ...], before: dict[str, MapLayer]
) -> MapLayer | None:
    """What kind of map an output of this shape is, if any."""
    if len(shape) == 4 and _like_the_image(shape[2], shape[3], image):
        layout, channels, height, width = "BCHW", shape[1], shape[2], shape[3]
    elif len(shape) == 4 and _like_the_image(shape[1], shape[2], image):
        layout, channels, height, width = "BHWC", shape[3], shape[1], shape[2]
    else:
        grid = _token_grid(shape[1], image, before) if len(shape) == 3 else None
        if grid is None:
            return None
        layout, channels, (height, width) = "BNC", shape[2], grid
    if height * width < 2:
        return None
    layer = MapLayer(name, layout, channels, height, width, False)  # type: ignore[arg-type]
    depends = gradient is not None and bool(layer.to_maps(gradient).any())
    return MapLayer(name, layer.layout, channels, height, width, depends)


def _like_the_image(height: int, width: int, image: tuple[int, ...]) -> bool:
    """Whether a map of this size has the image's proportions, give or take a row lost to a border."""
    return height <= image[1] and width <= image[2] and abs(height * image[2] - width * image[1]) <= max(image[1:])


def _token_grid(tokens: int, image: tuple[int, ...], before: dict[str, MapLayer]) -> tuple[int, int] | None:
    """Rows and columns of a token sequence: a map seen before, just half of one, or else the image's proportions."""
    seen = list(dict.fromkeys((layer.height, layer.width) for layer in reversed(before.values())))
    sizes = seen or [_proportional(tokens - prefix, image) for prefix in range(MAX_PREFIX_TOKENS + 1)]
    fitting = [size for size in sizes if 0 <= tokens - size[0] * size[1] <= MAX_PREFIX_TOKENS]
    halves = [(-(-height // 2), -(-width // 2)) for height, width in seen]  # of stages that thin out their tokens
    fitting = fitting or [half for half in halves if tokens == half[0] * half[1]]
    return min(fitting, key=lambda size: tokens - size[0] * size[1], default=None)


def _proportional(patches: int, image: tuple[int, ...]) -> tuple[int, int]:
    """The grid of exactly that many patches with the image's proportions; an impossible one where there is none."""
    height = round(math.sqrt(max(patches, 0) * image[1] / image[2]))
    width = round(height * image[2] / image[1])
    return (height, width) if height * width == patches and patches > 1 else (patches + 1, MAX_PREFIX_TOKENS + 1)


def _default(layers: Mapping[str, MapLayer]) -> MapLayer:
    usable = [layer for layer in layers.values() if layer.depends]
    if usable and list(layers.values())[-1].layout == "BNC":
        # In a transformer only the token stream itself counts, not queries, attention maps or hidden layers.
        last = list(layers.values())[-1]
        usable = [layer for layer in usable if (layer.layout, layer.channels) == (last.layout, last.channels)] or usable
    useful = [layer for layer in usable if min(layer.height, layer.width) >= USEFUL_SIZE]
    for candidates in (useful, usable):
        if candidates:
            return candidates[-1]
    raise UsageError(
        "no layer of this network has a map larger than 1x1, so there is nothing to lay over an image",
        code="no-maps",
        help="class activation maps need convolutions or patch tokens",
    )


def _listing(name: str, layers: Mapping[str, MapLayer]) -> str:
    """The layers whose map says something, the ones most like ``name`` first, in lines that fit a terminal."""
    telling = [layer.name for layer in layers.values() if layer.depends]
    if not telling:
        return "no layer of this network has a map"
    near = nearest(name, telling, LISTED_LAYERS)
    shown = and_more([f"{layer}\N{NO-BREAK SPACE}({layers[layer].size})" for layer in near], len(telling))
    text = f"layers with maps, the nearest first: {', '.join(shown)}"
    return textwrap.fill(text, NOTE_WIDTH, break_long_words=False, break_on_hyphens=False).replace("\xa0", " ")
