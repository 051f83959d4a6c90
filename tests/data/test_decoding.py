"""Decoding: colour is decided once for a whole data set, and no file is read twice."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from tests.data.data_world import opened, write_parquet
from zoo.data import Dataset
from zoo.data.decoding import any_colour, decode, decode_splits
from zoo.data.encoded import Encoded, EncodedSplit
from zoo.errors import ConfigError, DataError

RED, GREY = (200, 10, 10), 67  # Pillow's grey of that red
MINE = "{source: image_folder, path: mine}"


def encoded(mode: str, form: str = "PNG", size: tuple[int, int] = (4, 4)) -> bytes:
    stream = io.BytesIO()
    Pillow.new(mode, size, {"L": 100, "RGB": RED}[mode]).save(stream, form)
    return stream.getvalue()


def folder_of(root: Path, **counts: dict[str, int]) -> None:
    """Image folders: of each split so many grey images in class a, and red ones in class b."""
    for split, wanted in counts.items():
        for name, count in wanted.items():
            folder = root / "mine" / split / {"L": "a", "RGB": "b"}[name]
            folder.mkdir(parents=True)
            data = encoded(name)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(data)
            if not count:  # a class of some split has to be one of the training split too
                (folder / "grey.png").write_bytes(encoded("L"))


def channels(dataset: Dataset) -> set[int]:
    splits = (dataset.train, dataset.test, dataset.validation)
    return {split.image(at).shape[2] for split in splits if split is not None for at in range(len(split))}


def test_a_late_class_in_colour_makes_the_whole_set_colour(lonely: Path) -> None:
    folder_of(lonely, train={"L": 1001, "RGB": 2}, test={"L": 2, "RGB": 2})
    dataset = opened(MINE)
    assert channels(dataset) == {3}
    assert dataset.train.image(0)[0, 0].tolist() == [100, 100, 100]
    assert dataset.train.image(1001)[0, 0].tolist() == list(RED)


@pytest.mark.parametrize("colourful", ["train", "test", "val"])
def test_one_split_in_colour_makes_all_of_them_colour(colourful: str, lonely: Path) -> None:
    splits = {split: {"L": 2} | ({"RGB": 1} if split == colourful else {}) for split in ("train", "test", "val")}
    splits["train"] = {"L": 2, "RGB": 1 if colourful == "train" else 0}
    folder_of(lonely, **splits)
    assert channels(opened(MINE)) == {3}


def test_images_decoded_one_by_one_follow_the_whole_set_too(lonely: Path) -> None:
    folder_of(lonely, train={"L": 2, "RGB": 0}, test={"L": 2, "RGB": 1})
    (lonely / "mine" / "train" / "a" / "large.png").write_bytes(encoded("L", size=(9, 7)))
    dataset = opened(MINE)
    assert dataset.train.images is None
    assert channels(dataset) == {3}


def test_grey_images_stay_grey(lonely: Path) -> None:
    folder_of(lonely, train={"L": 600}, test={"L": 2})
    assert channels(opened(MINE)) == {1}


@pytest.mark.parametrize("wanted", [1, 3])
def test_channels_are_what_a_person_says(wanted: int, lonely: Path) -> None:
    folder_of(lonely, train={"L": 2, "RGB": 2}, test={"L": 2, "RGB": 2})
    dataset = opened(MINE[:-1] + f", channels: {wanted}}}")
    assert channels(dataset) == {wanted}
    assert dataset.train.image(3)[0, 0].tolist() == ([GREY] if wanted == 1 else list(RED))
    folder_of(lonely / "grey", train={"L": 2}, test={"L": 2})
    grey = opened(f"{{source: image_folder, path: {lonely}/grey/mine, channels: {wanted}}}")
    assert channels(grey) == {wanted}


def test_parquet_decides_once_too(lonely: Path) -> None:
    write_parquet(lonely / "mine" / "train.parquet", [encoded("L")] * 3, np.arange(3))
    write_parquet(lonely / "mine" / "test.parquet", [encoded("L"), encoded("RGB")], np.arange(2))
    text = "{source: parquet, path: mine}"
    assert channels(opened(text)) == {3}
    assert channels(opened(text[:-1] + ", channels: 1}")) == {1}


@pytest.mark.parametrize("said", ["2", "grey"])
def test_other_channels_are_refused(said: str, lonely: Path) -> None:
    with pytest.raises(ConfigError, match="channels"):
        opened(MINE[:-1] + f", channels: {said}}}")


def test_colour_is_met_wherever_it_is() -> None:
    """One colour image at any place of a set larger than what one thread looks at; broken ones hide nothing."""
    grey, red, broken = (Encoded(data, "x") for data in (encoded("L"), encoded("RGB", "JPEG"), b"no image"))
    for place in (0, 1, 511, 512, 1234, 1999):
        images = [grey] * 2000
        images[place] = red
        images[place - 1] = broken
        assert any_colour(images)
    assert not any_colour([grey, broken] * 1000)


def bytes_read() -> int:
    """What this process has asked the kernel to read so far."""
    counter = Path("/proc/self/io")
    if not counter.is_file():
        pytest.skip("only Linux counts what a process reads")
    return int(counter.read_text().split("rchar: ")[1].split()[0])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_file_is_read_once(form: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    path = tmp_path / f"noise.{form.lower()}"
    Pillow.fromarray(noise).save(path, form)
    image, size = Encoded(path, str(path)), path.stat().st_size
    decode(image)  # imports the decoder
    before = bytes_read()
    pixels = decode(image)
    read = bytes_read() - before
    assert pixels.shape == (400, 400, 3)
    assert size <= read < 1.3 * size  # the header's block may come twice


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    gone = Encoded(tmp_path / "gone.png", "gone.png")
    with pytest.raises(DataError, match=r"^gone\.png: cannot be read: No such file"):
        decode(gone)
    assert not any_colour([gone])


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *itertools.product(("PNG", "TIFF", "WEBP"), ("L", "RGB", "LA", "RGBA")),
        *itertools.product(("JPEG",), ("L", "RGB")),  # it has no alpha channel
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_exif_orientation_says(mode: str, kind: str, orientation: int) -> None:
    pixels = np.kron(np.arange(8).reshape(2, 4) * 30, np.ones((8, 8))).astype(np.uint8)
    picture = Pillow.fromarray(pixels).convert(mode)
    exif = picture.getexif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    stream = io.BytesIO()
    picture.save(stream, format=kind, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(stream.getvalue()))).convert("L"))
    for channels in (1, 3):
        decoded = decode(Encoded(stream.getvalue(), "it"), channels)
        assert decoded.shape == (*upright.shape, channels)
        np.testing.assert_allclose(decoded[..., 0].astype(int), upright, atol=3)
    control = upright[::-1] if orientation != 4 else upright[:, ::-1]
    assert np.abs(decoded[..., 0].astype(int) - control).max() > 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_exif_block_does_not_break_the_image() -> None:
    stream = io.BytesIO()
    Pillow.new("RGB", (8, 8), (9, 9, 9)).save(stream, format="JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fjunk")
    assert decode(Encoded(stream.getvalue(), "it")).shape == (8, 8, 3)


def test_grey_with_alpha_and_grey_palettes_are_grey() -> None:
    ramp = Pillow.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    colours = ramp.convert("RGB").quantize(8)
    colours.putpalette([value for i in range(8) for value in (i, 0, 255 - i)])
    for picture, channels in ((ramp.convert("LA"), 1), (ramp.quantize(16), 1), (colours, 3)):
        stream = io.BytesIO()
        picture.save(stream, format="PNG")
        assert decode(Encoded(stream.getvalue(), "it")).shape == (16, 16, channels)


def test_skip_corrupt_is_one_budget_of_all_splits(tmp_path: Path) -> None:
    good = encoded("RGB")
    train = [Encoded(data, f"train {i}") for i, data in enumerate([b"bad", good, b"bad", good])]
    other = io.BytesIO()
    Pillow.new("RGB", (5, 9)).save(other, format="PNG")
    test = [Encoded(data, f"test {i}") for i, data in enumerate([good, other.getvalue(), b"bad"])]
    splits = [EncodedSplit.of(train, np.arange(4)), EncodedSplit.of(test, np.arange(3))]
    with pytest.raises(DataError) as caught:
        decode_splits(splits, skip_corrupt=2)
    assert caught.value.message.startswith("test 2")
    assert "skip_corrupt: 3" in (caught.value.help or "")
    decoded, skipped = decode_splits(splits, skip_corrupt=3)
    assert [len(split) for split in decoded] == [2, 2]
    assert len(skipped) == 3
