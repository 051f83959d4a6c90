"""Fixtures of the data room: a small CIFAR-10 of real images where this machine has them, and no way out to the net."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.data.data_world import PER_CLASS, Pictures

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """Real CIFAR-10 test images where there are any, else random ones; classes take turns."""
    count = 10 * PER_CLASS
    labels = np.arange(count) % 10
    source = SHARED / "data" / "cifar10" / "test-00000-of-00001.parquet"
    if not source.is_file():
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (2 * count, 32, 32, 3), dtype=np.uint8)
        return Pictures(images[:count], labels, images[count:], labels)
    import pyarrow.parquet as pq

    table = pq.ParquetFile(source).read_row_group(0).to_pydict()
    rows = list(zip(table["img"], table["label"], strict=True))
    of_class = [[row["bytes"] for row, label in rows if label == wanted] for wanted in range(10)]
    decoded = [
        np.asarray(Pillow.open(io.BytesIO(of_class[label][index // 10])).convert("RGB"))
        for index, label in enumerate(np.tile(labels, 2))
    ]
    images = np.stack(decoded)
    return Pictures(images[:count], labels, images[count:], labels)


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no data: an empty working folder and cache, no network (the mirror is a closed port)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_DATA_MIRROR", "http://127.0.0.1:9/")
    for variable in ("ZOO_DATA", "ZOO_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path
