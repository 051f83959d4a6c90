"""RandAugment and TrivialAugmentWide beside torchvision's: the same operations, as often, as strong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from tests.data.batched_world import DRAWS, FACTS, LEAST_P
from tests.data.data_world import specs
from tests.data.test_batches import batches, by_index, noise
from zoo.data import make_batches
from zoo.data.draws import Draws
from zoo.data.transforms.batched import chosen
from zoo.data.transforms.batched.augmenting import KINDS, Augmentation
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import Shape
from zoo.errors import DataError, UsageError

SHAPES = (Shape(32, 32, 3), Shape(21, 16, 3), Shape(12, 17, 1), Shape(2, 2, 3))
BOTH = ("RandAugment", "TrivialAugmentWide")
ALL = (*BOTH, "AutoAugment")


def form(text: str, shape: Shape = SHAPES[0]) -> Augmentation:
    made: Any = specs(f"[{text}]")[0].batched(shape, FACTS)
    return made


def pictures(shape: Shape) -> torch.Tensor:
    """Noise, and smooth images, which show where a pixel came from."""
    random = np.random.default_rng(1)
    rough = random.integers(0, 256, (4, shape.height, shape.width, shape.channels))
    y, x = np.mgrid[: shape.height, : shape.width]
    smooth = (60 + 5 * x + 3 * y)[None, :, :, None] + 10 * np.arange(shape.channels)
    flat = np.full((1, *smooth.shape[1:]), 77)
    return torch.from_numpy(np.concatenate([rough, smooth, flat]).clip(0, 255).astype(np.uint8))


def applied(augmentation: Augmentation, images: torch.Tensor, *chosen: int) -> torch.Tensor:
    """The images after the operation of this number, magnitude and sign."""
    drawn = augmentation.parameters(*(np.full(len(images), number) for number in chosen))
    tensors = {name: torch.from_numpy(values)[:, None] for name, values in drawn.items()}
    return augmentation.apply(Canvas.of(images), tensors).pixels()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BOTH)
def test_operations_are_torchvisions(name: str, shape: Shape) -> None:
    theirs = getattr(v2, name)()
    ours = form(f"{name}: {{num_ops: 1}}" if name == "RandAugment" else name, shape)
    images, changed = pictures(shape), set()
    assert (*theirs._AUGMENTATION_SPACE, "Invert") == KINDS
    for number, (kind, (magnitudes, signed)) in enumerate(theirs._AUGMENTATION_SPACE.items()):
        table = magnitudes(31, shape.height, shape.width)
        if kind == "TranslateX":
            np.testing.assert_allclose(ours._spaced(0, ours.largest.translate[1]), table.double(), rtol=1e-7)
        for at in (0, 1, 9, 15, 22, 30):
            for sign in (1, -1) if signed else (1,):
                value = 0.0 if table is None else sign * float(table[at])
                expected = theirs._apply_image_or_video_transform(
                    images.permute(0, 3, 1, 2), kind, value, interpolation=theirs.interpolation, fill=theirs._fill
                ).permute(0, 2, 3, 1)
                got = applied(ours, images, number, at, sign)
                differs = (got.int() - expected.int()).abs()
                # Places and means are added up in another order: what lies on an edge may fall to either side.
                is_close = kind == "Contrast" or (differs > 0).float().mean() < 0.005
                assert is_close, (kind, value)
                if number > 5:
                    assert differs.max() <= 1, (kind, value)
                if not torch.equal(got, images):
                    changed.add(kind)
    if shape.height > 20:  # the control; of few pixels some operations leave all as they are
        assert changed == set(KINDS) - {"Identity", "Invert"}


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_policies_are_torchvisions(policy: str) -> None:
    """Of every image the mean, and its spread over 5,000 draws, are those that torchvision's gives."""
    theirs, ours = v2.AutoAugment(v2.AutoAugmentPolicy(policy)), form(f"AutoAugment: {{policy: {policy}}}")
    image = pictures(SHAPES[0])[4]
    assert [[kind for kind, _, _ in pair] for pair in ours.drawing.policies] == [
        [op[0] for op in pair] for pair in theirs._policies
    ]
    count = 5000
    drawn = {name: torch.from_numpy(values) for name, values in ours.draw(Draws(0, 1, np.arange(count), 1)).items()}
    mine = ours.apply(Canvas.of(image.expand(count, -1, -1, -1)), drawn).pixels().double().mean(dim=(1, 2, 3)).numpy()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chw = image.permute(2, 0, 1)
        other = np.array([float(theirs(chw).double().mean()) for _ in range(count)])
    assert stats.ks_2samp(mine.round(1), other.round(1)).pvalue > LEAST_P
    assert stats.ks_2samp(mine.round(1) + 1, other.round(1)).pvalue < 1e-9  # the control


