"""Loader workers: the same batches whatever their number; a dead or hanging one ends in a WorkerError, no orphans."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.data_world import array_dataset, specs
from zoo.data import Batches, make_batches
from zoo.data.dataset import ArraySplit, Dataset
from zoo.errors import DataError, WorkerError

PIPELINE = "[HorizontalFlip, {CLAHE: {p: 1.0}}, {RandomCrop: {height: 8, width: 8}}, Normalize, CutMix]"


def dataset() -> Dataset:
    return array_dataset(np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), dtype=np.uint8))


def batches(data: Dataset, **options: object) -> Batches:
    keywords = {"batch_size": 8, "shuffle": True, "seed": 3, "dataset": data} | options
    return make_batches(data.train, specs(PIPELINE), **keywords)  # type: ignore[arg-type]


def epoch(made: Batches, number: int, start: int = 0) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    parts = list(made.epoch(number, start))
    return (
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        [index for part in parts for index in part.indices.tolist()],
    )


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    data = dataset()
    alone, helped = batches(data), batches(data, workers=2)
    assert alone.backend == "albumentations"
    assert "CLAHE" in alone.reason
    for number in (1, 2):
        expected, got = epoch(alone, number), epoch(helped, number)
        assert expected[2] == got[2]
        assert torch.equal(expected[0], got[0])
        assert torch.equal(expected[1], got[1])
    assert not torch.equal(epoch(alone, 1)[0], epoch(alone, 2)[0])  # the control: another epoch is another


def test_a_resumed_epoch_gives_what_was_left() -> None:
    made = batches(dataset(), workers=1)
    whole, rest = epoch(made, 1), epoch(made, 1, start=2)
    assert whole[2][16:] == rest[2]
    assert torch.equal(whole[0][16:], rest[0])


@dataclass(frozen=True)
class Signed(ArraySplit):
    """A split that notes the process of whoever asks for an image."""

    marks: Path | None = None

    def image(self, index: int) -> np.ndarray:
        assert self.marks is not None
        (self.marks / str(os.getpid())).touch()
        return super().image(index)

    @property
    def processes(self) -> set[int]:
        assert self.marks is not None
        return {int(mark.name) for mark in self.marks.iterdir()}


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    images = dataset().train.images
    assert images is not None
    return Signed(images, dataset().train.labels, marks=tmp_path)


def by_two(split: ArraySplit) -> Batches:
    return make_batches(split, specs(PIPELINE), batch_size=8, shuffle=True, seed=3, dataset=dataset(), workers=2)


def equal(left: Batches, right: Batches, number: int) -> bool:
    return all(
        torch.equal(torch.as_tensor(one), torch.as_tensor(other))
        for one, other in zip(epoch(left, number), epoch(right, number), strict=True)
    )


def test_workers_stay_from_epoch_to_epoch(signed: Signed) -> None:
    made = by_two(signed)
    for number in (1, 2, 5):
        assert equal(made, batches(dataset()), number)
    assert len(signed.processes) == 2
    assert os.getpid() not in signed.processes
    workers = signed.processes
    os.kill(min(workers), signal.SIGINT)  # Ctrl-C reaches them too
    assert equal(made, batches(dataset()), 6)
    assert signed.processes == workers
    del made
    assert gone(workers)


def test_an_epoch_that_is_broken_off_spoils_nothing(signed: Signed) -> None:
    made = by_two(signed)
    begun = made.epoch(1)
    next(begun)
    del begun
    workers = signed.processes
    assert gone(workers)
    for number in (1, 2):
        assert equal(made, batches(dataset()), number)
    assert len(signed.processes - workers) == 2


def test_two_epochs_at_once_do_not_mix(signed: Signed) -> None:
    made, alone = by_two(signed), batches(dataset())
    pairs = list(zip(made.epoch(1), made.epoch(2), strict=True))
    for number, parts in zip((1, 2), zip(*pairs, strict=True), strict=True):
        assert torch.equal(torch.cat([part.images for part in parts]), epoch(alone, number)[0])


def test_idle_workers_that_die_are_replaced(signed: Signed) -> None:
    made = by_two(signed)
    epoch(made, 1)
    workers = signed.processes
    os.kill(min(workers), signal.SIGKILL)
    assert equal(made, batches(dataset()), 2)
    assert len(signed.processes) == 4
    assert gone(workers)


def test_a_single_batch_needs_no_worker(signed: Signed) -> None:
    assert torch.equal(by_two(signed).batch(2, [3, 5]).images, batches(dataset()).batch(2, [3, 5]).images)
    assert signed.processes == {os.getpid()}


@dataclass(frozen=True)
class Saboteur(ArraySplit):
    """A split one of whose images does something to whoever asks for it."""

    mark: Path | None = None
    deed: str = ""

    def image(self, index: int) -> np.ndarray:
        if index == 20:
            assert self.mark is not None
            self.mark.write_text(str(os.getpid()))
            if self.deed == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.deed == "hang":
                time.sleep(600)
            if self.deed == "corrupt":
                raise DataError("image 20: cannot be decoded", notes=["it is the first"], help="mend it")
            raise ValueError("a bug")
        return super().image(index)


def sabotaged(deed: str, tmp_path: Path, **options: object) -> tuple[Batches, Path]:
    data = dataset()
    assert data.train.images is not None
    mark = tmp_path / "pid"
    split = Saboteur(data.train.images, data.train.labels, None, mark, deed)
    keywords = {"batch_size": 5, "shuffle": False, "dataset": data, "workers": 2, "backend": "albumentations"} | options
    return make_batches(split, specs("[Normalize]"), **keywords), mark  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    multiprocessing.active_children()  # takes leave of those that have ended: torch 2.11 leaves that to others
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pids: set[int]) -> bool:
    """Whether they end, given some seconds."""
    deadline = time.monotonic() + 15
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(is_alive, pids))


@pytest.mark.parametrize(("deed", "said"), [("die", "died"), ("hang", "hangs: no batch in 2 s")])
def test_a_lost_worker_ends_in_time_without_orphans(deed: str, said: str, tmp_path: Path) -> None:
    made, mark = sabotaged(deed, tmp_path, worker_timeout=2.0)
    began = time.monotonic()
    with pytest.raises(WorkerError, match=said) as caught:
        for _ in made.epoch(1):
            pass
    assert caught.value.exit_code == 7
    del caught
    assert time.monotonic() - began < 20
    assert gone({int(mark.read_text())})


def test_a_data_error_crosses_from_a_worker_whole(tmp_path: Path) -> None:
    made, _ = sabotaged("corrupt", tmp_path)
    with pytest.raises(DataError, match=r"^image 20: cannot be decoded \(mend it\)$") as caught:
        list(made.epoch(1))
    assert caught.value.help == "mend it"
    assert [note.message for note in caught.value.notes] == ["it is the first"]


def test_a_bug_in_a_worker_stays_a_bug(tmp_path: Path) -> None:
    made, _ = sabotaged("bug", tmp_path)
    with pytest.raises(ValueError, match="a bug"):
        list(made.epoch(1))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_transform_that_fails_on_an_image_is_shown_where_it_stands(workers: int) -> None:
    data = dataset()
    made = make_batches(
        data.train, specs("[{CenterCrop: {height: 20, width: 20}}, {CLAHE: {p: 1.0}}]"),
        batch_size=8, shuffle=False, seed=0, dataset=data, workers=workers,
    )  # fmt: skip
    with pytest.raises(DataError, match="CenterCrop fails") as caught:
        list(made.epoch(1))
    assert str(caught.value.span).startswith("recipe.yaml:1:")
