"""WebDataset's tar shards: the samples as they were packed, at random; what is wrong with them, by shard and member."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.data_world import opened, specs
from tests.data.large_world import all_of, images, write_tar
from zoo.data import make_batches
from zoo.data.decoding import decode
from zoo.data.encoded import Encoded
from zoo.data.sources.kept import Index
from zoo.data.sources.tars import index_tar
from zoo.errors import DataError

MINE = "{source: webdataset, path: mine}"
Members = list[tuple[str, bytes]]


def samples(count: int, seed: int = 0, label: str = "cls") -> Members:
    members: Members = []
    for number, data in enumerate(images(count, seed)):
        text = f"{number % 2}\n" if label == "cls" else f'{{"caption": "x", "{label}": {number % 2}}}'
        suffix = "jpg" if number % 2 else "PNG"
        members += [(f"./a/{number:03}.{suffix}", data), (f"./a/{number:03}.{label[:3]}", text.encode())]
    return [(name.replace(".lab", ".json"), data) for name, data in members]


@pytest.fixture
def mine(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shards for training, and one for testing whose labels are in JSON."""
    monkeypatch.setenv("ZOO_CACHE", str(lonely / "cache"))
    for number in range(2):
        write_tar(lonely / "mine" / f"set-train-{number:04}.tar", samples(6, number))
    write_tar(lonely / "mine" / "set-test-0000.tar", samples(4, 5, "label"))
    return lonely / "mine"


def test_samples_come_as_they_were_packed(mine: Path) -> None:
    dataset = opened(MINE)
    expected = [
        (f"mine/{name}.tar/./a/{number:03}.{'jpg' if number % 2 else 'PNG'}", number % 2, decode(Encoded(data, "")))
        for name, seed, count in (("set-train-0000", 0, 6), ("set-train-0001", 1, 6), ("set-test-0000", 5, 4))
        for number, data in enumerate(images(count, seed))
    ]
    assert all_of(dataset) == [(name, label, pixels.tobytes(), pixels.shape) for name, label, pixels in expected]
    assert dataset.classes == ("0", "1")
    assert dataset.notes == ()


@pytest.mark.parametrize("names", ["classes.txt", "classnames.txt"])
def test_classes_have_their_names_from_a_file(names: str, mine: Path) -> None:
    (mine / names).write_text("ant\ntiger beetle\ncow\n\n")
    assert opened(MINE).classes == ("ant", "tiger beetle", "cow")
    (mine / names).write_text("ant\n\ncow")
    with pytest.raises(DataError, match=rf"{names} line 2: a class without a name"):
        opened(MINE)
    (mine / names).write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=rf"{names}: cannot be read"):
        opened(MINE)
    (mine / names).write_text("ant")
    with pytest.raises(DataError, match=r"001\.jpg: label 1 is outside the 1 classes"):
        opened(MINE)


@pytest.mark.parametrize("held", ["val", "validation"])
def test_splits_lie_in_folders_or_bear_their_names(held: str, mine: Path) -> None:
    dataset = opened(MINE)
    for path in mine.glob("*.tar"):
        _, split, number = path.stem.split("-")
        (mine / split).mkdir(exist_ok=True)
        path.rename(mine / split / f"{number}.tar")
    assert opened(MINE).train.labels.tolist() == dataset.train.labels.tolist()
    write_tar(mine / f"{held}-7.tar", samples(3))
    write_tar(mine / "pretrain-7.tar", [])  # of no split
    found = opened(MINE)
    assert found.validation is not None
    assert (len(found.train), len(found.test), len(found.validation)) == (12, 4, 3)
    (mine / "test" / "0000.tar").unlink()
    (mine / "test").rmdir()
    assert len(opened(MINE).test) == 3  # stands in


def test_a_share_is_held_out_as_of_every_source(mine: Path) -> None:
    with pytest.raises(DataError, match="brings a test split of its own"):
        opened(MINE[:-1] + ", test: 0.5}")
    whole = all_of(opened(MINE))[:12]
    (mine / "set-test-0000.tar").unlink()
    with pytest.raises(DataError, match="has a training split alone"):
        opened(MINE)
    dataset = opened(MINE[:-1] + ", test: 0.5}")
    assert len(dataset.test) == 6
    assert sorted(all_of(dataset)) == sorted(whole)