def test_inverting_is_torchvisions() -> None:
    images = pictures(SHAPES[0])
    assert torch.equal(applied(form("RandAugment: {num_ops: 1}"), images, KINDS.index("Invert"), 3, 1), 255 - images)


def test_operations_come_as_often_and_as_strong_as_torchvisions() -> None:
    """Fourteen operations, either sign; of TrivialAugmentWide 31 magnitudes, of RandAugment the one that is named."""
    drawn = form("TrivialAugmentWide").draw(Draws(0, 1, np.arange(4 * DRAWS), 1))
    change, matrix, amount = (drawn[name][:, 0] for name in ("change", "matrix", "amount"))
    warps = change == 0
    expected = len(change) / 14 * np.array([1, 5, *[1] * 8])
    assert stats.chisquare(np.bincount(change + 1), expected).pvalue > LEAST_P
    assert stats.chisquare(np.bincount(change + 1)).pvalue < 1e-9  # the control: warps are five of fourteen
    factors, counts = np.unique(amount[change == 1].round(4), return_counts=True)
    expected = np.r_[-np.linspace(0, 0.99, 31)[1:], np.linspace(0, 0.99, 31)] + 1
    np.testing.assert_allclose(factors, np.sort(expected), atol=1e-4)
    weights = np.where(np.isclose(factors, 1), 2, 1)  # without a sign
    assert stats.chisquare(counts, counts.sum() * weights / weights.sum()).pvalue > LEAST_P
    shifts = matrix[warps & (matrix[:, 2] != 0) & (matrix[:, 1] == 0) & (matrix[:, 0] == 1), 2]
    pixels = {sign * int(value) for value in torch.linspace(0, 32, 31).tolist() for sign in (1, -1)}
    assert set(shifts.tolist()) == pixels - {0}
    once = form("RandAugment: {magnitude: 15}").draw(Draws(0, 1, np.arange(DRAWS), 1))
    assert once["change"].shape == (DRAWS, 2)
    assert set(np.unique(once["amount"][once["change"] == 1].round(4))) == {np.float32(0.55), np.float32(1.45)}
    assert abs(np.corrcoef(once["change"].T)[0, 1]) < 4 / DRAWS**0.5  # the second knows nothing of the first


@pytest.mark.parametrize("name", ALL)
def test_a_gpu_s_way_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(SHAPES[0]).repeat(30, 1, 1, 1)
    ours = form(name)
    tensors = {key: torch.from_numpy(value) for key, value in ours.draw(Draws(0, 1, np.arange(180), 1)).items()}
    picked = ours.apply(Canvas.of(images), tensors).pixels()
    monkeypatch.setattr(chosen, "_picks", lambda pixels: False)
    assert torch.equal(ours.apply(Canvas.of(images), tensors).pixels(), picked)


@pytest.mark.parametrize(
    "text", ["RandAugment: {magnitude: 12}", "TrivialAugmentWide: {}", "RandAugment: {num_ops: 0}", "AutoAugment: {}"]
)
def test_either_backend_gives_the_same(text: str) -> None:
    made = (batches(noise(12), f"[{{{text}}}, Normalize]", backend=kind) for kind in ("batched", "albumentations"))
    batched, single = (by_index(one, 2)[0] for one in made)
    assert torch.equal(batched, single)


@pytest.mark.parametrize("name", ALL)
def test_behind_normalize_it_is_refused(name: str) -> None:
    data = noise(12)
    behind = (*specs("[Normalize]"), *specs(f"[{name}]"))  # which a recipe may not say
    keywords = {"batch_size": 12, "shuffle": False, "dataset": data}
    with pytest.raises(UsageError, match="no Normalize has seen"):
        make_batches(data.train, behind, backend="batched", **keywords)
    with pytest.raises(DataError, match="no Normalize has seen"):
        by_index(make_batches(data.train, behind, **keywords), 1)
