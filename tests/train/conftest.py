from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from small_world import Small, small_training
from zoo.train import RunFolder, Training

torch.set_num_threads(2)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path, "small") as folder:
        yield folder


@pytest.fixture
def training(folder: RunFolder) -> Callable[..., Training]:
    def make(**given: Any) -> Training:
        return small_training(Small(**given), folder)

    return make
