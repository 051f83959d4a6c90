"""First weights that do not fit as they are: another image size, other channels, another project's names. Floor 4.

timm and torchvision have functions of their own for that. What they change is always told.
"""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo.diagnostics import Say, counted
from zoo.layers.foreign import WITH_AUXILIARY_HEADS, Library, timm_filter

_POSITIONS = "pos_embed"  # as timm calls them
_MOST_TOKENS = 8  # in front of the positions of a grid: class, distillation, registers
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # as torchvision calls them
# What a library's function raises at tensors that it was not written for.
_FAILURES = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Conversion:
    """A file's tensors as a library's function gave them back, and that function's interpolation if it says one."""

    library: Library
    tensors: dict[str, Tensor]
    mode: str | None = None


def convert(
    library: Library, name: str, arguments: Mapping[str, Any], module: nn.Module, tensors: Mapping[str, Tensor]
) -> Conversion | None:
    """A file's tensors through what the model's library has for files of other forms; None where that is nothing.

    Of timm it is the family's filter of pretrained weights, of torchvision ``interpolate_embeddings``, and what its
    builders do to GoogLeNet and Inception: auxiliary heads are taken off.
    """
    if library == "timm":
        function = timm_filter(name, arguments)
        return _converted("timm", function, dict(tensors), module) if function is not None else None
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

    if name in WITH_AUXILIARY_HEADS:
        kept = {key: value for key, value in tensors.items() if not key.startswith(_AUXILIARY)}
        return Conversion("torchvision", kept)
    if not isinstance(module, VisionTransformer):
        return None
    return _converted("torchvision", interpolate_embeddings, module.image_size, module.patch_size, dict(tensors))


@contextmanager
def heard_from_timm(note: Say) -> Iterator[None]:
    """Hands on what timm logs of pretrained weights: positions resized, channels changed, tensors missing."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if not said.startswith(("Loading", "[")):  # from where, and in which format
                note(f"timm: {said}")

    logger, ear = logging.getLogger("timm"), Ear()
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


def _converted(library: Library, function: Any, *arguments: Any) -> Conversion | None:
    parameters = inspect.signature(function).parameters
    taken = [kind for kind in parameters.values() if kind.kind is not inspect.Parameter.KEYWORD_ONLY]
    mode = next((each.default for key, each in parameters.items() if key.startswith("interpolation")), None)
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # torch's, of how timm indexes
            tensors = function(*arguments[: len(taken)])  # some of timm's take no model
    except _FAILURES:
        return None
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        return None
    return Conversion(library, {name: value.detach() for name, value in tensors.items()}, mode)


def told(before: Mapping[str, Tensor], conversion: Conversion, module: nn.Module) -> list[str]:
    """What a conversion did, as in ``resampled by timm, bicubic: pos_embed 14 x 14 -> 24 x 24``."""
    said, after = [], conversion.tensors
    left = [name for name in before if name not in after]
    if left:
        said.append(f"{counted(len(left), 'tensor')} renamed or left out by {conversion.library}")
    names = [name for name in module.state_dict() if name in before and name in after]  # in the network's order
    changes = Counter(
        f"{name.rpartition('.')[2] if name.endswith('table') else name} {_sizes(before[name], after[name], module)}"
        for name in names
        if before[name].shape != after[name].shape or (name == _POSITIONS and not before[name].equal(after[name]))
    )
    if changes:
        how = f", {conversion.mode}" if conversion.mode else ""
        each = ", ".join(f"{count} x {text}" if count > 1 else text for text, count in changes.items())
        said.append(f"resampled by {conversion.library}{how}: {each}")
    return said


def _sizes(before: Tensor, after: Tensor, module: nn.Module) -> str:
    """How a tensor's size changed: of the sides of a grid where its positions are one, else its shape."""
    if before.dim() != after.dim():
        return f"{list(before.shape)} -> {list(after.shape)}"
    return " -> ".join(_sides(before, after, module))


def _sides(before: Tensor, after: Tensor, module: nn.Module) -> tuple[str, str]:
    """The sides that differ, or those of both grids; of positions in other places their number is the same."""
    both = list(zip(before.shape, after.shape, strict=True))
    pairs = [(old, new) for old, new in both if old != new] or both[1:2]
    grids = _grids(*pairs[0], module) if len(pairs) == 1 else None
    old, new = zip(*(grids or pairs), strict=True)
    return " x ".join(map(str, old)), " x ".join(map(str, new))


def _grids(old: int, new: int, module: nn.Module) -> list[tuple[int, int]] | None:
    """The sides of both grids, heights and widths, which so many positions are, tokens in front of them left out."""
    known = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    for tokens in range(_MOST_TOKENS):
        side, now = math.isqrt(max(0, old - tokens)), math.isqrt(max(0, new - tokens))
        is_known = isinstance(known, tuple) and math.prod(known) == new - tokens
        sides = cast("tuple[int, int]", known) if is_known else (now, now)
        if side * side == old - tokens and math.prod(sides) == new - tokens > 0:
            return [(side, sides[0]), (side, sides[1])]
    return None


def may_have_stood_in_a_square(module: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Whether there are as many positions as in the network, whose grid is oblong, and in a square: 7 x 28, 14 x 14.

    Tensors do not say how their positions stood. timm's filters take those of pretrained weights for a square's.
    """
    sides, positions = getattr(getattr(module, "patch_embed", None), "grid_size", None), tensors.get(_POSITIONS)
    if not isinstance(sides, tuple) or positions is None or len(set(sides)) == 1:
        return False
    count = math.prod(sides)
    return math.isqrt(count) ** 2 == count and 0 <= positions.shape[1] - count < _MOST_TOKENS


def told_of_oblong(module: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """What to say of positions that may have stood in a square, and were left as they are."""
    square, own = _sides(tensors[_POSITIONS], tensors[_POSITIONS], module)
    return f"{_POSITIONS} is taken for {own}: wrong places, if it was trained as {square}"


def with_channels(module: nn.Module, given: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A file's first convolution for as many channels as the network's images have, and what to say of it.

    For one channel the weights of all are summed; for others they are repeated, and scaled so that their sum stays:
    timm's ``adapt_input_conv``.
    """
    said, state = [], module.state_dict()
    for name in _first_convolutions(module):
        # A reparametrized convolution keeps its weights under other names.
        own, weight_OIHW = state.get(f"{name}.weight"), given.get(f"{name}.weight")
        if own is None or weight_OIHW is None or not _differ_in_channels(own, weight_OIHW):
            continue
        channels, had = own.shape[1], weight_OIHW.shape[1]
        from timm.models import adapt_input_conv  # takes seconds: imported where channels differ

        given = {**given, f"{name}.weight": adapt_input_conv(channels, weight_OIHW, base_chans=had)}
        how = "summed" if channels == 1 else "repeated and scaled"
        said.append(f"{name} takes {counted(channels, 'channel')} here, {had} in the file: {how}")
    return given, said


def _first_convolutions(module: nn.Module) -> tuple[str, ...]:
    """The convolutions that read the images: of a timm model those that timm names, else the first."""
    named = getattr(module, "pretrained_cfg", {}).get("first_conv")
    if named is None:
        return tuple(name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d))[:1]
    names = {name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    return tuple(name for name in ((named,) if isinstance(named, str) else named) if name in names)


def _differ_in_channels(own: Tensor, given: Tensor) -> bool:
    """Whether these are weights (O, I, H, W) of one form but for the channels, of which there are some."""
    if not own.dim() == given.dim() == 4 or own.shape[1] == given.shape[1] or given.shape[1] == 0:
        return False
    return own[:, 0].shape == given[:, 0].shape
