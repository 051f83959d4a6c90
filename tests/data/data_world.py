"""Helpers of the data room's tests: sections and transforms from YAML, small data sets, encoded images."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from zoo.data import Dataset, open_dataset, parse_transforms
from zoo.data.dataset import ArraySplit
from zoo.data.sources.cifar import CIFAR10_CLASSES
from zoo.data.transforms import TransformSpec
from zoo.diagnostics import Diagnostics, render
from zoo.document import Mapping, read_text
from zoo.errors import raise_if_errors

PER_CLASS = 5


@dataclass(frozen=True)
class Pictures:
    """Images and labels of a small CIFAR-10: 10 x PER_CLASS for training, as many for testing."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(pixels.squeeze()).save(stream, format="PNG")
    return stream.getvalue()


def write_parquet(path: Path, images: list[bytes], labels: np.ndarray, names: Any = CIFAR10_CLASSES) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"label": {"names": list(names or ()), "_type": "ClassLabel"}, "img": {"_type": "Image"}}
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    column = pa.array([{"bytes": data, "path": None} for data in images], kind)
    table = pa.table({"img": column, "label": labels})
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def section(text: str) -> Mapping:
    """A recipe's ``data`` section from YAML."""
    diagnostics = Diagnostics()
    node = read_text(text, diagnostics, name="recipe.yaml")
    raise_if_errors(diagnostics)
    assert isinstance(node, Mapping)
    return node


def opened(text: str, data_dir: Path | None = None, seed: int = 0) -> Dataset:
    """The data set of a section."""
    return open_dataset(section(text), data_dir=data_dir, seed=seed)


def specs(text: str, where: Any = "train") -> tuple[TransformSpec, ...]:
    """Transforms from a YAML list in flow style."""
    diagnostics = Diagnostics()
    node = section(f"list: {text}").get("list")
    assert node is not None
    parsed = parse_transforms(node, diagnostics, where=where)
    assert not diagnostics.errors, "\n".join(map(render, diagnostics))
    return parsed


def complaints(text: str, where: Any = "train") -> str:
    """What is said about a YAML list of transforms."""
    diagnostics = Diagnostics()
    node = section(f"list: {text}").get("list")
    assert node is not None
    parse_transforms(node, diagnostics, where=where)
    return "\n".join(map(render, diagnostics)) + "\n"


def array_dataset(images: np.ndarray, classes: int = 10) -> Dataset:
    """A data set of these images whose labels take turns; the test split is the same."""
    split = ArraySplit(images, np.arange(len(images), dtype=np.int64) % classes)
    return Dataset("array", split, split, tuple(str(number) for number in range(classes)))
