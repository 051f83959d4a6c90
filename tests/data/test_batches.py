"""Batches: order, resume, reproducibility, the two backends side by side, mixing, alternating flips, speed."""

from __future__ import annotations

import gc
import time
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.data.data_world import array_dataset, opened, specs
from zoo.data import Batch, Batches, make_batches
from zoo.data.dataset import Dataset
from zoo.errors import DataError, UsageError

S8 = """[{PadIfNeeded: {min_height: 40, min_width: 40}}, {RandomCrop: {height: 32, width: 32}},
  {HorizontalFlip: {p: 0.5}},
  {CoarseDropout: {num_holes_range: [1, 1], hole_height_range: [8, 8], hole_width_range: [8, 8], p: 1.0}}, Normalize]"""
AIRBENCH = """[Normalize, AlternatingFlip, {PadIfNeeded: {min_height: 36, min_width: 36, border_mode: reflect}},
  {RandomCrop: {height: 32, width: 32}}]"""
EITHER = "{OneOf: {transforms: [{CutMix: {p: 0.4}}, {MixUp: {alpha: 0.2, p: 0.6}}], p: 0.8}}"
MIXED = "[HorizontalFlip, Normalize, {CutMix: {p: 0.5}}, {MixUp: {alpha: 0.4}}, AlternatingFlip]"


def noise(count: int = 200, size: int = 32, channels: int = 3) -> Dataset:
    return array_dataset(np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8))


def batches(data: Dataset, text: str, **options: Any) -> Batches:
    keywords = {"batch_size": 64, "shuffle": True, "seed": 0, "dataset": data} | options
    return make_batches(data.train, specs(text), **keywords)


def by_index(made: Batches, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An epoch's images and labels in the order of their indices."""
    parts = list(made.epoch(epoch))
    order = torch.cat([part.indices for part in parts]).argsort()
    return torch.cat([part.images for part in parts])[order], torch.cat([part.labels for part in parts])[order]


def test_an_epoch_gives_every_sample_once_in_another_order() -> None:
    made = batches(noise(), "[Normalize]")
    orders = [torch.cat([batch.indices for batch in made.epoch(epoch)]).tolist() for epoch in (1, 2)]
    assert [sorted(order) for order in orders] == [list(range(200))] * 2
    assert orders[0] != orders[1]
    assert orders[0] == torch.cat([batch.indices for batch in made.epoch(1)]).tolist()
    assert made.steps == 4
    assert [len(batch) for batch in made.epoch(1)] == [64, 64, 64, 8]
    assert [len(batch) for batch in batches(noise(), "[Normalize]", drop_last=True).epoch(1)] == [64, 64, 64]
    still = batches(noise(), "[Normalize]", shuffle=False)
    assert torch.cat([batch.indices for batch in still.epoch(3)]).tolist() == list(range(200))


@pytest.mark.parametrize("text", [S8, AIRBENCH, MIXED, f"[HorizontalFlip, {EITHER}, Normalize]"])
@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_a_sample_is_the_same_however_the_split_is_cut(text: str, backend: str) -> None:
    data = noise(60)
    whole = by_index(batches(data, text, batch_size=60, backend=backend), 2)
    for size in (1, 7, 59):
        cut = by_index(batches(data, text, batch_size=size, backend=backend, shuffle=size != 7), 2)
        assert torch.equal(cut[0], whole[0])
        assert torch.equal(cut[1], whole[1])
    others = ((1, 2), (0, 3))  # seed and epoch
    for other in (by_index(batches(data, text, seed=seed, backend=backend), epoch) for seed, epoch in others):
        assert not torch.equal(other[0], whole[0])  # the control: other seeds and epochs are others


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_a_resumed_epoch_gives_what_was_left(backend: str) -> None:
    made = batches(noise(), S8, backend=backend)
    whole, rest = list(made.epoch(2)), list(made.epoch(2, start=2))
    assert [batch.indices.tolist() for batch in whole[2:]] == [batch.indices.tolist() for batch in rest]
    assert all(torch.equal(one.images, other.images) for one, other in zip(whole[2:], rest, strict=True))


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_every_batch(backend: str, ranks: int) -> None:
    whole = batches(noise(67), MIXED, batch_size=16, backend=backend)
    shared = [list(whole.part(rank, ranks).epoch(2, start=1)) for rank in range(ranks)]
    for number, batch in enumerate(whole.epoch(2, start=1)):
        parts = [of_rank[number] for of_rank in shared]
        assert {part.whole for part in parts} == {len(batch)}
        assert sum(part.weight for part in parts) == pytest.approx(1)
        counted = [part for part in parts if part.weight]
        assert min(map(len, counted)) >= 2, "batch norm wants more than one image"
        assert [part.weight for part in counted] == [len(part) / len(batch) for part in counted]
        for part in parts:  # those that do not count are images of the batch too
            at = [batch.indices.tolist().index(index) for index in part.indices.tolist()]
            assert torch.equal(part.images, batch.images[at])
            assert torch.equal(part.labels, batch.labels[at])
        assert sorted(index for part in counted for index in part.indices.tolist()) == sorted(batch.indices.tolist())
    assert shared[ranks - 1][-1].weight == 0, "three images are too few to share"


def test_a_part_gives_single_batches_whole() -> None:
    part = batches(noise(), S8).part(1, 2)
    assert part.batch(1, [3, 4, 5]).indices.tolist() == [3, 4, 5]
    assert (part.steps, part.samples) == (4, 200)


def test_batches_are_float32_in_channels_last_memory() -> None:
    for text in (S8, AIRBENCH, "[]", "[HorizontalFlip]", "[Normalize: {normalization: image}]"):
        batch: Batch = next(batches(noise(), text).epoch(1))
        assert batch.images.dtype == torch.float32
        assert batch.images.shape == (64, 3, 32, 32)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[Normalize]",
        "[{Pad: {padding: 2, fill: 9}}, Normalize]",
        "[ToTensorV2]",
        "[Normalize, {Pad: {padding: 2, fill: 0.25}}, {CenterCrop: {height: 9, width: 30}}]",
    ],
)
def test_both_backends_agree_where_nothing_is_drawn(text: str) -> None:
    data = noise(20)
    batched, single = (batches(data, text, backend=backend) for backend in ("batched", "albumentations"))
    assert torch.equal(by_index(batched, 1)[0], by_index(single, 1)[0])


