"""What a generated forward costs over one written by hand: custom_resnet, batch 1, eager, one thread.

Both run turn about in one process, so that whatever else the machine does falls on both alike::

    python tests/benchmarks/forward_overhead.py [ROUNDS]
"""

from __future__ import annotations

import sys
import time
from statistics import median

import torch
from torch import Tensor, nn

from zoo.diagnostics import Diagnostics
from zoo.graph import compile_plan
from zoo.models import load_plan


def conv_bn_relu(in_channels: int, channels: int, *, pool: bool = False) -> nn.Sequential:
    middle = [nn.MaxPool2d(2)] if pool else []
    conv = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, *middle, nn.BatchNorm2d(channels), nn.ReLU())


class ByHand(nn.Module):
    """The network as one writes it without zoo."""

    def __init__(self) -> None:
        super().__init__()
        self.prep = conv_bn_relu(3, 64)
        self.layer1 = conv_bn_relu(64, 128, pool=True)
        self.res1 = nn.Sequential(conv_bn_relu(128, 128), conv_bn_relu(128, 128))
        self.layer2 = conv_bn_relu(128, 256, pool=True)
        self.layer3 = conv_bn_relu(256, 512, pool=True)
        self.res2 = nn.Sequential(conv_bn_relu(512, 512), conv_bn_relu(512, 512))
        self.pool = nn.MaxPool2d(4)
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prep(x)
        x = self.layer1(x)
        x = x + self.res1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = x + self.res2(x)
        return self.fc(torch.flatten(self.pool(x), 1))


def seconds(module: nn.Module, x: Tensor) -> float:
    start = time.perf_counter()
    module(x)
    return time.perf_counter() - start


def overhead(rounds: int = 300) -> float:
    """The median ratio, compiled over hand-written, less 1. Neighbours in time are compared, each first in turn."""
    plan = load_plan("custom_resnet", Diagnostics())
    assert plan is not None
    compiled, by_hand = compile_plan(plan).eval(), ByHand().eval()
    by_hand.load_state_dict(dict(zip(by_hand.state_dict(), compiled.state_dict().values(), strict=True)))
    x = torch.randn(1, 3, 32, 32)
    torch.set_num_threads(1)  # threads that wait for one another would drown the difference
    ratios = []
    with torch.inference_mode():
        assert torch.equal(compiled(x), by_hand(x))
        for turn in range(rounds + 20):
            pair = [compiled, by_hand] if turn % 2 else [by_hand, compiled]
            taken = {module: seconds(module, x) for module in pair}
            if turn >= 20:  # the first ones warm up
                ratios.append(taken[compiled] / taken[by_hand])
    return median(ratios) - 1


if __name__ == "__main__":
    print(f"overhead of the generated forward: {overhead(int(sys.argv[1]) if sys.argv[1:] else 300):+.2%}")
