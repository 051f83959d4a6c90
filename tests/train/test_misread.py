"""Convolutions whose bf16 gradient PyTorch gets wrong on a CPU are found, and trained in fp32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.train.misread import misread_layer


def conv(kernel: int, stride: int, padding: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, kernel, stride=stride, padding=padding), nn.BatchNorm2d(4), nn.Dropout(0.5))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side", "is_misread"),
    [
        (3, 2, 1, 1, True),
        (3, 3, 1, 2, True),
        (2, 2, 1, 1, True),
        (3, 1, 1, 1, False),
        (3, 2, 1, 2, False),
        (1, 2, 0, 1, False),
    ],
)
def test_the_layer_whose_stride_exceeds_its_map(
    kernel: int, stride: int, padding: int, side: int, is_misread: bool
) -> None:
    model = conv(kernel, stride, padding)
    assert misread_layer(model, torch.zeros(1, 3, side, side)) == ("0" if is_misread else None)


def test_the_model_is_left_as_it_was() -> None:
    model = conv(3, 2, 1)
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert misread_layer(model, torch.zeros(1, 3, 1, 1)) == "0"
    assert model.training
    assert not model[1].training
    assert not model[0]._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
