"""Which images an epoch has: counts that are exact, draws of its own for every time that an image comes, references."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.data.distributed_sampler import RepeatAugSampler
from torch.utils.data import WeightedRandomSampler

from tests.data.data_world import specs
from zoo.data import ArraySplit, Batches, Dataset, make_batches
from zoo.data.draws import Draws, permutation, stream_of
from zoo.data.sampling import Kind, Sampling
from zoo.errors import DataError

COUNTS = (5, 40, 15)  # of the classes' images
WAYS: list[tuple[Kind, int]] = [("balanced", 1), ("sqrt", 1), ("all", 3), ("balanced", 3)]
OWN = "[AlternatingFlip, {RandAugment: {num_ops: 1}}, Normalize, {MixUp: {alpha: 0.4}}, {CutMix: {p: 0.5}}]"
SERIAL = "[{HorizontalFlip: {p: 0.5}}, {Rotate: {limit: 30, interpolation: 2}}, Normalize, CutMix]"


def labelled(counts: tuple[int, ...] = COUNTS) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)


def uneven(counts: tuple[int, ...] = COUNTS, size: int = 8) -> Dataset:
    labels = labelled(counts)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8)
    split = ArraySplit(images, labels)
    return Dataset("uneven", split, split, tuple(map(str, range(len(counts)))))


def batches(data: Dataset, text: str, way: tuple[Kind, int], **options: Any) -> Batches:
    keywords = {"batch_size": 12, "shuffle": True, "seed": 4, "dataset": data} | options
    return make_batches(data.train, specs(text), sampling=way[0], repeats=way[1], **keywords)


def epoch(made: Batches, number: int = 2, start: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    parts = list(made.epoch(number, start))
    indices = [index for part in parts for index in part.indices.tolist()]
    return torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]), indices


def assert_same(got: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert got[2] == expected[2]
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


def assert_exact(order: np.ndarray, labels: np.ndarray, share: np.ndarray, repeats: int) -> None:
    """Each class has its share of the picks, rounded; in it the images differ by one pick at most."""
    count, picks = len(labels), -(-len(labels) // repeats)
    assert len(order) == count
    assert len(np.unique(order)) == count, "samples differ, so their draws do"
    times = np.bincount(order % count, minlength=count)
    last = np.full(count, -1)
    np.maximum.at(last, order % count, order // count)
    assert np.array_equal(last, times - 1), "an image's samples are numbered from its first on"
    times[order[-1] % count] += -count % repeats  # what the last pick was cut by
    assert not np.any(times % repeats)
    of_class = np.bincount(labels, weights=times // repeats, minlength=len(share))
    assert np.all(np.abs(of_class - share * picks) < 1 + 1e-9)
    for label in np.flatnonzero(share):
        assert np.ptp(times[labels == label]) <= repeats


@pytest.mark.parametrize("start", [0.0, np.nextafter(1, 0)])
@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_a_class_without_images_is_never_picked(kind: Kind, start: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the marks begin: where rounding counts, that is one draw in billions."""
    monkeypatch.setattr(Draws, "uniform", lambda self: np.full(len(self), start))
    labels = labelled((300, 500, 0, 0, 0, 200, 7))
    for epoch in range(1, 20):
        assert_exact(Sampling(labels, 0, kind=kind).order(epoch), labels, shares(labels, kind), 1)


def shares(labels: np.ndarray, kind: str) -> np.ndarray:
    counts = np.bincount(labels)
    weights = {"all": counts, "sqrt": np.sqrt(counts), "balanced": np.sign(counts)}[kind]
    return weights / weights.sum()


@settings(max_examples=200, deadline=None)
@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=80),
    kind=st.sampled_from(["balanced", "sqrt"]),
    repeats=st.integers(1, 5),
    seed=st.integers(0, 2**63 - 1),
    number=st.integers(1, 9),
)
def test_counts_are_exact_but_for_rounding(labels: list[int], kind: Any, repeats: int, seed: int, number: int) -> None:
    drawn = Sampling(np.array(labels), seed, kind=kind, repeats=repeats)
    assert_exact(drawn.order(number), drawn.labels, shares(drawn.labels, kind), repeats)
    assert drawn.samples(number).tolist() == sorted(drawn.order(number).tolist())


