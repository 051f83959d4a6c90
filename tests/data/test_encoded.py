"""Images before they are decoded: long sequences in arrays, parts of files, folders of many files."""

from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.data_world import opened, png
from tests.data.large_world import printed
from zoo.data.encoded import IMAGE_EXTENSIONS, Span, facts_at, files_below, images_below
from zoo.data.indexed import Joined, Names, Picked
from zoo.data.sources.folders import find_split
from zoo.data.sources.kept import Index
from zoo.errors import DataError


@given(st.lists(st.lists(st.text().filter(lambda text: "\0" not in text)), max_size=5), st.data())
def test_sequences_in_arrays_are_those_of_lists(lists: list[list[str]], data: st.DataObject) -> None:
    def is_name(text: str) -> bool:
        return not any("\ud800" <= letter <= "\udfff" for letter in text)

    lists = [list(filter(is_name, each)) for each in lists]
    expected = [text for each in lists for text in each]
    joined = Joined([Names.of(each) for each in lists])
    assert [joined[index] for index in range(len(joined))] == expected
    order = data.draw(st.lists(st.integers(0, len(expected) - 1))) if expected else []
    picked = Picked(joined, np.array(order, dtype=np.int64))
    assert [picked[index] for index in range(len(picked))] == [expected[index] for index in order]


@given(
    content=st.binary(max_size=60),
    start=st.integers(0, 60),
    size=st.integers(0, 60),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(-1, 70)),
            st.tuples(st.just("seek"), st.integers(0, 70)),
            st.tuples(st.just("end"), st.integers(-60, 5)),
        )
    ),
)
def test_a_part_of_a_file_is_read_as_a_file(
    content: bytes, start: int, size: int, steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "a_file"
    path.write_bytes(content)
    start = min(start, len(content))
    size = min(size, len(content) - start)
    expected = io.BytesIO(content[start : start + size])
    with Span(path, start, size, facts_at(path)).open() as part:
        for step, number in steps:
            if step == "read":
                assert part.read(number) == expected.read(number)
            elif step == "seek":
                assert part.seek(number) == expected.seek(number)
            else:
                assert part.seek(max(number, -size), io.SEEK_END) == expected.seek(max(number, -size), io.SEEK_END)


@given(at=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_an_index_is_read_as_it_was_written_or_not_at_all(
    at: int, bits: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "index.npz"
    numbers = np.arange(5, dtype=np.int64)
    Index(numbers, numbers + 1, numbers + 2, Names.of("abcde")).write(path)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= bits
    path.write_bytes(content)
    index = Index.read(path)
    if index is not None:
        np.testing.assert_array_equal([index.starts, index.sizes, index.labels], [numbers, numbers + 1, numbers + 2])
        assert index.names is None or index.names[4] == "e"


def test_images_of_a_folder_come_in_the_order_of_their_paths_parts(tmp_path: Path) -> None:
    for name in (
        "b/1.png",
        "b-1.png",
        "b.png",
        "b/0.JPG",
        "a.txt",
        ".x.png",
        ".h/1.png",
        "c/.y.jpg",
        "Z.gif",
        "b/d/e.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "f.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "gone")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "again").symlink_to(tmp_path / "b")
    expected = [
        path
        for path in sorted(tmp_path.rglob("*"))
        if path.suffix.lower() in IMAGE_EXTENSIONS
        and not any(part[0] == "." for part in path.relative_to(tmp_path).parts)
        and path.is_file()
        and "again" not in path.parts
    ]
    assert list(images_below(tmp_path)) == expected
    files = files_below(tmp_path)
    assert [files.ids[index] for index in range(len(files))] == [str(path) for path in expected]
    with pytest.raises(DataError, match="gone: cannot be read: No such file"):
        list(images_below(tmp_path / "gone"))


def test_what_tells_a_folder_from_another_is_as_ever(lonely: Path) -> None:
    for split in ("train", "test"):
        for name, width in (("ant", 4), ("bee", 5)):
            folder = lonely / "mine" / split / name
            folder.mkdir(parents=True)
            (folder / "0.png").write_bytes(png(np.zeros((4, width), np.uint8)))
    odd = Path(os.fsdecode(b"mine/train/bee/\xff.png"))
    odd.write_bytes(png(np.zeros((4, 4), np.uint8)))
    train = opened("{source: image_folder, path: mine}").train
    files = [Path("mine/train/ant/0.png"), Path("mine/train/bee/0.png"), odd]
    lines = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    expected = hashlib.sha256(os.fsencode("\n".join(lines)) + np.array([0, 1, 1]).tobytes()).hexdigest()
    assert train.fingerprint() == expected
    assert train.subset(np.array([1, 0])).fingerprint() != expected


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """20,000 files of no content in five classes."""
    for name in "abcde":
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(4000):
            (tmp_path / "train" / name / f"n0144_{number:05}.png").touch()
    return tmp_path / "train"


def test_a_file_of_a_folder_takes_some_dozens_of_bytes(many: Path) -> None:
    tracemalloc.start()
    split = find_split(many, "abcde", is_train=True)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(split.images) == 20_000
    assert taken / 20_000 < 80


COPIED = """
import os, sys
from pathlib import Path
from zoo.data.sources.folders import find_split

split = find_split(Path(sys.argv[1]), "abcde", is_train=True)
images = split.images if sys.argv[2] == "arrays" else [split.images[index] for index in range(len(split.images))]

def own():
    return sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private_Dirty"))

def epoch(count):
    return sum(len(images[index].id) for index in range(count))

if os.fork() == 0:
    epoch(10)
    before = own()
    for _ in range(3):
        epoch(len(images))
    print(own() - before, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="memory is told by Linux's /proc")
def test_a_forked_worker_copies_nothing_of_what_it_reads(many: Path) -> None:
    assert int(printed(COPIED, str(many), "arrays")) < 1000  # KiB
    assert int(printed(COPIED, str(many), "list")) > 4000  # the control: every page of objects is copied