def test_order_and_draws_and_resuming_are_those_of_any_source(mine: Path) -> None:
    dataset = opened(MINE)
    pipeline = specs("[{RandomCrop: {height: 8, width: 8}}, Normalize]")

    def epoch(number: int, start: int = 0, workers: int = 0) -> list[torch.Tensor]:
        batches = make_batches(
            dataset.train, pipeline, batch_size=4, shuffle=True, dataset=dataset, seed=3, workers=workers
        )
        return [batch.images for batch in batches.epoch(number, start)]

    expected = epoch(2)
    assert all(map(torch.equal, epoch(2, workers=2), expected))
    assert all(map(torch.equal, epoch(2, start=1), expected[1:]))
    assert not all(map(torch.equal, epoch(1), expected))


def test_shards_are_indexed_once(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = opened(MINE)
    assert capsys.readouterr().err == "indexing 3 tars of mine\n"
    assert opened(MINE).fingerprint == first.fingerprint
    assert capsys.readouterr().err == ""
    write_tar(mine / "set-train-0001.tar", samples(6, 9))
    with pytest.raises(DataError, match=r"0001\.tar/\./a/000\.PNG: cannot be read: .*it has changed since"):
        first.train.image(6)
    assert opened(MINE).fingerprint != first.fingerprint
    assert capsys.readouterr().err == "indexing 1 tar of mine\n"
    indices = list((mine.parent / "cache" / "webdataset").rglob("*.npz"))
    assert len(indices) == 3
    indices[0].write_bytes(b"damaged")
    assert len(all_of(opened(MINE))) == 16
    assert capsys.readouterr().err == "indexing 1 tar of mine\n"


def test_shards_of_one_name_size_and_time_in_two_folders_are_told_apart(mine: Path) -> None:
    for path in mine.glob("*.tar"):
        path.unlink()
    for split, labels in (("train", (0, 1)), ("test", (1, 0))):
        members = [
            (f"{n}.{kind}", data) for n in (0, 1) for kind, data in (("png", images(1)[0]), ("cls", b"%d" % labels[n]))
        ]
        os.utime(write_tar(mine / split / "0.tar", members), ns=(10**18, 10**18))
    for _ in range(2):  # made, then read
        dataset = opened(MINE)
        assert (dataset.train.labels.tolist(), dataset.test.labels.tolist()) == ([0, 1], [1, 0])


def test_a_cache_that_cannot_be_written_costs_time_alone(mine: Path) -> None:
    (mine.parent / "cache").write_bytes(b"a file")
    dataset = opened(MINE)
    assert len(all_of(dataset)) == 16
    (note,) = dataset.notes
    assert note.startswith("warning: the index of mine is made again in every run: cannot write ")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a.jpg", b"x")], "a.jpg: no label beside it"),
        ([("a.jpg", b"x"), ("b.cls", b"1")], "a.jpg: no label beside it"),
        ([("b.cls", b"1")], "b.cls: a label without an image"),
        ([("a.jpg", b"x"), ("a.png", b"x"), ("a.cls", b"1")], "a.jpg: its sample has another image, a.png"),
        ([("a.jpg", b"x"), ("a.cls", b"1"), ("a.cls", b"0")], "a.cls: its sample has another label, a.cls"),
        ([("a.cls", b"1"), ("a.jpg", b"x"), ("a.CLS", b"1")], "a.cls: its sample has another label, a.CLS"),
        ([("a.jpg", b"x"), ("a.json", b"{}"), ("a.json", b"{}")], "a.json: its sample has another label, a.json"),
        ([("a.jpg", b"x"), ("a.cls", b"cat")], "a.cls: not a number: 'cat'"),
        ([("a.jpg", b"x"), ("a.cls", b"1.0")], r"a.cls: not a number: '1\.0'"),
        ([("a.jpg", b"x"), ("a.cls", b"\xff" * 100)], "a.cls: not a number: '"),
        ([("a.jpg", b"x"), ("a.cls", b"9" * 99)], "a.cls: not a number: '"),
        ([("a.jpg", b"x"), ("a.json", b'{"label": true}')], "a.json: not a mapping with a number as label or cls"),
        ([("a.jpg", b"x"), ("a.json", b"[" * 100_000)], "a.json: not a mapping with a number as label or cls"),
        ([("a.jpg", b"x"), ("a.cls", b"99999999")], "a.jpg: label 99999999 numbers no class of 1 image"),
        ([("a.jpg", b"x"), ("a.cls", b"-1")], r"a.jpg: (label -1 is outside|not an image)"),
        ([("a.jpg", b"x"), ("a.cls", b"0")], "a.jpg: not an image"),
        ([("readme.txt", b"x")], "no image in it"),
        ([], "no image in it"),
    ],
)
def test_what_is_wrong_with_a_sample_is_told(members: Members, said: str, mine: Path) -> None:
    (mine / "set-train-0001.tar").unlink()
    write_tar(mine / "set-train-0000.tar", members)
    with pytest.raises(DataError, match=rf"set-train-0000\.tar(/|: ){said}"):
        opened(MINE)


