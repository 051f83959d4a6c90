"""Several batches are rendered at once; they are those that are made one by one."""

from __future__ import annotations

import pytest
import torch

from tests.data.test_batches import batches, noise
from zoo.data.batches import Batches
from zoo.data.resident import BatchedRenderer
from zoo.data.transforms.batched import canvas
from zoo.data.transforms.pipeline import Epoch

CROP = (
    "[Normalize, AlternatingFlip, {PadIfNeeded: {min_height: 40, min_width: 40}}, "
    "{RandomCrop: {height: 32, width: 32}}]"
)
GROWING = "[{Resize: {height: 64, width: 64}}, {CenterCrop: {height: 8, width: 8}}, Normalize]"
PIPELINES = [CROP, "[{CoarseDropout: {fill: [1, 2, 3]}}, Normalize]", "[{MixUp: {p: 0.5}}, Normalize, CutMix]"]


def pairs(made: Batches) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(batch.images.cpu(), batch.labels.cpu()) for batch in made.epoch(2, start=1)]


@pytest.mark.parametrize("text", PIPELINES)
def test_several_at_once_are_those_made_one_by_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(200)
    monkeypatch.setattr(BatchedRenderer, "_together", lambda self, size: 1)
    single = pairs(batches(data, text, batch_size=30, shuffle=True))
    monkeypatch.setattr(BatchedRenderer, "_together", lambda self, size: 4)
    several = pairs(batches(data, text, batch_size=30, shuffle=True))
    assert [len(labels) for _, labels in several] == [30] * 5 + [20]
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in several)
    for (images, labels), (images_again, labels_again) in zip(single, several, strict=True):
        assert torch.equal(images, images_again)
        assert torch.equal(labels, labels_again)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("text", PIPELINES)
def test_a_gpu_makes_the_same_batches(text: str) -> None:
    canvas.constant.cache_clear()
    data = noise(200)
    on_cpu = pairs(batches(data, text, batch_size=30, shuffle=True))
    on_gpu = pairs(batches(data, text, batch_size=30, shuffle=True, device="cuda"))
    for (images, labels), (images_again, labels_again) in zip(on_cpu, on_gpu, strict=True):
        assert torch.allclose(images, images_again, atol=1e-5)
        assert torch.allclose(labels.float(), labels_again.float(), atol=1e-6)


def together(made: Batches) -> int:
    renderer = made.renderer
    assert isinstance(renderer, BatchedRenderer)
    return renderer._together(made.batch_size)


def test_the_largest_shape_on_the_way_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images grow from 8x8 to 64x64: 64 times the bytes, so 64 times fewer at once."""
    plain, grown = batches(noise(200, 8), "[Normalize]"), batches(noise(200, 8), GROWING)
    for made in (plain, grown):
        on_a_cpu = together(made)
        monkeypatch.setattr(made.renderer, "_device", torch.device("cuda"))
        assert together(made) // 8 == on_a_cpu > 1
    assert together(plain) // 64 == together(grown) > 0


def test_a_large_batch_is_rendered_by_itself() -> None:
    assert together(batches(noise(2000), "[Normalize]", batch_size=2000)) == 1


def test_a_resumed_epoch_renders_the_same_batches_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    batch = Epoch.batch

    def watched(self: Epoch, indices_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(indices_B))
        return batch(self, indices_B)

    monkeypatch.setattr(Epoch, "batch", watched)
    monkeypatch.setattr(BatchedRenderer, "_together", lambda self, size: 4)
    made = batches(noise(200), CROP, batch_size=20)
    whole, rest = list(made.epoch(1)), list(made.epoch(1, start=6))
    assert asked == [80, 80, 40, 80, 40]
    assert [part.indices.tolist() for part in whole[6:]] == [part.indices.tolist() for part in rest]
    assert all(torch.equal(one.images, other.images) for one, other in zip(whole[6:], rest, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_renders_as_many_at_once_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(noise(200), CROP, batch_size=30, device="cuda")
    monkeypatch.setattr("zoo.data.resident.CHUNK_BYTES", {"cuda": 3 * 30 * 40 * 40 * 3 * 4})
    assert together(made) == 3
    list(made.epoch(1))
