"""Progressive resizing: which epoch has which size, and what a resized batch is, against torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from zoo.data.progressive import Size, image_sizes, resized, stretches
from zoo.schema.recipe import ProgressiveResizingSection


def sizes(epochs: list[float], at: list[int], full: Size, count: int, multiple_of: int = 4) -> list[Size]:
    settings = ProgressiveResizingSection(epochs=epochs, sizes=at, multiple_of=multiple_of)
    return list(image_sizes(settings, full, count))


def test_the_size_runs_straight_from_corner_to_corner_and_is_rounded_to_the_nearest_multiple() -> None:
    found = [height for height, _ in sizes([0, 10, 18], [16, 32, 32], (32, 32), 20)]
    #        16  17.6 19.2 20.8 22.4 24  25.6 27.2 28.8 30.4 32
    assert found == [16, 16, 20, 20, 24, 24, 24, 28, 28, 32, *[32] * 10]


def test_ffcvs_ramp_gives_ffcvs_sizes() -> None:
    """Its ``get_resolution``, with the numbers of ``rn50_88_epochs.yaml``; its epochs count from 0, as corners do."""
    found = [height for height, _ in sizes([65, 76], [160, 192], (224, 224), 88, multiple_of=32)]
    straight = np.interp(np.arange(88), [65, 76], [160, 192])
    assert found == (np.round(straight / 32) * 32).astype(int).tolist()
    assert (found[70], found[71]) == (160, 192)


def test_halves_go_up_whatever_floating_point_adds() -> None:
    found = [height for height, _ in sizes([0, 10], [10, 20], (20, 20), 11, multiple_of=2)]
    assert found == [10, 12, 12, 14, 14, 16, 16, 18, 18, 20, 20]


def test_the_longer_side_shrinks_in_proportion_and_the_images_own_size_is_kept_as_it_is() -> None:
    found = sizes([0, 2], [16, 30], (30, 45), 3)
    assert found == [(16, 24), (24, 36), (30, 45)]  # 23 x 34.5 in the middle; 30 and 45 are no multiples of 4


@given(
    corners=st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 64)), min_size=1, max_size=5, unique_by=lambda c: c[0]
    ),
    full=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    multiple=st.integers(1, 32),
)
def test_every_size_is_a_multiple_or_the_images_own_and_never_larger(
    corners: list[tuple[int, int]], full: Size, multiple: int
) -> None:
    epochs, at = zip(*sorted(corners), strict=True)
    found = sizes([float(epoch) for epoch in epochs], list(at), full, 45, multiple)
    assert len(found) == 45
    for size in found:
        assert all(1 <= side <= own for side, own in zip(size, full, strict=True))
        assert all(side % multiple == 0 or side == own for side, own in zip(size, full, strict=True))
    low, high = min(at), max(at)
    for epoch, size in enumerate(found):
        if size != full:
            short = min(size)
            assert low - multiple / 2 <= short or short == multiple, epoch
            assert short <= max(high + multiple / 2, multiple), epoch
    if list(at) == sorted(at):
        assert found == sorted(found)


def test_epochs_of_one_size_are_told_together() -> None:
    found = stretches([(16, 16), (16, 16), (24, 24), (16, 16)])
    assert [str(each) for each in found] == ["16 x 16 in epochs 1 to 2", "24 x 24 in epoch 3", "16 x 16 in epoch 4"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_resized_as_torchvision_does_it_with_antialiasing(
    channels: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    images = torch.randn(5, channels, 30, 41, generator=torch.Generator().manual_seed(0), dtype=dtype)
    images = images.contiguous(memory_format=layout)
    small = resized(images, (16, 22))
    expected = resize(images, [16, 22], InterpolationMode.BILINEAR, antialias=True)
    assert torch.equal(small, expected)
    assert small.dtype == dtype
    assert small.is_contiguous(memory_format=layout)
    rough = resize(images, [16, 22], InterpolationMode.BILINEAR, antialias=False)
    assert (small - rough).abs().max() > 0.1  # control


def test_a_pixel_is_the_weighted_mean_of_those_around_it() -> None:
    """By hand: to a half a pixel weighs 1, 3, 3, 1 eighths of four in a row, at the borders what is left of them."""
    row = torch.tensor([[[[8.0, 16.0, 0.0, 24.0, 8.0, 0.0]]]])
    assert resized(row.expand(1, 1, 6, 6), (3, 3))[0, 0, 0].tolist() == pytest.approx(
        [(3 * 8 + 3 * 16 + 0) / 7, (16 + 0 + 3 * 24 + 8) / 8, (24 + 3 * 8 + 0) / 7]
    )


def test_images_of_that_size_are_the_very_tensor() -> None:
    images = torch.zeros(2, 3, 8, 8)
    assert resized(images, (8, 8)) is images
    assert resized(images, None) is images