def test_what_is_no_sample_is_passed_over(mine: Path) -> None:
    expected = all_of(opened(MINE))
    path = mine / "set-train-0000.tar"
    more = [("readme.txt", b"x"), ("a/._000.png", b"macOS"), ("b.json", b"{}"), ("c.seg.png", b"a mask")]
    with tarfile.open(path) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    write_tar(path, [*more, *members, ("./a/900.txt", b"")])
    assert all_of(opened(MINE)) == expected


@pytest.mark.parametrize("number_first", [True, False])
def test_a_number_counts_before_what_json_says(number_first: bool, mine: Path) -> None:
    (mine / "set-train-0001.tar").unlink()
    two = [("a.cls", b"1"), ("a.json", b'{"label": 0}')]
    other = [("b.jpg", images(2)[1]), ("b.cls", b"0")]
    write_tar(mine / "set-train-0000.tar", [*(two if number_first else two[::-1]), ("a.jpg", images(2)[0]), *other])
    assert opened(MINE).train.labels.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["set-train-0001.tar.gz", "set-train-0001.tgz", "set-train-0001.tar"])
def test_compressed_shards_are_refused(name: str, mine: Path) -> None:
    path = mine / "set-train-0001.tar"
    data = gzip.compress(path.read_bytes())
    path.unlink()
    (mine / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name} is compressed") as caught:
        opened(MINE)
    assert caught.value.help == "unpack the archives, not what is in them: gzip -d FILE"


