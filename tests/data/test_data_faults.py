"""Bad data: corrupt images, forged headers, hostile archives, cut-off downloads, no network: a DataError each."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import features

from tests.data.data_world import Pictures, opened, png, write_parquet
from tests.data.test_sources import CIFAR, class_folders, idx, python_folder, python_tar, write_pickles
from zoo.data import archives
from zoo.data.decoding import Encoded, decode
from zoo.errors import ConfigError, DataError


def forged_png(width: int, height: int) -> bytes:
    """A PNG whose header declares a size and whose data hold one row of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(3 * 32 + 1))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def folder(lonely: Path, pictures: Pictures) -> Path:
    class_folders(lonely / "mine", pictures)
    return lonely / "mine"


MINE = "{source: image_folder, path: mine}"


def test_a_truncated_image_is_named(folder: Path) -> None:
    victim = sorted((folder / "train" / "cat").iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"train/cat/\d+\.png: cannot be decoded: .*truncated") as caught:
        opened(MINE)
    assert caught.value.exit_code == 3
    assert "skip_corrupt: 1" in (caught.value.help or "")


def test_flipped_bits_are_noticed(folder: Path) -> None:
    victim = sorted((folder / "test" / "dog").iterdir())[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0xFF
    victim.write_bytes(bytes(data))
    with pytest.raises(DataError, match="test/dog"):
        opened(MINE)


def test_no_damage_to_a_png_passes_unseen(pictures: Pictures) -> None:
    whole = png(pictures.test_images[0])
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        data[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            decoded = decode(Encoded(bytes(data), "x"))
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(decoded, pictures.test_images[0])
    assert refused > 290
    np.testing.assert_array_equal(decode(Encoded(whole, "x")), pictures.test_images[0])


MODES = {  # those that Pillow writes
    "PNG": ("RGB", "L", "P", "RGBA", "LA", "1", "I;16"),
    "BMP": ("RGB", "L", "P", "RGBA", "1"),
    "TIFF": ("RGB", "L", "P", "RGBA", "LA", "1", "CMYK", "I;16"),
    "JPEG": ("RGB", "L", "1", "CMYK"),
}


@pytest.mark.parametrize(("form", "mode"), [(form, mode) for form, modes in MODES.items() for mode in modes])
def test_every_mode_decodes_as_pillow_converts_it(mode: str, form: str, pictures: Pictures) -> None:
    stream = io.BytesIO()
    image = Pillow.fromarray(pictures.test_images[1])
    grey = np.asarray(image.convert("L"), dtype=np.uint16)
    image = Pillow.fromarray(grey * 257) if mode == "I;16" else image.convert(mode)
    image.save(stream, format=form)
    saved = Encoded(stream.getvalue(), "x")
    again = Pillow.open(io.BytesIO(stream.getvalue()))
    if mode == "I;16":  # Pillow would clip it at 255
        again = Pillow.fromarray((np.asarray(again) >> 8).astype(np.uint8))
    for channels, wanted in ((3, "RGB"), (1, "L")):
        expected = np.asarray(again.convert(wanted)).reshape(32, 32, channels)
        np.testing.assert_array_equal(decode(saved, channels), expected)


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_a_ramp_of_16_bits_stays_a_ramp(channels: int | None) -> None:
    stream = io.BytesIO()
    Pillow.fromarray(np.linspace(0, 65535, 256, dtype=np.uint16)[None]).save(stream, format="PNG")
    decoded = decode(Encoded(stream.getvalue(), "x"), channels)
    assert decoded.shape == (1, 256, channels or 1)  # grey
    assert decoded[0, :, -1].tolist() == list(range(256))


@pytest.mark.parametrize(("dtype", "said"), [(np.float32, "floating-point numbers"), (np.int32, "32-bit integers")])
def test_numbers_whose_range_nobody_knows_are_refused(dtype: type, said: str) -> None:
    stream = io.BytesIO()
    Pillow.fromarray(np.ones((4, 4), dtype)).save(stream, format="TIFF")
    with pytest.raises(DataError, match=rf"photos/a\.tif: its pixels are {said}") as caught:
        decode(Encoded(stream.getvalue(), "photos/a.tif"))
    assert "8 or 16 bits" in (caught.value.help or "")


def test_a_forged_size_is_refused_before_decoding(folder: Path) -> None:
    victim = sorted((folder / "train" / "ship").iterdir())[0]
    victim.write_bytes(forged_png(100_000, 100_000))
    began = time.monotonic()
    with pytest.raises(DataError, match=r"train/ship/\d+\.png: refused before decoding"):
        opened(MINE)
    victim.write_bytes(forged_png(9_000, 9_000))
    with pytest.raises(DataError, match="it declares 9000 x 9000 pixels"):
        opened(MINE)
    assert time.monotonic() - began < 5


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_broken_avif_is_told_whatever_pillow_raises() -> None:
    file = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(file, "AVIF")
    whole = file.getvalue()
    told = set()
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        try:
            decode(Encoded(bytes(broken), "a.avif"))
        except DataError as error:
            told.add((error.message.split(": ")[1], type(error.__cause__)))
    assert {("not an image", RuntimeError), ("cannot be decoded", RuntimeError)} <= told


def test_skip_corrupt_counts_and_goes_on(folder: Path, pictures: Pictures) -> None:
    for victim in sorted((folder / "train" / "cat").iterdir())[:2]:
        victim.write_bytes(b"no image")
    with pytest.raises(DataError):
        opened(MINE[:-1] + ", skip_corrupt: 1}")
    dataset = opened(MINE[:-1] + ", skip_corrupt: 2}")
    assert len(dataset.train) == len(pictures.train_labels) - 2
    assert len(dataset.skipped) == 2
    assert all("train/cat" in message for message in dataset.skipped)
    sorted((folder / "test" / "dog").iterdir())[0].write_bytes(b"")
    with pytest.raises(DataError, match="test/dog"):  # the number is of all splits together
        opened(MINE[:-1] + ", skip_corrupt: 2}")


def test_skip_corrupt_among_images_of_many_sizes(folder: Path) -> None:
    Pillow.new("RGB", (50, 40)).save(folder / "train" / "cat" / "large.png")
    (folder / "train" / "cat" / "broken.png").write_bytes(b"no image")
    dataset = opened(MINE[:-1] + ", skip_corrupt: 1}")
    assert dataset.train.images is None
    assert len(dataset.skipped) == 1
    shapes = {dataset.train.image(index).shape for index in range(len(dataset.train))}
    assert shapes == {(32, 32, 3), (40, 50, 3)}
    lazy = opened(MINE)  # without it the image is met when it is asked for, and named
    broken = next(index for index in range(len(lazy.train)) if lazy.train.id(index).endswith("broken.png"))
    with pytest.raises(DataError, match=r"broken\.png: not an image"):
        lazy.train.image(broken)


def test_one_colour_image_among_grey_ones_keeps_its_colours(lonely: Path) -> None:
    for split in ("train", "test"):
        for number in range(3):
            path = lonely / "mine" / split / "a" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.new("L" if number < 2 else "RGB", (8, 8), 77 if number < 2 else (9, 99, 199)).save(path)
    dataset = opened(MINE)
    assert dataset.image_shape == (3, 8, 8)
    assert dataset.train.image(2)[0, 0].tolist() == [9, 99, 199]


def test_labels_out_of_range_are_named(lonely: Path, pictures: Pictures) -> None:
    images = [png(image) for image in pictures.test_images]
    labels = pictures.test_labels.copy()
    labels[3] = 10
    write_parquet(lonely / "data" / "train.parquet", images, labels)
    write_parquet(lonely / "data" / "test.parquet", images, pictures.test_labels)
    with pytest.raises(DataError, match=r"train\.parquet row 3: label 10 is outside the 10 classes"):
        opened(CIFAR)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch"])
def test_damaged_pickles_and_bins(file: str, lonely: Path, pictures: Pictures) -> None:
    python_folder(lonely / "data", pictures)
    path = lonely / "data" / "cifar-10-batches-py" / file
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"\x80\x02K\x01.", whole[:-1]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"{file}: not a batch of cifar-10"):
            opened(CIFAR)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00nope\x86R.",  # LookupError
        b"\x80\x02cnumpy\nndarray\nI17592186044416\n\x85\x81.",  # MemoryError: 128 TiB
    ],
)
def test_a_pickle_that_asks_for_nonsense_is_told(data: bytes, lonely: Path, pictures: Pictures) -> None:
    python_folder(lonely / "data", pictures)
    (lonely / "data" / "cifar-10-batches-py" / "data_batch_1").write_bytes(data)
    with pytest.raises(DataError, match="data_batch_1: not a batch of cifar-10"):
        opened(CIFAR)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_malicious_pickle_is_refused(lonely: Path, pictures: Pictures) -> None:
    canary = lonely / "canary"
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()  # the control: it does work
    canary.unlink()
    python_folder(lonely / "data", pictures)
    (lonely / "data" / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(DataError, match="refused: it asks for"):
        opened(CIFAR)
    assert not canary.exists()


def hostile(root: Path, member: tarfile.TarInfo, data: bytes = b"") -> None:
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(data))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (member("../data_batch_1"), "lies outside"),
        (member("cifar/../../data_batch_1"), "lies outside"),
        (member("/tmp/data_batch_1"), "lies outside"),
        (member("data_batch_1", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (member("data_batch_1", tarfile.LNKTYPE, "../x"), "a link"),
        (member("data_batch_1", tarfile.CHRTYPE), "a link or a device"),
    ],
)
def test_hostile_archives_are_refused(info: tarfile.TarInfo, why: str, lonely: Path) -> None:
    root = lonely / "deep" / "data"
    root.mkdir(parents=True)
    hostile(root, info)
    before = sorted(lonely.rglob("*"))
    with pytest.raises(DataError, match=f"refused: .*{why}"):
        opened(CIFAR, root)
    assert sorted(lonely.rglob("*")) == before


