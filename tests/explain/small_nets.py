"""Small networks that have what makes explaining hard: inplace layers, tokens, channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def small_cnn(classes: int = 5) -> nn.Sequential:
    """Maps of 16x16 and 8x8, inplace ReLUs behind batch norms, biases everywhere. Input 3x16x16."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(inplace=True)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, classes),
    )


class Shrinking(nn.Module):
    """Maps of 8x8, 4x4, 2x2 and 1x1, one layer each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.ModuleList(nn.Conv2d(3 if n == 0 else 6, 6, 3, stride=2, padding=1) for n in range(4))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = layer(x).relu()
        return self.head(x.flatten(1))


class Inplace(nn.Module):
    """A residual sum written into the output of a batch norm, as torchvision's ResNets do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        nn.init.normal_(self.bn.weight)
        nn.init.normal_(self.bn.bias)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        identity = self.stem(x)
        out = self.bn(identity)
        out += identity
        return self.head(out.relu().square().mean((2, 3)))


class SmallViT(nn.Module):
    """4x4 patches of a 16x16 image, with a class token or without; the head reads the class token, or the mean."""

    def __init__(self, class_token: bool = True, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width)) if class_token else None
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + nn.functional.scaled_dot_product_attention(q, k, v)
        x = self.norm(x + self.mlp(self.norm2(x)))
        return self.head(x[:, 0] if self.token is not None else x.mean(1))


class ThinningTokens(nn.Module):
    """5x5 patches of a 20x20 image, 3x3 of them in the second stage: every other one, as LeViT keeps them."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.patches(x).flatten(2).transpose(1, 2)).relu()
        x = x.unflatten(1, (5, 5))[:, ::2, ::2].flatten(1, 2)
        return self.head(self.second(x).relu().mean(1))


class ChannelsLast(nn.Module):
    """Maps laid out BHWC, as in Swin transformers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 12, 2, stride=2)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.patches(x).permute(0, 2, 3, 1)).mean((1, 2)))


def images(count: int = 3, size: int = 16) -> Tensor:
    """Random images, the same every time."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))
