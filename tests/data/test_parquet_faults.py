"""Parquet files that are damaged, odd, or written in another way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from tests.data.data_world import Pictures, opened, png, write_parquet
from tests.data.test_sources import CIFAR
from zoo.data.sources.parquet import _class_names, first_image, is_readable, names_of, rows
from zoo.errors import DataError


def test_a_corrupt_row_of_a_parquet_is_named(lonely: Path, pictures: Pictures) -> None:
    images = [png(image) for image in pictures.test_images]
    images[7] = images[7][:100]
    for split in ("train", "test"):
        write_parquet(lonely / "data" / f"{split}.parquet", images, pictures.test_labels)
    with pytest.raises(DataError, match=r"train\.parquet row 7"):
        opened(CIFAR)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_corrupt_shard(damage: str, lonely: Path, pictures: Pictures) -> None:
    images = [png(image) for image in pictures.test_images]
    for split in ("train", "test"):
        write_parquet(lonely / "data" / f"{split}.parquet", images, pictures.test_labels)
    path = lonely / "data" / "train.parquet"
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    else:
        data[-6] ^= 0xFF  # the footer's length
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"train\.parquet: not a readable parquet file"):
        opened(CIFAR)


def encoded(pictures: Pictures) -> list[bytes]:
    return [png(image) for image in pictures.test_images[:4]]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("label", ["cat", "dog", "cat", "dog"], "column label holds string, not class numbers"),
        ("label", [[0], [1], [0], [1]], "column label holds list<.*int64>, not class numbers"),
        ("label", [0.0, 0.5, 1.0, 1.5], "column label holds double, not class numbers"),
        ("label", [0, None, 1, None], "row 1: column label is null"),
        ("image", ["a.png", "b.png", "c.png", "d.png"], "column image holds string, not encoded images"),
        ("image", [[1], [2], [3], [4]], "column image holds list<.*int64>, not encoded images"),
        ("image", [{"bytes": None, "path": "a.png"}] * 4, "column image holds struct.*, not encoded images"),
        ("image", [{"bytes": b"x", "path": None}, None] * 2, "row 1: column image is null"),
        ("image", [b"x", b"x", None, b"x"], "row 2: column image is null"),
    ],
)
def test_a_parquet_column_of_another_kind_is_named(
    column: str, values: list[Any], said: str, lonely: Path, pictures: Pictures
) -> None:
    columns = {"image": encoded(pictures), "label": [0, 1, 0, 1]} | {column: values}
    (lonely / "mine").mkdir()
    for split in ("train", "test"):
        pyarrow.parquet.write_table(pyarrow.table(columns), lonely / "mine" / f"{split}.parquet")
    with pytest.raises(DataError, match=rf"train\.parquet.* {said}") as caught:
        opened("{source: parquet, path: mine}")
    assert caught.value.help


@pytest.mark.parametrize("twice", ["image", "label"])
def test_two_columns_of_one_name_are_told(twice: str, lonely: Path, pictures: Pictures) -> None:
    columns = {"image": pyarrow.array(encoded(pictures)), "label": pyarrow.array([0, 1, 0, 1])}
    names = [*columns, twice]
    (lonely / "mine").mkdir()
    for split in ("train", "test"):
        table = pyarrow.table([columns[name] for name in names], names=names)
        pyarrow.parquet.write_table(table, lonely / "mine" / f"{split}.parquet")
    with pytest.raises(DataError, match=rf"train\.parquet: 2 columns are called {twice}") as caught:
        opened("{source: parquet, path: mine}")
    assert caught.value.help == "leave all but one out"


def test_paths_without_bytes_are_no_images(lonely: Path, pictures: Pictures) -> None:
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    paths = pyarrow.array([{"bytes": None, "path": "a.png"}] * 4, kind)
    (lonely / "mine").mkdir()
    for split in ("train", "test"):
        table = pyarrow.table({"image": paths, "label": [0, 1, 0, 1]})
        pyarrow.parquet.write_table(table, lonely / "mine" / f"{split}.parquet")
    with pytest.raises(DataError, match=r"train\.parquet row 0: column image is null") as caught:
        opened("{source: parquet, path: mine}")
    assert any("paths" in note.message for note in caught.value.notes)


@pytest.mark.parametrize("empty", ["train", "test"])
def test_an_empty_parquet_is_named(empty: str, lonely: Path, pictures: Pictures) -> None:
    for split in ("train", "test"):
        images = [] if split == empty else encoded(pictures)
        write_parquet(lonely / "mine" / f"{split}.parquet", images, np.arange(len(images)) % 2)
    with pytest.raises(DataError, match=rf"{empty}\.parquet: no row in it"):
        opened("{source: parquet, path: mine}")


def test_a_parquet_whose_column_has_a_name_in_no_script_is_told(lonely: Path, pictures: Pictures) -> None:
    (lonely / "mine").mkdir()
    table = pyarrow.table({"image": encoded(pictures), "label": [0, 1, 0, 1], "zzzz": [1, 2, 3, 4]})
    for split in ("train", "test"):
        path = lonely / "mine" / f"{split}.parquet"
        pyarrow.parquet.write_table(table, path, store_schema=False)
        path.write_bytes(path.read_bytes().replace(b"zzzz", b"z\xff\xfez"))
        assert (rows([path]), first_image(path), is_readable(path), names_of(path)) == (0, None, False, None)
    with pytest.raises(DataError, match=r"train\.parquet: not a readable parquet file: .*utf-8"):
        opened("{source: parquet, path: mine}")


def test_a_column_of_ids_makes_no_billions_of_classes(lonely: Path, pictures: Pictures) -> None:
    images = encoded(pictures)
    write_parquet(lonely / "mine" / "train.parquet", images, np.array([0, 10**10, 3, 7]), names=None)
    write_parquet(lonely / "mine" / "test.parquet", images, np.array([0, 1, 2, 3]), names=None)
    with pytest.raises(
        DataError, match=r"train\.parquet row 1: label 10000000000 numbers no class of 4 images"
    ) as error:
        opened("{source: parquet, path: mine}")
    assert error.value.help


def test_a_small_part_of_a_set_may_lack_most_of_its_classes(lonely: Path, pictures: Pictures) -> None:
    for split in ("train", "test"):
        write_parquet(lonely / "mine" / f"{split}.parquet", encoded(pictures), np.array([0, 150, 3, 7]), names=None)
    assert len(opened("{source: parquet, path: mine}").classes) == 151


@pytest.mark.parametrize("kind", ["plain bytes", "dictionary", "uint8", "bool"])
def test_other_ways_to_write_the_same_parquet(kind: str, lonely: Path, pictures: Pictures) -> None:
    labels: Any = pyarrow.array([False, True] * 2 if kind == "bool" else [0, 1, 0, 1])
    labels = labels.cast(pyarrow.uint8()) if kind == "uint8" else labels
    labels = labels.dictionary_encode() if kind == "dictionary" else labels
    (lonely / "mine").mkdir()
    for split in ("train", "test"):
        table = pyarrow.table({"image": encoded(pictures), "label": labels})
        pyarrow.parquet.write_table(table, lonely / "mine" / f"{split}.parquet")
    dataset = opened("{source: parquet, path: mine}")
    assert dataset.train.labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(dataset.train.image(2), pictures.test_images[2])


def test_class_names_within_brackets_without_end_are_none() -> None:
    schema = SimpleNamespace(metadata={b"huggingface": b"[" * 100_000})
    assert _class_names(schema, "label") is None