def test_a_bomb_is_refused_without_unpacking_it(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1 << 20)
    hostile(lonely, member("data_batch_1", size=1 << 26), bytes(1 << 26))
    began = time.monotonic()
    with pytest.raises(DataError, match="refused: over"):
        opened(CIFAR, lonely)
    assert time.monotonic() - began < 2


def test_a_cut_off_archive(lonely: Path, pictures: Pictures) -> None:
    python_tar(lonely / "data", pictures)
    path = lonely / "data" / "cifar-10-python.tar.gz"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match="not a readable archive"):
        opened(CIFAR)


def test_damaged_idx_files(lonely: Path) -> None:
    folder = lonely / "data" / "mnist"
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 28, 28))))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.zeros(3)))
    path = folder / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:9], whole[:4] + b"\xff" * 12 + whole[16:], b"\0\0\x0d\x03" + whole[4:]):
        path.write_bytes(data)
        with pytest.raises(DataError, match="train-images"):
            opened("{source: mnist}")
    path.rename(path.with_suffix(".gz"))
    path.with_suffix(".gz").write_bytes(gzip.compress(whole)[:-12])
    with pytest.raises(DataError, match=r"train-images.*\.gz: cannot be read"):
        opened("{source: mnist}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{source: cifar11}", "there is no data source 'cifar11'"),
        ("{source: cifar10, batchsize: 5}", "unknown key 'batchsize'"),
        ("{source: cifar10, batch_size: 0}", "expected at least 1, got 0"),
        ("{source: cifar10, validation: 1.0}", "expected less than 1"),
        ("{source: synthetic, classes: true}", "got true"),
        ("{batch_size: 5}", "source is missing"),
        ("{source: [1]}", "a source is a name"),
    ],
)
def test_a_wrong_section_is_a_config_error(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(text)
    assert said in caught.value.message
    assert caught.value.span is not None


def test_validation_of_a_set_that_brings_its_own(folder: Path, pictures: Pictures) -> None:
    (folder / "val" / "cat").mkdir(parents=True)
    (folder / "val" / "cat" / "1.png").write_bytes(png(pictures.test_images[0]))
    with pytest.raises(DataError, match="validation split of its own"):
        opened(MINE[:-1] + ", validation: 0.1}")


def test_a_class_that_training_lacks(folder: Path) -> None:
    (folder / "test" / "unicorn").mkdir()
    with pytest.raises(DataError, match="unicorn: no class of the training split"):
        opened(MINE)


def test_made_pickles_need_the_same_number_of_labels(lonely: Path, pictures: Pictures) -> None:
    write_pickles(lonely / "data" / "cifar-10-batches-py", pictures)
    path = lonely / "data" / "cifar-10-batches-py" / "data_batch_2"
    batch = pickle.loads(path.read_bytes(), encoding="bytes")
    batch[b"labels"].pop()
    path.write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError, match="10 images and 9 labels"):
        opened(CIFAR)