@pytest.mark.parametrize(
    "text",
    [
        "[AlternatingFlip, Normalize]",
        "[Normalize, CutMix]",
        "[Normalize, {MixUp: {p: 1}}]",
        "[{Pad: {padding: 2}}, AlternatingFlip, {CutMix: {alpha: 0.3}}]",
        f"[{EITHER}, Normalize]",
        f"[Normalize, {EITHER}]",
    ],
)
def test_zoos_own_transforms_are_the_same_in_both_backends(text: str) -> None:
    data = noise(20)
    batched, single = (by_index(batches(data, text, backend=kind), 2) for kind in ("batched", "albumentations"))
    assert torch.equal(batched[1], single[1])
    torch.testing.assert_close(batched[0], single[0], rtol=0, atol=1e-6)


def test_normalize_takes_the_datas_own_statistics() -> None:
    data = noise()
    images, _ = by_index(batches(data, "[Normalize]"), 1)
    torch.testing.assert_close(images.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(images.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_grey_images() -> None:
    data = opened("{source: digits}")
    batched, single = (
        batches(data, "[{Pad: {padding: 1}}, Normalize]", backend=kind) for kind in ("batched", "albumentations")
    )
    assert next(batched.epoch(1)).images.shape == (64, 1, 10, 10)
    assert torch.equal(by_index(batched, 1)[0], by_index(single, 1)[0])


def test_alternating_flip_turns_over_every_epoch() -> None:
    data = noise(2000, size=4)
    made = batches(data, "[AlternatingFlip]")
    plain = torch.from_numpy(data.train.images).permute(0, 3, 1, 2).float() / 255
    flips = []
    for epoch in (1, 2, 3):
        images, _ = by_index(made, epoch)
        is_plain = (images == plain).flatten(1).all(dim=1)
        is_flipped = (images == plain.flip(3)).flatten(1).all(dim=1)
        assert torch.equal(is_plain, ~is_flipped)
        flips.append(is_flipped)
    assert torch.equal(flips[0], ~flips[1])
    assert torch.equal(flips[0], flips[2])
    assert stats.binomtest(int(flips[0].sum()), 2000).pvalue > 1e-4
    other, _ = by_index(batches(data, "[AlternatingFlip]", seed=1), 1)
    assert not torch.equal((other == plain.flip(3)).flatten(1).all(dim=1), flips[0])


def test_a_whole_batch_by_hand(lonely: object) -> None:
    """The s8 recipe's pipeline, one image followed through it by hand."""
    data = noise(4)
    images, _ = by_index(batches(data, S8), 1)
    assert data.train.images is not None
    mean, std = np.array(data.mean, dtype=np.float32), np.array(data.std, dtype=np.float32)
    for index, image in enumerate(data.train.images):
        grey = np.rint(images[index].permute(1, 2, 0).numpy() * std * 255 + mean * 255).astype(np.uint8)
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        windows = [
            (padded[top : top + 32, left : left + 32][:, ::turn], (top, left, turn))
            for top in range(9) for left in range(9) for turn in (1, -1)
        ]  # fmt: skip
        same = max(windows, key=lambda window: (window[0] == grey).all(axis=2).sum())[0]
        differs = ~(same == grey).all(axis=2)
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        assert rows.max() - rows.min() < 8
        assert columns.max() - columns.min() < 8
        assert (grey[differs] == 0).all()


def test_auto_takes_albumentations_for_large_images_on_a_cpu() -> None:
    assert batches(noise(4, 64), S8).backend == "batched"
    large = batches(noise(4, 65), "[HorizontalFlip, Normalize]")
    assert (large.backend, large.reason) == ("albumentations", "faster on a CPU for images of 65 x 65")
    assert batches(noise(4, 65), "[HorizontalFlip, Normalize]", device="meta").backend == "batched"
    assert batches(noise(4, 65), "[HorizontalFlip, Normalize]", backend="batched").backend == "batched"
    assert batches(noise(4, 65), "[RandAugment, Normalize]").backend == "batched"  # else it would run on batches of one
    assert batches(noise(4, 65), "[HorizontalFlip, Normalize, ToTensorV2]").backend == "albumentations"


def test_auto_says_why() -> None:
    assert batches(noise(), S8).backend == "batched"
    single = batches(noise(), "[HorizontalFlip, CLAHE]")
    assert (single.backend, single.reason) == ("albumentations", "no batched form: CLAHE")
    with pytest.raises(UsageError, match="CLAHE"):
        batches(noise(), "[CLAHE]", backend="batched")


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_oneof_treats_each_image_in_one_way(backend: str) -> None:
    text = "[{OneOf: {transforms: [{HorizontalFlip: {p: 1.0}}, {VerticalFlip: {p: 1.0}}], p: 1.0}}]"
    data = noise(100, size=4)
    plain = torch.from_numpy(data.train.images).permute(0, 3, 1, 2).float() / 255
    images, _ = by_index(batches(data, text, backend=backend), 1)
    across, down = ((images == plain.flip(axis)).flatten(1).all(dim=1) for axis in (3, 2))
    assert torch.equal(across, ~down)
    assert 20 < across.sum() < 80


def test_images_of_many_sizes_need_a_common_one(lonely: object) -> None:
    made = batches(noise(10), "[{RandomScale: {p: 1.0}}]")
    with pytest.raises(DataError, match="several sizes") as caught:
        next(made.epoch(1))
    assert "Resize: {height: …, width: …}" in str(caught.value)


def test_of_many_sizes_a_few_are_told(lonely: object) -> None:
    made = batches(noise(200, size=40), "[{RandomScale: {p: 1.0, scale_limit: 0.5}}]", batch_size=200)
    with pytest.raises(DataError, match=r": \d+ x \d+ x 3, \d+ x \d+ x 3, \d+ x \d+ x 3, … \d+ x \d+ x 3( |$)"):
        next(made.epoch(1))


def test_what_a_transform_refuses_names_image_and_transform() -> None:
    made = batches(noise(10), "[{RandomCrop: {height: 40, width: 40}}]")
    with pytest.raises(DataError, match=r"image \d+: RandomCrop fails"):
        next(made.epoch(1))


def test_drop_last_that_leaves_nothing() -> None:
    with pytest.raises(DataError, match="leaves nothing"):
        batches(noise(10), "[]", batch_size=11, drop_last=True)


def test_one_batch_of_chosen_images() -> None:
    made = batches(noise(), S8)
    chosen = made.batch(2, [5, 190])
    whole, _ = by_index(made, 2)
    assert torch.equal(chosen.images, whole[[5, 190]])


def alike(first: np.ndarray, second: np.ndarray) -> float:
    values = np.unique(np.concatenate([first, second]))
    table = np.stack([(sample[:, None] == values).sum(axis=0) for sample in (first, second)])
    return float(stats.chi2_contingency(table).pvalue)


def coordinates(count: int) -> Dataset:
    """Every image has its pixels' row in red and column in green, counted from 1, so that crops and flips show."""
    rows, columns = np.mgrid[1:33, 1:33].astype(np.uint8)
    image = np.stack([rows, columns, np.full_like(rows, 255)], axis=-1)
    return array_dataset(np.broadcast_to(image, (count, 32, 32, 3)).copy())


def outcomes(made: Batches, epochs: int) -> np.ndarray:
    """What befell each image: shift in rows and columns, flip, the hole's corner, from the pixels alone (n, 5)."""
    found = []
    for epoch in range(1, epochs + 1):
        for batch in made.epoch(epoch):
            pixels = (batch.images * 255).round().to(torch.int64).permute(0, 2, 3, 1).numpy()
            filled = pixels[..., 2] > 0
            at = filled.reshape(len(pixels), -1).argmax(axis=1)
            row, column = at // 32, at % 32
            here = pixels[np.arange(len(pixels)), row, column]
            last = pixels.reshape(len(pixels), -1, 3)[:, ::-1]
            end = (last[..., 2] > 0).argmax(axis=1)
            flip = last[np.arange(len(pixels)), end][:, 1] < here[:, 1]
            down = here[:, 0] - row
            across = np.where(flip, here[:, 1] + column - 33, here[:, 1] - column)
            found.append(np.stack([down, across, flip, filled.sum(axis=(1, 2))], axis=1))
    return np.concatenate(found)


@pytest.mark.slow
def test_both_backends_do_the_same_to_pixels_in_distribution() -> None:
    """100,000 images through either backend, compared by what is seen in the pixels that come out."""
    data = coordinates(20_000)
    text = S8.replace(", Normalize]", "]")
    batched, single = (outcomes(batches(data, text, backend=kind, batch_size=1000), 5) for kind in
                       ("batched", "albumentations"))  # fmt: skip
    assert len(batched) == len(single) == 100_000
    for column in range(4):
        assert alike(batched[:, column], single[:, column]) > 1e-4
    joint = [found @ np.array([1000, 10, 1, 0]) for found in (batched, single)]
    assert alike(*joint) > 1e-4
    shorter = outcomes(batches(data, text.replace("min_width: 40", "min_width: 39"), batch_size=1000), 1)
    assert alike(shorter[:, 1], single[:, 1]) < 1e-9


@pytest.mark.slow
def test_batched_is_three_times_as_fast_on_one_thread() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = noise(2048)
        seconds = {"batched": float("inf"), "albumentations": float("inf")}
        for _ in range(3):
            for backend in seconds:
                made = batches(data, S8, backend=backend, batch_size=512)
                next(made.epoch(1))
                began = time.thread_time()
                for _ in made.epoch(2):
                    pass
                seconds[backend] = min(seconds[backend], time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    assert seconds["albumentations"] > 3 * seconds["batched"], seconds


def test_memory_stays_constant_over_epochs() -> None:
    made, alive = batches(noise(100, size=32), S8), []
    for epoch in range(1, 5):
        for _ in made.epoch(epoch):
            pass
        gc.collect()
        tensors = {id(thing): thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)}
        alive.append(sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
        del tensors
    assert alive[-1] == alive[1] > 0


def test_a_normalize_inside_a_choice_takes_the_datas_statistics_too() -> None:
    data = noise(60)
    inside, alone = (
        by_index(batches(data, text, backend="albumentations"), 1)[0]
        for text in ("[{OneOf: {transforms: [Normalize], p: 1.0}}]", "[Normalize]")
    )
    assert torch.allclose(inside, alone)


def test_a_sample_does_not_depend_on_whether_others_are_normalised() -> None:
    data, text = noise(60), "[{Normalize: {mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], p: 0.5}}]"
    one, many = (by_index(batches(data, text, batch_size=size), 1)[0] for size in (1, 30))
    assert torch.allclose(one, many)
    assert 0 < (many.amin((1, 2, 3)) < 0).sum() < 60  # some are, some are not
    assert many.amax() < 3


@pytest.mark.parametrize("by", ["image", "image_per_channel", "min_max"])
def test_grey_images_normalised_by_their_own_figures_are_floats_of_32_bits(by: str) -> None:
    images, _ = by_index(batches(noise(8, channels=1), f"[{{Normalize: {{normalization: {by}}}}}]"), 1)
    assert images.dtype == torch.float32
