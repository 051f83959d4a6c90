"""A GPU renders several batches at once; they are those that a CPU makes one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from tests.data.test_batches import batches, noise
from zoo.data.batches import Batches
from zoo.data.draws import Integers
from zoo.data.resident import BatchedRenderer
from zoo.data.transforms import canvas

CROP = (
    "[Normalize, AlternatingFlip, {PadIfNeeded: {min_height: 40, min_width: 40}}, "
    "{RandomCrop: {height: 32, width: 32}}]"
)
PIPELINES = [CROP, "[{CoarseDropout: {fill: [1, 2, 3]}}, Normalize]", "[{MixUp: {p: 0.5}}, Normalize, CutMix]"]


def pairs(made: Batches) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(batch.images.cpu(), batch.labels.cpu()) for batch in made.epoch(2, start=1)]


def four_at_once(self: BatchedRenderer, parts: Sequence[Integers]) -> Iterator[Sequence[Integers]]:
    return (parts[start : start + 4] for start in range(0, len(parts), 4))


@pytest.mark.parametrize("text", PIPELINES)
def test_several_at_once_are_those_made_one_by_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(200)
    single = pairs(batches(data, text, batch_size=30, shuffle=True))
    monkeypatch.setattr(BatchedRenderer, "_chunks", four_at_once)
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_renders_as_many_at_once_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(noise(200), CROP, batch_size=30, device="cuda")
    asked: list[int] = []
    chunks = BatchedRenderer._chunks

    def counted(self: BatchedRenderer, parts: Sequence[Integers]) -> Iterator[Sequence[Integers]]:
        for several in chunks(self, parts):
            asked.append(len(several))
            yield several

    monkeypatch.setattr(BatchedRenderer, "_chunks", counted)
    monkeypatch.setattr("zoo.data.resident.CHUNK_BYTES", 3 * 30 * 32 * 32 * 3 * 4)
    list(made.epoch(1))
    assert asked == [3, 3, 1]