def test_links_are_refused(mine: Path) -> None:
    with tarfile.open(mine / "set-train-0001.tar", "w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(DataError, match=r"0001\.tar: refused: its member 'a\.jpg' is a link"):
        opened(MINE)


def test_a_shard_that_is_missing_among_others_is_told(mine: Path) -> None:
    for number in (2, 3, 5):
        write_tar(mine / f"set-train-{number:04}.tar", samples(2))
    with pytest.raises(DataError, match=r"mine/set-train-0004\.tar is not there: the split is not whole"):
        opened(MINE)
    (mine / "set-train-0005.tar").rename(mine / "set-train-20240105.tar")  # a date
    assert len(opened(MINE).train) == 18


def test_a_link_to_a_shard_that_is_gone_is_told(mine: Path) -> None:
    shard = mine / "set-train-0001.tar"
    shard.rename(mine / "elsewhere.bin")
    shard.symlink_to("elsewhere.bin")
    assert len(opened(MINE).train) == 12
    (mine / "elsewhere.bin").unlink()
    with pytest.raises(DataError, match=r"set-train-0001\.tar: cannot be read: No such file"):
        opened(MINE)


def test_where_there_are_none_it_is_told(lonely: Path) -> None:
    (lonely / "mine").mkdir()
    with pytest.raises(DataError, match=r"no tar shards: none of the folders has train\*\.tar in it") as caught:
        opened(MINE)
    assert caught.value.code == "data-not-found"


@pytest.mark.parametrize(
    ("path", "said", "help"),
    [
        ("https://hub/train-{000..099}.tar", "is no folder of this machine", "download them"),
        ("pipe:cat x", "is no folder of this machine", "download them"),
        ("mine/set-train-{0000..0001}.tar", "names shards", "write path: mine;"),
    ],
)
def test_what_webdatasets_own_loader_takes_is_told(path: str, said: str, help: str, mine: Path) -> None:
    with pytest.raises(DataError, match=said) as caught:
        opened(f"{{source: webdataset, path: '{path}'}}")
    assert help in str(caught.value.help)
    assert str(caught.value.span) == "recipe.yaml:1:28"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Index]:
    path = write_tar(tmp_path_factory.mktemp("tar") / "x.tar", samples(5))
    return path, path.read_bytes(), index_tar(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_costs_samples_in_silence(archive: tuple[Path, bytes, Index], data: st.DataObject) -> None:
    path, whole, expected = archive
    broken = path.with_name("broken.tar")
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    broken.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    try:
        index = index_tar(broken)
    except DataError as error:
        assert "broken.tar" in error.message  # noqa: PT017
    else:
        assert len(index.starts) == len(expected.starts)
        if not cut:
            assert [index.names[n] for n in range(5)] == [expected.names[n] for n in range(5)]  # type: ignore[index]


def test_archives_put_together_by_cat_are_told(mine: Path) -> None:
    path = mine / "set-train-0001.tar"
    path.write_bytes(path.read_bytes() + (mine / "set-train-0000.tar").read_bytes())
    with pytest.raises(DataError, match=r"0001\.tar: not a readable tar: more follows behind its end, from byte"):
        opened(MINE)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


ONE = header("a.png", 0) + header("a.cls", 1) + b"1".ljust(512, b"\0")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header("b.png", 10 << 30), "its member 'b.png' has 10,737,418,240 bytes, as it says"),
        (header("b.png", 1 << 60), "its member 'b.png' has 1,152,921,504,606,846,976 bytes, as it says"),
        (header("b.png", -len(ONE)), "its member 'b.png' has -1,536 bytes, as it says"),
        (header("b", 1 << 60, tarfile.GNUTYPE_LONGNAME), "a header is larger than memory"),
        (header("b", 1 << 60, tarfile.XHDTYPE), "a header is larger than memory"),
        (
            (header("b", 4, tarfile.GNUTYPE_LONGNAME) + b"abc".ljust(512, b"\0")) * 2000,
            "maximum recursion depth exceeded",
        ),
    ],
    ids=["10 GB", "2^60", "below 0", "a long name", "a pax header", "names of names"],
)
def test_headers_that_claim_too_much_are_damage(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(ONE + content + bytes(10240))
    with pytest.raises(DataError, match=rf"x\.tar: not a readable tar: {re.escape(said)}") as caught:
        index_tar(tmp_path / "x.tar")
    assert caught.value.help == "download it again"


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_any_format_of_tar_with_long_and_odd_names(format: int, tmp_path: Path) -> None:
    (image,) = images(1)
    folder = "n" * 60 + "/" + ("ü" * 60 if format != tarfile.USTAR_FORMAT else "u" * 60)
    for name, data in (("k.x.txt", b""), ("k.png", image), ("k.cls", b"7")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_bytes(data)
    with tarfile.open(tmp_path / "x.tar", "w", format=format) as made:
        for name in ("k.x.txt", "k.png", "k.cls"):
            made.add(tmp_path / folder / name, f"{folder}/{name}")
    index = index_tar(tmp_path / "x.tar")
    assert index.labels.tolist() == [7]
    assert index.names is not None
    assert index.names[0] == f"{folder}/k.png"
    with (tmp_path / "x.tar").open("rb") as file:
        assert os.pread(file.fileno(), int(index.sizes[0]), int(index.starts[0])) == image
    assert np.array_equal(index.sizes, [len(image)])
