"""Image sizes through a list of transforms, as far as they are sure before any image is there. Floor 2.

No rule of albumentations' is written twice: a transform that makes a size of its own is built, and tried on an
empty image of the size that reaches it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.data.transforms import albumentations
from zoo.data.transforms.batched import levels
from zoo.data.transforms.batched.forms import ANY_FACTS
from zoo.data.transforms.catalogue import TransformSpec
from zoo.diagnostics import Diagnostics, counted
from zoo.errors import first_line

ImageSize = tuple[int, int, int]  # height, width, channels

_CROPS = {"RandomCrop", "CenterCrop"}
# What comes out has a size that its arguments and the incoming one settle, whatever is drawn.
_SETTLED = _CROPS | {
    "Crop", "PadIfNeeded", "Pad", "Resize", "RandomResizedCrop", "RandomSizedCrop", "Transpose", "ToRGB", "ToGray",
}  # fmt: skip
_OF_SQUARES = {"RandomRotate90", "D4", "SquareSymmetry"}  # those of others come out upright or lying
_KEEPING = {
    "HorizontalFlip", "VerticalFlip", "CoarseDropout", "Erasing", "GridDropout", "ElasticTransform", "GridDistortion",
    "OpticalDistortion", "ShiftScaleRotate", "SafeRotate", "Affine", "Rotate", "Perspective",
}  # fmt: skip
_UNLESS = {  # the arguments that size anew
    "Affine": {"fit_output": True},
    "Perspective": {"fit_output": True, "keep_size": False},
    "Rotate": {"crop_border": True},
}


def size_after(
    specs: Sequence[TransformSpec], size: ImageSize, diagnostics: Diagnostics, *, whose: str
) -> ImageSize | None:
    """The size of images behind all transforms, each drawn with its own p; None where it is not sure.

    Args:
        specs: The transforms, checked.
        size: Height and width in pixels, and channels, of the images in front of the first.
        diagnostics: Takes an error for a transform that no image of its size can pass.
        whose: Whose images they are, for the message: ``cifar10``.
    """
    for spec in specs:
        after = _after(spec, size, diagnostics, whose)
        if after is None:
            return None
        size = after
    return size


def _after(spec: TransformSpec, size: ImageSize, diagnostics: Diagnostics, whose: str) -> ImageSize | None:
    if spec.name == "Normalize":
        _check_counts(spec, size, diagnostics, whose)
    if spec.p == 0 or _keeps(spec, size):
        return size
    if spec.children:
        after = _after_some(spec, size, diagnostics, whose)
    else:
        after = _tried(spec, size, diagnostics, whose) if spec.name in _SETTLED else None
    return after if after == size or spec.p == 1 else None


def _after_some(spec: TransformSpec, size: ImageSize, diagnostics: Diagnostics, whose: str) -> ImageSize | None:
    """The size behind a composition that does something."""
    if spec.name == "Sequential":
        return size_after(spec.children, size, diagnostics, whose=whose)
    follow = spec.name != "OneOf" and spec.argument("n") > 1  # each other, as they are drawn
    if follow and spec.name == "SomeOf":
        # Those further down may only ever get what others give: whether they fail is not sure.
        diagnostics = Diagnostics()
    sizes = {_after(child, size, diagnostics, whose) for child in spec.children}
    if follow:
        return size if sizes == {size} else None
    return sizes.pop() if len(sizes) == 1 else None


def _check_counts(spec: TransformSpec, size: ImageSize, diagnostics: Diagnostics, whose: str) -> None:
    """Tells of a mean or std that has neither one number nor one a channel."""
    mean, std = (spec.arguments.get(name, 0.0) for name in ("mean", "std"))
    for name, count in levels.miscounted(mean, std, size[2]):
        message = f"Normalize: {name} has {count} numbers, the images of {whose} have {counted(size[2], 'channel')}"
        diagnostics.error("bad-value", message, spec.span, help="one a channel; left out, they are the data's own")


def _keeps(spec: TransformSpec, size: ImageSize) -> bool:
    """Whether images keep their size and channels in any case."""
    if spec.is_own:
        return True
    if spec.name in albumentations.COMPOSITIONS or spec.name in _SETTLED:
        return False
    if spec.name in _OF_SQUARES:
        return size[0] == size[1]
    if spec.name in _KEEPING:
        unless = _UNLESS.get(spec.name, {})
        return not any(spec.arguments.get(argument) == value for argument, value in unless.items())
    library = albumentations.library()
    return hasattr(library, spec.name) and issubclass(albumentations.class_of(spec.name), library.ImageOnlyTransform)


def _tried(spec: TransformSpec, size: ImageSize, diagnostics: Diagnostics, whose: str) -> ImageSize | None:
    transform = spec.build(ANY_FACTS)
    transform.p = 1.0
    try:
        with warnings.catch_warnings(action="ignore"):
            shape: Any = transform(image=np.zeros(size, np.uint8))["image"].shape
    except Exception as error:  # whatever the library raises on such an image
        _refuse(spec, size, diagnostics, whose, error)
        return None
    return shape if len(shape) == 3 else None


def _refuse(spec: TransformSpec, size: ImageSize, diagnostics: Diagnostics, whose: str, error: Exception) -> None:
    height, width, _ = size
    origin = f"the images of {whose} are {height}x{width} here"
    if spec.name in _CROPS and {"height", "width"} <= spec.arguments.keys():
        tall, wide = int(spec.arguments["height"]), int(spec.arguments["width"])
        message = f"{spec.name}: a crop of {tall}x{wide} is larger than the image: {origin}"
        pad = f"PadIfNeeded: {{min_height: {max(height, tall)}, min_width: {max(width, wide)}}}"
        diagnostics.error("image-size", message, spec.span, help=f"a smaller crop, or before it `- {pad}`")
    else:
        message = f"{spec.name}: {origin}, and it fails on them: {first_line(error)}"
        diagnostics.error("image-size", message, spec.span)
