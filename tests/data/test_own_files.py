"""Folders and files of one's own without a test split: a share of each class is held out for it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.data.data_world import opened, png, write_parquet
from zoo.data import Dataset
from zoo.data.sources.own import HOLD_OUT
from zoo.errors import ConfigError, DataError

COUNTS = {"ant": 10, "bee": 5, "cow": 2, "dog": 1}


@pytest.fixture
def photos(lonely: Path) -> Path:
    """Class folders with images that are told apart by their grey."""
    grey = 0
    for name, count in COUNTS.items():
        (lonely / "photos" / name).mkdir(parents=True)
        for number in range(count):
            (lonely / "photos" / name / f"{number}.png").write_bytes(png(np.full((4, 4), grey, np.uint8)))
            grey += 1
    return lonely / "photos"


def greys(dataset: Dataset) -> list[set[int]]:
    splits = [dataset.train, dataset.test, *([dataset.validation] if dataset.validation is not None else [])]
    return [{int(split.image(index)[0, 0, 0]) for index in range(len(split))} for split in splits]


def of_class(dataset: Dataset, labels: np.ndarray) -> dict[str, int]:
    return {dataset.classes[label]: count for label, count in sorted(Counter(labels.tolist()).items())}


def test_a_share_of_every_class_is_the_test_split(photos: Path) -> None:
    dataset = opened("{source: image_folder, path: photos, test: 0.2}")
    assert dataset.classes == tuple(COUNTS)
    assert of_class(dataset, dataset.test.labels) == {"ant": 2, "bee": 1, "cow": 1}
    assert of_class(dataset, dataset.train.labels) == {"ant": 8, "bee": 4, "cow": 1, "dog": 1}
    train, test = greys(dataset)
    assert (train & test, train | test) == (set(), set(range(18)))


def test_no_seed_has_a_say_in_it(photos: Path) -> None:
    texts = [f"{{source: image_folder, path: photos, test: 0.2{more}}}" for more in ("", ", validation: 0.2")]
    tests = [greys(opened(text, seed=seed))[1] for text in texts for seed in (0, 1, 2)]
    assert all(test == tests[0] for test in tests)
    held = [greys(opened(texts[1], seed=seed))[2] for seed in range(6)]
    assert len({frozenset(each) for each in held}) > 1  # the control: validation goes by the seed


@pytest.mark.parametrize("held", [None, "val"])
def test_a_training_split_without_a_test_split_is_divided_too(photos: Path, held: str | None) -> None:
    whole = greys(opened("{source: image_folder, path: photos, test: 0.2}"))
    (photos.parent / "mine").mkdir()
    if held is not None:
        shutil.copytree(photos / "ant", photos.parent / "mine" / held / "ant")
    photos.rename(photos.parent / "mine" / "train")
    dataset = opened("{source: image_folder, path: mine, test: 0.2}")
    assert greys(dataset)[:2] == whole
    assert (dataset.validation is not None) == (held is not None)


def test_parquet_is_divided_as_well(lonely: Path) -> None:
    images = [png(np.full((4, 4), grey, np.uint8)) for grey in range(20)]
    write_parquet(lonely / "mine" / "train.parquet", images, np.arange(20) % 2, names=("ant", "bee"))
    dataset = opened("{source: parquet, path: mine, test: 0.3}")
    assert of_class(dataset, dataset.test.labels) == {"ant": 3, "bee": 3}
    train, test = greys(dataset)
    assert (train & test, train | test) == (set(), set(range(20)))
    with pytest.raises(DataError, match="has a training split alone") as caught:
        opened("{source: parquet, path: mine}")
    assert caught.value.help == HOLD_OUT


def test_folders_of_classes_alone_say_how_to_divide_them(photos: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened("{source: image_folder, path: photos}")
    assert (
        caught.value.message
        == "photos holds folders of classes (ant, bee, cow, dog), but no train and test to hold them"
    )
    assert caught.value.help == HOLD_OUT
    assert str(caught.value.span) == "recipe.yaml:1:30"


def test_a_test_split_that_is_there_is_not_made(photos: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(photos, photos.parent / "mine" / split)
    with pytest.raises(DataError, match=r"data\.test: .*mine brings a test split of its own") as caught:
        opened("{source: image_folder, path: mine, test: 0.2}")
    assert caught.value.help == "leave data.test out, or remove that split"


def test_folders_of_splits_are_no_classes(photos: Path) -> None:
    shutil.copytree(photos, photos.parent / "mine" / "val")
    for text in ("{source: image_folder, path: mine, test: 0.2}", "{source: image_folder, path: mine}"):
        with pytest.raises(DataError, match="none of the folders has train/CLASS"):
            opened(text)


def test_a_share_is_taken_of_a_named_folder_alone(photos: Path) -> None:
    photos.rename(photos.parent / "data")  # a place that data are looked for in, whatever lies there
    with pytest.raises(DataError, match="none of the folders has train/CLASS"):
        opened("{source: image_folder, test: 0.2}")


def test_a_class_of_nothing_is_an_error_here_too(photos: Path) -> None:
    (photos / "eel").mkdir()
    with pytest.raises(DataError, match="eel: a class without an image"):
        opened("{source: image_folder, path: photos, test: 0.2}")


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "1.5", "x"])
def test_what_is_no_share(photos: Path, share: str) -> None:
    with pytest.raises(ConfigError, match="test"):
        opened(f"{{source: image_folder, path: photos, test: {share}}}")


def test_one_image_a_class_leaves_none_to_hold_out(lonely: Path) -> None:
    for name in "ab":
        (lonely / "few" / name).mkdir(parents=True)
        (lonely / "few" / name / "0.png").write_bytes(png(np.zeros((4, 4), np.uint8)))
    with pytest.raises(DataError, match=r"data\.test: 0\.2 of 2 images holds none out"):
        opened("{source: image_folder, path: few, test: 0.2}")


def test_a_broken_image_met_on_the_way_says_how_to_leave_it_out(photos: Path) -> None:
    (photos / "ant" / "0.png").write_bytes(png(np.zeros((4, 5), np.uint8)))  # of another size: decoded when asked for
    (photos / "bee" / "0.png").write_bytes(b"no image")
    dataset = opened("{source: image_folder, path: photos, test: 0.2}")
    with pytest.raises(DataError, match="not an image") as caught:
        greys(dataset)
    assert caught.value.help is not None
    assert "data.skip_corrupt: 1" in caught.value.help
    assert len(opened("{source: image_folder, path: photos, test: 0.2, skip_corrupt: 1}").skipped) == 1


def test_a_fold_stands_in_for_a_test_split(photos: Path) -> None:
    (photos / "dog" / "1.png").write_bytes(png(np.full((4, 4), 18, np.uint8)))
    text = "{source: image_folder, path: photos, folds: 3, fold: %d}"
    folds = [opened(text % fold) for fold in range(3)]
    for dataset in folds:
        assert dataset.test is dataset.validation
        assert "there is no test split: the fold stands in for it" in dataset.notes[-1]
        train, test, _ = greys(dataset)
        assert (train & test, train | test) == (set(), set(range(19)))
    assert set.union(*(greys(dataset)[1] for dataset in folds)) == set(range(19))


def test_a_test_split_of_its_own_is_the_same_in_all_folds(photos: Path) -> None:
    for name in ("cow", "dog"):
        shutil.rmtree(photos / name)
    text = "{source: image_folder, path: photos, test: 0.2, folds: 3, fold: %d}"
    folds = [greys(opened(text % fold)) for fold in range(3)]
    test = greys(opened("{source: image_folder, path: photos, test: 0.2}"))[1]
    assert [fold[1] for fold in folds] == [test] * 3
    assert set.union(*(fold[2] for fold in folds)) == set(range(15)) - test


def test_what_folds_cannot_be_cut_of_names_its_place(photos: Path) -> None:
    with pytest.raises(DataError, match=r"data\.folds: dog: a class of one training image") as caught:
        opened("{source: image_folder, path: photos, folds: 3}")
    assert str(caught.value.span) == "recipe.yaml:1:45"
    shutil.copytree(photos, photos.parent / "mine" / "train")
    shutil.copytree(photos, photos.parent / "mine" / "test")
    shutil.copytree(photos, photos.parent / "mine" / "val")
    with pytest.raises(DataError, match="brings a validation split of its own"):
        opened("{source: image_folder, path: mine, folds: 3}")


def test_parquet_needs_no_test_split_for_folds(lonely: Path) -> None:
    images = [png(np.full((4, 4), grey, np.uint8)) for grey in range(20)]
    write_parquet(lonely / "mine" / "train.parquet", images, np.arange(20) % 2, names=("ant", "bee"))
    train, test, held = greys(opened("{source: parquet, path: mine, folds: 5, fold: 4}"))
    assert (len(train), test) == (16, held)
