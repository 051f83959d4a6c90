"""What is opened once for several trainings, and what is opened anew."""

from __future__ import annotations

import gc
import weakref
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.data_world import section
from zoo.data import Dataset, LastOpened, open_dataset

SYNTHETIC = "{source: synthetic, classes: 3, train: 30, test: 6"
HOLDS_OUT = f"{SYNTHETIC}, validation: 0.2}}"


def opened(text: str, last: LastOpened, seed: int = 0, data_dir: Path | None = None) -> Dataset:
    return open_dataset(section(text), last=last, seed=seed, data_dir=data_dir)


@pytest.mark.parametrize(
    ("other", "seed", "is_same"),
    [
        (f"{SYNTHETIC}}}", 1, True),
        (f"{SYNTHETIC}, batch_size: 7, drop_last: true, workers: 2, worker_timeout: 9.0}}", 0, True),
        (f"{SYNTHETIC.replace('30', '31')}}}", 0, False),
        (f"{SYNTHETIC}, skip_corrupt: 1}}", 0, False),
        (HOLDS_OUT, 0, False),
        ("{source: digits}", 0, False),
    ],
)
def test_the_same_images_are_opened_once(other: str, seed: int, is_same: bool) -> None:
    last = LastOpened()
    first = opened(f"{SYNTHETIC}}}", last)
    again = opened(other, last, seed)
    assert (again is first) == is_same
    assert again.fingerprint == open_dataset(section(other), seed=seed).fingerprint


def test_what_is_held_out_for_another_seed_is_other_data() -> None:
    last = LastOpened()
    first, same, other = opened(HOLDS_OUT, last), opened(HOLDS_OUT, last), opened(HOLDS_OUT, last, seed=1)
    assert same is first
    assert other.validation is not None
    assert other.fingerprint == open_dataset(section(HOLDS_OUT), seed=1).fingerprint != first.fingerprint


def test_a_data_set_is_opened_once_for_all_seeds(tmp_path: Path) -> None:
    for split, label, number in product(("train", "test"), ("a", "b"), range(5)):
        path = tmp_path / split / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(path)
    text = f"{{source: image_folder, path: {tmp_path}, validation: 0.4}}"
    last = LastOpened()
    first, other = opened(text, last), opened(text, last, seed=1)
    fewer, whole = opened(text.replace("0.4", "0.2"), last), opened(text.replace("0.4", "0"), last)
    alone = [open_dataset(section(text), seed=seed).fingerprint for seed in (0, 1)]
    assert [first.fingerprint, other.fingerprint] == alone
    assert alone[0] != alone[1]
    assert other.test is fewer.test is whole.test is first.test  # it stands aside
    assert opened(HOLDS_OUT, last).test is not first.test


FOLDS = f"{SYNTHETIC}, folds: 3"


def test_folds_are_cut_out_of_what_was_opened_once() -> None:
    last = LastOpened()
    folds = [opened(f"{FOLDS}, fold: {fold}}}", last, seed=fold) for fold in range(3)]
    assert last.get(last._key, lambda: pytest.fail("opened again")) is not folds[0]
    assert len({each.fingerprint for each in folds}) == 3
    assert [(len(each.train), len(each.validation or ())) for each in folds] == [(20, 10)] * 3
    again = opened(f"{FOLDS}, fold: 1}}", LastOpened(), seed=7)  # no seed has a say in it
    assert again.fingerprint == folds[1].fingerprint
    assert folds[0].test is folds[1].test


def test_another_place_is_other_data(tmp_path: Path) -> None:
    last = LastOpened()
    digits = "{source: digits}"
    assert opened(digits, last, data_dir=tmp_path) is not opened(digits, last)


def test_no_two_data_sets_are_held_at_a_time() -> None:
    last = LastOpened()
    images = weakref.ref(opened(f"{SYNTHETIC}}}", last).train.images)

    def open_it() -> Dataset:
        gc.collect()
        assert images() is None
        return open_dataset(section("{source: digits}"))

    assert last.get("another", open_it).train.images is not None


def test_what_cannot_be_opened_is_tried_again() -> None:
    last = LastOpened()

    def fails() -> Dataset:
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):
            last.get("key", fails)
    dataset = open_dataset(section("{source: digits}"))
    assert last.get("key", lambda: dataset) is dataset
    assert isinstance(dataset.train.labels, np.ndarray)
