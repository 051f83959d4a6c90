"""CutMix and MixUp: shares of labels and pixels, and what torchvision's do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from tests.data.data_world import array_dataset, specs
from tests.data.test_batches import alike, batches, by_index
from zoo.data.dataset import Dataset
from zoo.data.draws import Draws
from zoo.data.transforms.batched.forms import Facts, Shape


def constant_images(count: int) -> Dataset:
    """Image k is k everywhere, so that a pixel tells which image it comes from."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 16, 12, 1))
    return array_dataset(images.copy(), classes=count)


def test_cutmix_labels_are_the_shares_of_the_pixels() -> None:
    data = constant_images(100)
    images, labels = by_index(batches(data, "[CutMix]"), 1)
    sources = (images * 255).round().to(torch.int64).flatten(1)
    shares = torch.stack([(sources == label).float().mean(dim=1) for label in range(100)], dim=1)
    torch.testing.assert_close(labels, shares, atol=1e-6, rtol=0)
    assert labels.dtype == torch.float32
    assert ((labels > 0).sum(dim=1) == 2).float().mean() > 0.8


def test_mixup_labels_are_the_shares_of_the_blend() -> None:
    data = constant_images(100)
    images, labels = by_index(batches(data, "[{Normalize: {mean: 0.0, std: 1.0}}, MixUp]"), 1)
    torch.testing.assert_close(images[:, 0, 0, 0] * 255, labels @ torch.arange(100.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(100))


def test_cutmix_areas_are_distributed_as_torchvisions() -> None:
    from torchvision.transforms.v2 import CutMix

    form = specs("[CutMix]")[0].batched(Shape(16, 12, 1), Facts((0.5,), (0.5,), 10, 1000))
    own = form.draw(Draws(0, 1, np.arange(100_000), 1))
    torch.manual_seed(0)
    theirs = CutMix(num_classes=10)
    image = torch.zeros(2, 1, 16, 12)
    draws = [theirs.make_params([image]) for _ in range(20_000)]
    boxes = np.array([[int(side) for side in draw["box"]] for draw in draws])  # x1, y1, x2, y2
    kept = np.array([draw["lam_adjusted"] for draw in draws])
    for name, column in (("x0", 0), ("y0", 1), ("x1", 2), ("y1", 3)):
        assert alike(own[name][:, 0], boxes[:, column]) > 1e-4
        assert alike(own[name][:, 0], np.roll(boxes, 1, axis=1)[:, column]) < 1e-9
    assert alike((own["kept"] * 192).round(), (kept * 192).round()) > 1e-4
    assert alike((own["kept"] ** 1.2 * 192).round(), (kept * 192).round()) < 1e-9
    assert len(np.unique(own["partner"])) == 1000


EITHER = "{OneOf: {transforms: [{CutMix: {alpha: 0.5, p: 0.2}}, {MixUp: {alpha: 2.0, p: 0.6}}], p: 0.8}}"


@pytest.mark.parametrize("text", ["[EITHER, FLOAT]", "[FLOAT, EITHER]"])  # uint8 and float32 images are mixed
@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_one_of_cutmix_and_mixup_labels_are_the_shares_of_the_pixels(text: str, backend: str) -> None:
    data = constant_images(200)
    text = text.replace("EITHER", EITHER).replace("FLOAT", "{Normalize: {mean: 0.0, std: 1.0}}")
    images, labels = by_index(batches(data, text, backend=backend), 1)
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)) * 255, labels @ torch.arange(200.0), atol=0.51, rtol=0)
    values = [len(image.unique()) for image in images]  # two where a rectangle was cut, else one
    assert 15 <= values.count(2) <= 50
    assert (labels.amax(dim=1) < 1).sum() > 130


def test_one_of_chooses_by_weight_and_draws_as_the_chosen_does() -> None:
    facts, shape, count = Facts((0.5,), (0.5,), 10, 1000), Shape(16, 12, 1), np.arange(100_000)
    drawn = specs(f"[{EITHER}]")[0].batched(shape, facts).draw(Draws(0, 1, count, 1))
    cut = (drawn["opacity"] == 1) & (drawn["kept"] < 1)
    blended = drawn["opacity"] < 1
    assert not (cut & blended).any()
    assert stats.binomtest(int(blended.sum()), len(count), 0.8 * 0.75).pvalue > 1e-4
    assert stats.binomtest(int(blended.sum()), len(count), 0.8 * 0.7).pvalue < 1e-9
    alone = {}
    for name, alpha in ("CutMix", 0.5), ("MixUp", 2.0):
        (spec,) = specs(f"[{{{name}: {{alpha: {alpha}}}}}]")
        alone[name] = spec.batched(shape, facts).draw(Draws(0, 1, count, 2))["kept"]
    cuts_alone = alone["CutMix"][alone["CutMix"] < 1]
    assert stats.binomtest(int(cut.sum()), len(count), 0.8 * 0.25 * len(cuts_alone) / len(count)).pvalue > 1e-4
    assert stats.ks_2samp(drawn["kept"][cut], cuts_alone).pvalue > 1e-4
    assert stats.ks_2samp(drawn["kept"][blended], alone["MixUp"]).pvalue > 1e-4
    assert stats.ks_2samp(drawn["kept"][cut], alone["MixUp"]).pvalue < 1e-9
    assert np.array_equal(drawn["kept"][blended], drawn["opacity"][blended])
