"""Parquet that is too large for memory: the same samples, written once, whole, by one process at a time."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.data.data_world import opened, write_parquet
from tests.data.large_world import PER_SHARD, all_of, images, printed, started
from zoo.data.sources import parquet
from zoo.data.sources.unpacking import Table, Unpacked
from zoo.errors import DataError, EnvironmentFault

MINE = "{source: parquet, path: mine}"
NAMES = ("ant", "bee")
TRAIN = [f"train-0000{number}-of-00002" for number in range(2)]

# Opens the data below its first argument, every set too large for memory. In a file that the second names it pauses
# until it is written to.
SCRIPT = """
import os, sys
from zoo.data.sources import parquet, unpacking
from tests.data.data_world import opened
from pathlib import Path

parquet.MOST_BYTES, parquet._BATCH_BYTES = 0, 1
write = unpacking._write_images

def slow(path, batches, advance):
    def paused():
        for number, batch in enumerate(batches):
            yield batch
            if number == 3 and path.name.startswith(sys.argv[2]):
                print("paused", flush=True)
                sys.stdin.readline()
    return write(path, paused(), advance)

unpacking._write_images = slow
os.chdir(sys.argv[1])
print(opened("{source: parquet, path: mine}").fingerprint)
"""


@pytest.fixture
def mine(lonely: Path) -> Path:
    """Two training shards and a test file with images of several sizes."""
    for number, name in enumerate([*TRAIN, "test"]):
        write_parquet(lonely / "mine" / f"{name}.parquet", images(PER_SHARD, number), np.arange(PER_SHARD) % 2, NAMES)
    return lonely / "mine"


@pytest.fixture
def large(mine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same; every set is too large for memory, and an image or two are unpacked at a time."""
    monkeypatch.setattr(parquet, "MOST_BYTES", 0)
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 1)
    return mine


def kept() -> list[Path]:
    """What lies in the cache, locks aside."""
    found = (Path(os.environ["ZOO_CACHE"]) / "parquet").rglob("*") if "ZOO_CACHE" in os.environ else iter(())
    return sorted(path for path in found if path.is_file() and path.name != ".lock")


@pytest.fixture(autouse=True)
def cache(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(lonely / "cache"))


