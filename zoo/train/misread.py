"""A convolution whose bf16 gradient PyTorch gets wrong on a CPU, and which layers are such. Floor 5.

Where the stride exceeds the input's height or width (3x3 with stride 2 over a 1x1 map), oneDNN's gradient of the filter
reads memory in bf16 that nobody wrote: NaN, or wrong numbers without a word. Seen with torch 2.14.1 on a CPU with
AVX512-BF16, in both layouts, with groups and without. In fp32 it is right, and so is the forward pass in both.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from torch import Tensor, nn

from zoo.train.evaluation import evaluating


def misread_layer(model: nn.Module, image_BCHW: Tensor) -> str | None:
    """The first layer of which that holds for images of this size, by its name; None where there is none.

    The model is tried in evaluation mode and left as it was; one that fails of it is seen as far as it comes.
    """
    found: list[str] = []

    def look(name: str, layer: nn.Conv2d, arguments: tuple[Any, ...]) -> None:
        height, width = arguments[0].shape[-2:]
        if max(layer.kernel_size) > 1 and (height < layer.stride[0] or width < layer.stride[1]):
            found.append(name)

    with contextlib.ExitStack() as stack:
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d):
                stack.callback(layer.register_forward_pre_hook(partial(look, name)).remove)
        stack.enter_context(contextlib.suppress(RuntimeError, TypeError, ValueError))
        stack.enter_context(evaluating(model))
        model(image_BCHW)
    return found[0] if found else None
