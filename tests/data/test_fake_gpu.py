"""The batched transforms as a GPU runs them, on a machine that has none.

Under torch's fake tensors every operation is checked and none is computed: one that mixes devices raises, and so does
any read of a value by the host (``.item()``, ``bool``, ``tolist``), which on a GPU is a wait.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from zoo.data import parse_transforms
from zoo.data.dataset import ArraySplit
from zoo.data.transforms.batched import canvas, filters, geometry, noise
from zoo.data.transforms.batched.builders import BUILDERS
from zoo.data.transforms.batched.forms import Facts, Shape
from zoo.data.transforms.pipeline import Epoch, batched_steps, draw_tables
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data

GPU = torch.device("cuda", 0)
FACTS = Facts(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), classes=10, samples=64)
PIPELINES: dict[str, list[object]] = {
    "colour": ["RandomBrightnessContrast", {"ToGray": {"p": 0.5}}, "Normalize"],
    "flips": ["AlternatingFlip", {"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}],
    "crop": [
        {"PadIfNeeded": {"min_height": 40, "min_width": 40, "border_mode": "reflect"}},
        {"RandomCrop": {"height": 32, "width": 32}},
    ],
    "geometry": [{"Affine": {"translate_percent": 0.1}}, {"Resize": {"height": 40, "width": 40}}],
    "cutout": [{"CoarseDropout": {"fill": [1, 2, 3]}}, "Normalize"],
    "choices": [
        {"OneOf": {"transforms": ["HorizontalFlip", {"Affine": {"translate_px": 4}}]}},
        {"OneOf": {"transforms": [{"Sequential": {"transforms": ["VerticalFlip", "ToGray"]}}, "CoarseDropout"]}},
        {"RandomOrder": {"transforms": ["HorizontalFlip", "RandomBrightnessContrast"], "n": 2}},
        {
            "OneOf": {
                "transforms": [{"CenterCrop": {"height": 9, "width": 9}}, {"Resize": {"height": 9, "width": 9}}],
                "p": 1,
            }
        },
    ],
    "augment": [{"RandAugment": {"num_ops": 2}}, "TrivialAugmentWide", "AutoAugment", "Normalize"],
    "mixing": [{"MixUp": {"p": 0.5}}, "Normalize", "CutMix"],
}


@pytest.fixture(autouse=True)
def _no_fakes_stay() -> Iterator[None]:
    """The forms' constants are kept by device: what was made for the fake one must not meet other tests."""
    kept = (canvas.constant, noise._quantiles, filters._places)
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()


def on(device: torch.device, values: np.ndarray) -> Tensor:
    return torch.empty(values.shape, dtype=getattr(torch, str(values.dtype)), device=device)


def epoch(
    transforms: list[object], device: torch.device, tables_on: torch.device | None = None, *, repeats: bool = False
) -> Epoch:
    """An epoch of 64 samples, all of it fake: only shapes, types and devices are real."""
    listed = from_data(transforms, Span(Source("test"), 1, 1, 1, 1))
    diagnostics = Diagnostics()
    specs = parse_transforms(listed, diagnostics, where="train")
    assert not diagnostics.errors
    split = ArraySplit(np.zeros((64, 32, 32, 3), np.uint8), np.zeros(64, np.int64))
    steps = batched_steps(specs, Shape(32, 32, 3, "uint8"), FACTS)
    drawn = draw_tables(steps, 0, 1, np.arange(64))
    tables = [{name: on(tables_on or device, values) for name, values in table.items()} for table in drawn]
    image_of = on(device, split.labels) if repeats else None
    return Epoch(steps, tables, on(device, split.images), on(device, split.labels), FACTS.classes, image_of)


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("name", PIPELINES)
def test_a_batch_is_made_on_the_gpu_without_a_wait(name: str, repeats: bool) -> None:
    with FakeTensorMode():
        made = epoch(PIPELINES[name], GPU, repeats=repeats)
        images, labels = made.batch(torch.empty(16, dtype=torch.int64, device=GPU))
    assert images.device == labels.device == GPU
    assert (images.dtype, images.shape[:2]) == (torch.float32, (16, 3))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_what_lies_on_another_device_is_found() -> None:
    with FakeTensorMode():
        mixed, indices = epoch(PIPELINES["cutout"], GPU, tables_on=torch.device("cpu")), on(GPU, np.zeros(16, np.int64))
        with pytest.raises(RuntimeError, match="device"):
            mixed.batch(indices)


@pytest.mark.parametrize("name", BUILDERS)
def test_no_batched_form_waits(name: str) -> None:
    crop = {"height": 20, "width": 20}
    needed: dict[str, dict[str, object]] = {
        "Crop": {"x_max": 20, "y_max": 20},
        "RandomResizedCrop": {"size": [20, 20]},
        "RandomSizedCrop": {"min_max_height": [10, 20], "size": [20, 20]},
        **dict.fromkeys(("RandomCrop", "CenterCrop", "Resize"), crop),
        "PadIfNeeded": {"min_height": 40, "min_width": 40},
    }
    behind = [] if name in ("Normalize", "ToFloat") else ["Normalize"]
    with FakeTensorMode():
        made = epoch([{name: needed.get(name, {})}, *behind], GPU)
        images, _ = made.batch(torch.empty(16, dtype=torch.int64, device=GPU))
    assert (images.device, images.dtype) == (GPU, torch.float32)


def test_a_wait_is_found_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry.Flip, "apply", lambda self, canvas, drawn: [canvas, canvas][int(drawn["flip"].sum())])
    with FakeTensorMode(), pytest.raises(DataDependentOutputException, match="_local_scalar_dense"):
        epoch(PIPELINES["flips"][1:], GPU).batch(torch.empty(16, dtype=torch.int64, device=GPU))