def test_every_sample_is_the_same_as_from_memory(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = (MINE, MINE[:-1] + ", test: 0.3}")
    (mine / "test.parquet").rename(mine / "validation.parquet")
    in_memory = [opened(text) for text in texts]
    assert not kept()
    assert in_memory[0].notes == ()
    monkeypatch.setattr(parquet, "MOST_BYTES", 0)
    for text, expected in zip(texts, in_memory, strict=True):
        dataset = opened(text)
        assert all_of(dataset) == all_of(expected)
        assert dataset.classes == expected.classes == NAMES
        assert [str(kept()[0].parent) in note for note in dataset.notes] == [True]
    assert len(kept()) == 6


def test_known_sets_stay_in_memory(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_BYTES", 0)
    for split in ("train", "test"):
        write_parquet(lonely / "data" / "cifar10" / f"{split}.parquet", images(3)[::3], np.arange(1))
    with pytest.raises(DataError, match="was not found"):  # of another size
        opened("{source: cifar10}")
    assert not kept()


def table(**columns: Any) -> pyarrow.Table:
    return pyarrow.table({"image": images(6), "label": [0, 1] * 3} | columns)


@pytest.mark.parametrize(
    "broken",
    [
        table(image=[*images(4), None, None]),
        table(label=[0, 1, 0, 1, 0, None]),
        table(label=["a"] * 6),
        table(image=[1] * 6),
        table(image=[b"no image", *images(5)]),
        table(label=[10**9] * 6),
        table(label=[-1] * 6),
        table().slice(0, 0),
        pyarrow.table({"image": images(6)}),
    ],
)
@pytest.mark.parametrize("skip", [0, 1])
def test_what_is_wrong_is_told_as_from_memory(
    broken: pyarrow.Table, skip: int, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TRAIN:
        pyarrow.parquet.write_table(broken, mine / f"{name}.parquet")

    def told() -> Any:
        try:
            dataset = opened(MINE[:-1] + f", skip_corrupt: {2 * skip}}}")
            return all_of(dataset), dataset.skipped
        except DataError as error:
            return error.message, [note.message for note in error.notes], error.help

    expected = told()
    monkeypatch.setattr(parquet, "MOST_BYTES", 0)
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 1)
    assert told() == expected
    assert not [path for path in kept() if path.suffix == ".tmp"]


def test_it_is_written_once(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = opened(MINE)
    assert "unpacking 3 parquet files of mine" in capsys.readouterr().err
    before = {path: path.stat().st_mtime_ns for path in kept()}
    again = opened(MINE)
    assert capsys.readouterr().err == ""
    assert {path: path.stat().st_mtime_ns for path in kept()} == before
    assert again.fingerprint == first.fingerprint


def test_of_files_that_change_what_was_kept_is_made_again(large: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = opened(MINE)
    before = set(kept())
    write_parquet(large / "test.parquet", images(PER_SHARD, 9), np.arange(PER_SHARD) % 2, NAMES)
    capsys.readouterr()
    changed = opened(MINE)
    said = capsys.readouterr().err
    assert "mine has changed since it was unpacked" in said
    assert "unpacking 1 parquet file" in said
    assert len(before & set(kept())) == 4
    assert len(kept()) == 6
    assert changed.fingerprint != first.fingerprint
    with pytest.raises(DataError, match=r"test\.parquet row 0: cannot be read: No such file"):
        first.test.image(0)


@pytest.mark.parametrize("damage", ["index", "images", "no images"])
def test_what_is_damaged_is_written_again(damage: str, large: Path) -> None:
    expected = all_of(opened(MINE))
    victim = next(path for path in kept() if path.suffix == (".npz" if damage == "index" else ".images"))
    if damage == "no images":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-5])
    assert all_of(opened(MINE)) == expected
    assert len(kept()) == 6


def test_images_that_change_under_a_run_are_no_images(large: Path) -> None:
    dataset = opened(MINE)
    for path in kept():
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=r"row 0: cannot be read: .*it has changed since") as caught:
        dataset.train.image(0)
    assert caught.value.help


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_was_broken_off_goes_on_with_the_next_file(number: signal.Signals, large: Path) -> None:
    process = started(SCRIPT, str(large.parent), TRAIN[1])
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert len([path for path in kept() if path.suffix == ".tmp"]) == (number == signal.SIGKILL)
    first = {path: path.stat().st_mtime_ns for path in kept() if path.name.startswith(TRAIN[0])}
    assert len(first) == 2
    assert len(all_of(opened(MINE))) == 3 * PER_SHARD
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert len(kept()) == 6  # nothing unfinished is left


def test_two_processes_at_once_write_it_once(large: Path) -> None:
    one = started(SCRIPT, str(large.parent), TRAIN[0])
    assert one.stdout is not None
    assert one.stdout.readline() == "paused\n"
    other = started(SCRIPT, str(large.parent), "none")
    assert other.stderr is not None
    assert other.stderr.readline().startswith("waiting for another process that writes to ")
    said, complaints = one.communicate("go on\n", timeout=120)
    said_too, complaints_too = other.communicate(timeout=120)
    assert said == said_too == opened(MINE).fingerprint + "\n"
    assert "unpacking 3 parquet files" in complaints
    assert complaints_too == ""


def test_a_disk_that_is_full_is_told_before_and_while_it_is_written(large: Path) -> None:
    size = 1 << 60
    unpacked = Unpacked(large, [Table(large / "test.parquet", size, lambda: iter(()))], quiet=True)
    with pytest.raises(EnvironmentFault, match=r"what is to be unpacked of .*mine takes 1,152,921,504\.6 GB") as caught:
        unpacked.split([large / "test.parquet"])
    assert "$ZOO_CACHE" in str(caught.value.help)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n" + SCRIPT
    process = started(limited, str(large.parent), "none")
    _, complaints = process.communicate(timeout=60)
    assert "EnvironmentFault" in complaints
    assert "File too large" in complaints
    assert not kept()


def test_loader_processes_get_where_the_images_lie_and_not_the_images(large: Path) -> None:
    split = opened(MINE).train
    size = sum(path.stat().st_size for path in kept())
    again = pickle.loads(pickle.dumps(split))
    assert len(pickle.dumps(split)) < size / 3
    assert again.fingerprint() == split.fingerprint()
    np.testing.assert_array_equal(again.image(9), split.image(9))


def test_batches_are_those_from_memory_with_workers_too(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tests.data.data_world import specs
    from zoo.data import make_batches

    def epoch(start: int = 0) -> list[torch.Tensor]:
        dataset = opened(MINE)
        pipeline = specs("[{RandomCrop: {height: 8, width: 8}}, Normalize]")
        batches = make_batches(dataset.train, pipeline, batch_size=4, shuffle=True, dataset=dataset, workers=2)
        return [batch.images for batch in batches.epoch(2, start)]

    expected = epoch()
    monkeypatch.setattr(parquet, "MOST_BYTES", 0)
    assert all(map(torch.equal, epoch(), expected))
    assert all(map(torch.equal, epoch(2), expected[2:]))  # resumed in mid-epoch


@given(
    rows=st.lists(st.binary(max_size=20), max_size=12),
    large=st.booleans(),
    cut=st.integers(0, 12),
    few=st.integers(1, 5),
)
def test_the_bytes_of_a_column_are_those_that_pyarrow_gives(rows: list[bytes], large: bool, cut: int, few: int) -> None:
    kind = pyarrow.large_binary() if large else pyarrow.binary()
    column = pyarrow.chunked_array([rows[at : at + few] for at in range(0, len(rows), few)], kind).slice(cut)
    data, sizes = zip(*map(parquet._bytes, column.chunks), strict=True) if column.num_chunks else ((), ())
    flat = b"".join(part.tobytes() for part in data)
    ends = np.cumsum([0, *np.concatenate([[], *sizes]).astype(int)])
    assert [flat[start:end] for start, end in itertools.pairwise(ends)] == column.to_pylist()


MEMORY = """
import sys, os
from zoo.data.sources import parquet
from zoo.data.sources.own import own_dataset
from tests.data.data_world import opened
parquet.MOST_BYTES = int(sys.argv[2])
os.chdir(sys.argv[1])

def anonymous():
    return sum(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("RssAnon"))

before, most = anonymous(), 0
dataset = opened("{source: parquet, path: mine, channels: 3}")
for index in range(len(dataset.train)):
    dataset.train.image(index)
    most = max(most, anonymous() - before) if index % 50 == 0 else most
print(most)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is told by Linux's /proc")
def test_memory_does_not_go_with_the_set(lonely: Path) -> None:
    random = np.random.default_rng(0)
    many = []
    for number in range(800):
        stream = io.BytesIO()
        pixels = random.integers(0, 256, (350 + number % 2, 350, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(stream, format="BMP")
        many.append(stream.getvalue())
    schema = pyarrow.schema({"image": pyarrow.binary(), "label": pyarrow.int64()})
    (lonely / "mine").mkdir()
    for split, count in (("train", 800), ("test", 2)):
        columns = {"image": many[:count], "label": [0, 1] * (count // 2)}
        pyarrow.parquet.write_table(
            pyarrow.table(columns, schema), lonely / "mine" / f"{split}.parquet", write_batch_size=10
        )
    whole = sum(map(len, many)) >> 20  # 280 MiB
    assert int(printed(MEMORY, str(lonely), "0")) < whole / 4
    assert int(printed(MEMORY, str(lonely), str(1 << 40))) > whole * 0.9  # the control: in memory