def test_an_image_whose_last_repeats_are_cut_off_is_numbered_without_a_gap() -> None:
    labels = labelled((1, 10))
    for seed in range(20):  # image by image 0, 1, 2 and so on, whichever pick of it stands at the end
        assert_exact(Sampling(labels, seed, kind="balanced", repeats=3).order(1), labels, shares(labels, "balanced"), 3)


def test_control_what_draws_otherwise_is_not_exact() -> None:
    labels = labelled()
    with pytest.raises(AssertionError):  # every image once
        assert_exact(Sampling(labels, 0).order(1), labels, shares(labels, "balanced"), 1)
    weights = 1 / np.bincount(labels)[labels]
    torch.manual_seed(0)
    drawn = np.array(list(WeightedRandomSampler(weights.tolist(), len(labels))))
    again = [Counter(drawn[:place].tolist())[index] for place, index in enumerate(drawn.tolist())]
    with pytest.raises(AssertionError):  # with replacement
        assert_exact(drawn + np.array(again) * len(labels), labels, shares(labels, "balanced"), 1)


@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_classes_are_as_frequent_as_torch_draws_them(kind: Kind) -> None:
    labels = labelled((3, 50, 13, 7))
    counts, epochs = np.bincount(labels), 400
    weights = (shares(labels, kind) / counts)[labels]
    torch.manual_seed(0)
    theirs = labels[list(WeightedRandomSampler(weights.tolist(), epochs * len(labels)))]
    drawn = Sampling(labels, 1, kind=kind)
    ours = np.bincount(np.concatenate([labels[drawn.order(e + 1) % len(labels)] for e in range(epochs)]))
    expected = shares(labels, kind) * len(labels) * epochs
    assert np.abs(np.bincount(theirs) - expected).max() < 4 * np.sqrt(expected.max())
    # Rounding is up and down by chance, less than one pick an epoch: its mean is the share.
    assert np.abs(ours - expected).max() < 4 * np.sqrt(epochs / 4)


def test_over_epochs_every_image_is_seen() -> None:
    for kind, repeats in WAYS:
        drawn = Sampling(labelled(), 0, kind=kind, repeats=repeats)
        seen = [set((drawn.order(number) % 60).tolist()) for number in range(1, 31)]
        assert set().union(*seen) == set(range(60))
        assert len(seen[0] & seen[1]) < len(seen[0]), "not the same ones every epoch"


def test_without_either_every_image_comes_once_in_the_order_of_old() -> None:
    drawn = Sampling(labelled(), 7)
    assert drawn.is_plain
    assert drawn.order(3).tolist() == permutation(60, 7, 3, stream_of("order")).tolist()
    still = Sampling(labelled(), 7, shuffle=False, kind="balanced", repeats=3)  # as tests are made
    assert still.is_plain
    assert still.order(3).tolist() == list(range(60))


@pytest.mark.parametrize("count", [60, 61, 59])
def test_repeats_are_those_of_timm(count: int) -> None:
    """Up to which images are drawn: one process, and two of which each takes every other sample."""

    def pattern(order: list[int]) -> list[int]:
        names: dict[int, int] = {}
        return [names.setdefault(index, len(names)) for index in order]

    ours = (Sampling(np.zeros(count, dtype=np.int64), 0, repeats=3).order(2) % count).tolist()
    for ranks in (1, 2):
        samplers = [RepeatAugSampler(range(count), ranks, rank, selected_round=0) for rank in range(ranks)]
        theirs = [list(sampler) for sampler in samplers]
        woven = [one for several in zip(*theirs, strict=True) for one in several][:count]
        assert pattern(ours) == pattern(woven)
        assert sorted(Counter(ours).values()) == sorted(Counter(woven).values())


