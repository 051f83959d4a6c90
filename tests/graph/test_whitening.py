"""How many training images the initialisers that are computed from them measure."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tests.graph.plan_world import plan_of_text
from zoo.exchange.eject import eject
from zoo.graph import compile_plan, images_wanted, initialise_from_images

CONV = "op: Conv2d, out_channels: 2, kernel_size: 2, bias: false, from: input"
TWO = f"""
input: [1, 2, 2]
layers:
  more: {{{CONV}, init: {{weight: {{name: patch_whitening, images: 6000}}}}}}
  usual: {{{CONV}, init: {{weight: patch_whitening}}}}
output: [more, usual]
"""


class Images:
    """Training images without end that counts how many of them each reader takes."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def __iter__(self) -> Iterator[Tensor]:
        self.taken.append(0)
        while True:
            self.taken[-1] += 1
            yield torch.ones(1, 2, 2)


def test_each_measures_as_many_as_it_says_or_5000() -> None:
    plan, images = plan_of_text(TWO), Images()
    assert images_wanted(plan) == 6000
    initialise_from_images(compile_plan(plan), images)
    assert images.taken == [6000, 5000]


def test_an_ejected_network_measures_as_many() -> None:
    text = eject(plan_of_text(TWO))
    assert "patch_whitening(self.more.weight, images[:6000])" in text
    assert "patch_whitening(self.usual.weight, images[:5000])" in text
