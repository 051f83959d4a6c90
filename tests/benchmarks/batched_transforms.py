"""Batched transforms beside albumentations' at several sizes of image: python tests/benchmarks/batched_transforms.py

One thread each, taking turns, images of noise, draws included; of every transform with ``p: 1``, and of whole lists.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import albumentations
import cv2
import numpy as np
import torch

from tests.data.data_world import specs
from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import Facts, Shape
from zoo.data.transforms.pipeline import batched_steps
from zoo.train.allocator import kept_memory

SIZES = (32, 48, 64, 96, 128, 224)
ROUNDS = 3  # of which the best counts
NUMBERS = 3 * 2**20  # of a batch, at most
FACTS = Facts(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26), classes=10, samples=1000)
PAD_CROP_FLIP = (
    "{PadIfNeeded: {min_height: PADDED, min_width: PADDED}}, {RandomCrop: {height: SIDE, width: SIDE}}, HorizontalFlip"
)
CUTOUT = "{CoarseDropout: {hole_height_range: [8, 8], hole_width_range: [8, 8]}}"
LISTS = {
    "pad, crop, flip": f"{PAD_CROP_FLIP}, Normalize",
    "the same, cutout": f"{PAD_CROP_FLIP}, {CUTOUT}, Normalize",
    "resized crop, flip": "{RandomResizedCrop: {size: [SIDE, SIDE]}}, HorizontalFlip, Normalize",
    "the same, jitter": "{RandomResizedCrop: {size: [SIDE, SIDE]}}, HorizontalFlip, ColorJitter, Normalize",
    "shift, flip, cutout": f"ShiftScaleRotate, HorizontalFlip, {CUTOUT}, Normalize",
    "tests": "Normalize",
}
TRANSFORMS = {
    **dict.fromkeys(
        (
            "HorizontalFlip", "Transpose", "D4", "Rotate", "SafeRotate", "Perspective", "Normalize", "CoarseDropout",
            "Erasing", "ColorJitter", "HueSaturationValue", "RandomBrightnessContrast", "RandomGamma",
            "RandomToneCurve", "InvertImg", "Solarize", "Posterize", "RGBShift", "ChannelDropout", "ChannelShuffle",
            "PlanckianJitter", "ToGray", "ToSepia", "AutoContrast", "Equalize", "GaussianBlur", "Blur", "Sharpen",
            "GaussNoise", "MultiplicativeNoise",
        ),
        "",
    ),
    "PadIfNeeded": "min_height: PADDED, min_width: PADDED, ",
    "RandomCrop": "height: 28, width: 28, ",
    "RandomResizedCrop": "size: [SIDE, SIDE], ",
    "Resize": "height: 28, width: 28, ",
    "Affine": "rotate: 20, scale: 1.1, ",
}  # fmt: skip


def rates(text: str, side: int) -> tuple[float, float]:
    """Images a second of a list in batches, and one by one."""
    chosen = specs(f"[{text}]".replace("SIDE", str(side)).replace("PADDED", str(side + 8)))
    steps = batched_steps(chosen, Shape(side, side, 3), FACTS)
    one_by_one = albumentations.Compose([spec.build(FACTS) for spec in chosen])
    count = max(16, min(512, NUMBERS // (3 * side * side)))
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    source, samples = torch.from_numpy(images), np.arange(count)

    def in_batches() -> None:
        canvas = Canvas.of(source)
        for step in steps:
            drawn = step.form.draw(Draws(0, 1, samples, step.stream))
            canvas = step.form.apply(canvas, {name: torch.from_numpy(values) for name, values in drawn.items()})
        canvas.pixels()

    def singly() -> None:
        for image in images:
            one_by_one(image=image)

    in_batches()
    times = [(seconds(in_batches), seconds(singly)) for _ in range(ROUNDS)]
    batched, single = (min(column) for column in zip(*times, strict=True))
    return count / batched, count / single


def seconds(work: Callable[[], object]) -> float:
    """What it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Prints a line a transform or list, with the ratio of the rates at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", action="store_true", help="whole lists, not single transforms")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    alone = {name: f"{{{name}: {{{given}p: 1}}}}" for name, given in TRANSFORMS.items()}
    print(f"{'':26}", *(f"{side:>16}" for side in arguments.sizes))
    with kept_memory(torch.device("cpu")):  # as in a training
        for name, text in (LISTS if arguments.lists else alone).items():
            found = (rates(text, side) for side in arguments.sizes)
            print(f"{name:26}", *(f"{batched:8,.0f} {batched / single:6.2f}x" for batched, single in found), flush=True)


if __name__ == "__main__":
    main()