def test_a_batch_has_each_of_its_images_as_often_as_it_repeats() -> None:
    made = batches(uneven(), "[Normalize]", ("all", 3))
    assert (made.steps, made.samples, made.sampling.picks) == (5, 60, 20)
    for batch in made.epoch(1):
        assert sorted(Counter(batch.indices.tolist()).values()) == [3] * 4
    plain = next(batches(uneven(), "[Normalize]", ("all", 1)).epoch(1))  # the control
    assert max(Counter(plain.indices.tolist()).values()) == 1
    torn = [batch.indices.tolist() for batch in batches(uneven(), "[Normalize]", ("all", 3), batch_size=10).epoch(1)]
    assert torn[0][-1] == torn[1][0] == torn[1][1], "an image that a batch has no room for goes on in the next"
    short = batches(uneven((5, 40, 16)), "[Normalize]", ("all", 3), drop_last=True)
    assert [len(batch) for batch in short.epoch(1)] == [12] * 5
    with pytest.raises(DataError, match="a batch is 90 images, the split has 60"):
        batches(uneven(), "[Normalize]", ("balanced", 3), batch_size=90, drop_last=True)


def test_the_first_time_draws_what_it_always_drew_and_the_others_are_apart() -> None:
    indices = np.arange(2000, dtype=np.int64)
    once = Draws(3, 2, indices, 9)
    times = [Draws(3, 2, indices, 9, np.full(2000, k)) for k in range(4)]
    values = [draws.uniform() for draws in times]
    assert np.array_equal(values[0], once.uniform())
    inner = [draws.within(5).uniform() for draws in times]
    assert np.array_equal(inner[0], once.within(5).uniform())
    for drawn in (values, inner):
        correlations = np.corrcoef(drawn)[np.triu_indices(4, 1)]
        assert np.abs(correlations).max() < 4 / np.sqrt(2000)
        assert [np.mean(each) for each in drawn] == pytest.approx([0.5] * 4, abs=0.03)


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_every_time_an_image_comes_it_is_another(backend: Any) -> None:
    data, text = uneven(size=16), "[{RandomCrop: {height: 8, width: 8}}, {HorizontalFlip: {p: 0.5}}, Normalize]"
    images, _, indices = epoch(batches(data, text, ("all", 3), backend=backend))
    plain, _, order = epoch(batches(data, text, ("all", 1), backend=backend))
    of = {index: [images[at] for at, one in enumerate(indices) if one == index] for index in set(indices)}
    for index, times in of.items():
        assert torch.equal(times[0], plain[order.index(index)]), "the first time as without repeats"
    differ = [not torch.equal(times[a], times[b]) for times in of.values() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert np.mean(differ) > 0.9  # 162 crops and mirrors, of which two may be one


def test_an_alternating_flip_shows_the_other_side() -> None:
    data = uneven()
    for number in (1, 2):
        plain, _, order = epoch(batches(data, "[AlternatingFlip]", ("all", 1)), number)
        images, _, indices = epoch(batches(data, "[AlternatingFlip]", ("all", 3)), number)
        for at in range(0, 60, 3):
            first = plain[order.index(indices[at])]
            assert torch.equal(images[at], first)
            assert torch.equal(images[at + 1], first.flip(-1))
            assert torch.equal(images[at + 2], first)


@pytest.mark.parametrize("way", WAYS)
def test_both_backends_make_the_same_of_transforms_of_our_own(way: tuple[Kind, int]) -> None:
    data = uneven()
    batched, serial = (epoch(batches(data, OWN, way, backend=name)) for name in ("batched", "albumentations"))
    assert batched[2] == serial[2]
    assert torch.allclose(batched[0], serial[0], atol=1e-5)
    assert torch.allclose(batched[1], serial[1], atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_samples_are_the_same_however_an_epoch_is_cut_shared_or_resumed(way: tuple[Kind, int], backend: Any) -> None:
    data, text = uneven(), "[HorizontalFlip, Normalize, {CutMix: {p: 0.5}}, {MixUp: {alpha: 0.4}}, AlternatingFlip]"
    whole = epoch(batches(data, text, way, backend=backend))
    for size in (7, 59):
        assert_same(epoch(batches(data, text, way, backend=backend, batch_size=size)), whole)
    rest = epoch(batches(data, text, way, backend=backend), start=2)
    assert_same(rest, (whole[0][24:], whole[1][24:], whole[2][24:]))
    made = batches(data, text, way, backend=backend)
    for place, parts in enumerate(zip(*(made.part(rank, 2).epoch(2) for rank in (0, 1)), strict=True)):
        for rank, part in enumerate(parts):
            rows = slice(12 * place + rank, 12 * place + 12, 2)
            assert_same((part.images, part.labels, part.indices.tolist()), tuple(column[rows] for column in whole))
    other = epoch(batches(data, text, way, backend=backend), 3)
    assert not torch.equal(other[0], whole[0])  # the control


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of four workers on few cores
@pytest.mark.parametrize("way", [("sqrt", 1), ("balanced", 3)])
def test_workers_make_the_same_batches(way: tuple[Kind, int]) -> None:
    data = uneven()
    alone = batches(data, SERIAL, way)
    assert alone.backend == "albumentations"
    for workers in (2, 4):
        helped = batches(data, SERIAL, way, workers=workers)
        for number in (1, 2):
            assert_same(epoch(helped, number), epoch(alone, number))
        assert_same(epoch(helped, 2, start=3), epoch(alone, 2, start=3))


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_partners_are_of_the_epoch(backend: Any) -> None:
    """Drawn from the whole split they would bring the large class back in: 0.71 of the labels, not 0.5."""
    data = uneven((16, 184), size=4)
    _, labels, indices = epoch(batches(data, "[MixUp]", ("balanced", 1), backend=backend))
    assert np.bincount(data.train.labels[indices]).tolist() == [100, 100]
    assert labels.sum(0)[1].item() / 200 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
@pytest.mark.parametrize("text", ["[]", "[HorizontalFlip, MixUp]"])
def test_a_sample_that_an_epoch_has_not_is_as_it_would_come(text: str, backend: Any) -> None:
    data, number = uneven(), 2
    made = batches(data, text, ("all", 3), backend=backend)
    images, labels, indices = epoch(made, number)
    absent = sorted(set(range(60)) - set(indices))
    samples = made.sampling.order(number)[[7, 8, 0]].tolist()
    some = made.batch(number, [*absent[:2], *samples])
    assert some.indices.tolist() == [*absent[:2], *(indices[at] for at in (7, 8, 0))]
    assert torch.equal(some.images[2:], images[[7, 8, 0]])
    assert torch.equal(some.labels[2:], labels[[7, 8, 0]])
    if text == "[]":
        assert torch.equal(some.images[0], torch.from_numpy(data.train.image(absent[0])).permute(2, 0, 1) / 255)


@pytest.mark.parametrize("kind", ["all", "balanced", "sqrt"])
def test_a_million_samples_take_arrays(kind: Literal["all", "balanced", "sqrt"]) -> None:
    labels = np.minimum(np.random.default_rng(0).geometric(0.01, 1_000_000), 999).astype(np.int64)
    drawn = Sampling(labels, 0, kind=kind, repeats=2)
    tracemalloc.start()
    samples = drawn.samples(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(samples) == 1_000_000
    assert peak < 64 * 2**20  # 8 numbers of 64 bits a sample; a list of them alone is 40 bytes a sample


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("way", WAYS)
def test_a_gpu_makes_the_same_batches(way: tuple[Kind, int]) -> None:
    data = uneven()
    on_cpu, on_gpu = (batches(data, OWN, way, device=device, backend="batched") for device in ("cpu", "cuda"))
    for number in (1, 2, 2, 3):  # laid out ahead, and again
        expected, got = epoch(on_cpu, number), epoch(on_gpu, number)
        assert got[2] == expected[2]
        assert torch.allclose(got[0].cpu(), expected[0], atol=1e-5)
        assert torch.allclose(got[1].cpu(), expected[1], atol=1e-6)
