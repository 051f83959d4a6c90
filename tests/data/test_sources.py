"""Every source in every form, each made here from real images and decoded to the very same arrays."""

from __future__ import annotations

import gzip
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.data.data_world import PER_CLASS, Pictures, opened, png, write_parquet
from zoo.data.sources import cifar, mnist
from zoo.data.sources.cifar import CIFAR10_CLASSES
from zoo.errors import DataError, UsageError

CIFAR = "{source: cifar10}"


def planes(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def write_pickles(folder: Path, pictures: Pictures) -> Path:
    folder.mkdir(parents=True)
    parts = np.array_split(np.arange(len(pictures.train_labels)), 5)
    for number, part in enumerate(parts, 1):
        batch = {b"data": planes(pictures.train_images[part]), b"labels": pictures.train_labels[part].tolist()}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(batch, protocol=2))
    batch = {b"data": planes(pictures.test_images), b"labels": pictures.test_labels.tolist()}
    (folder / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def records(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None].astype(np.uint8), planes(images)], axis=1).tobytes()


def write_bins(folder: Path, pictures: Pictures) -> Path:
    folder.mkdir(parents=True)
    parts = np.array_split(np.arange(len(pictures.train_labels)), 5)
    for number, part in enumerate(parts, 1):
        data = records(pictures.train_images[part], pictures.train_labels[part])
        (folder / f"data_batch_{number}.bin").write_bytes(data)
    (folder / "test_batch.bin").write_bytes(records(pictures.test_images, pictures.test_labels))
    return folder


def tar(path: Path, folder: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    return path


def python_tar(root: Path, pictures: Pictures) -> None:
    tar(root / "cifar-10-python.tar.gz", write_pickles(root.parent / "made" / "cifar-10-batches-py", pictures))


def python_folder(root: Path, pictures: Pictures) -> None:
    write_pickles(root / "cifar-10-batches-py", pictures)


def binary_tar(root: Path, pictures: Pictures) -> None:
    tar(root / "cifar-10-binary.tar.gz", write_bins(root.parent / "made" / "cifar-10-batches-bin", pictures))


def binary_folder(root: Path, pictures: Pictures) -> None:
    write_bins(root / "cifar-10-batches-bin", pictures)


def bins_alone(root: Path, pictures: Pictures) -> None:
    write_bins(root, pictures)


def parquet(root: Path, pictures: Pictures) -> None:
    half = len(pictures.train_labels) // 2
    for number, part in enumerate((slice(0, half), slice(half, None))):
        images = [png(image) for image in pictures.train_images[part]]
        write_parquet(root / f"train-0000{number}-of-00002.parquet", images, pictures.train_labels[part])
    images = [png(image) for image in pictures.test_images]
    write_parquet(root / "test-00000-of-00001.parquet", images, pictures.test_labels)


def class_folders(root: Path, pictures: Pictures) -> None:
    for split, images, labels in (
        ("train", pictures.train_images, pictures.train_labels),
        ("test", pictures.test_images, pictures.test_labels),
    ):
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = root / split / CIFAR10_CLASSES[label] / f"{index:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))


FORMS = [python_tar, python_folder, binary_tar, binary_folder, bins_alone, parquet]
Make = Callable[[Path, Pictures], None]


@pytest.mark.parametrize("make", FORMS)
def test_every_form_of_cifar10_decodes_identically(make: Make, lonely: Path, pictures: Pictures) -> None:
    root = lonely / "elsewhere"
    make(root, pictures)
    dataset = opened(CIFAR, root)
    np.testing.assert_array_equal(dataset.train.images, pictures.train_images)
    np.testing.assert_array_equal(dataset.train.labels, pictures.train_labels)
    np.testing.assert_array_equal(dataset.test.images, pictures.test_images)
    np.testing.assert_array_equal(dataset.test.labels, pictures.test_labels)
    assert dataset.classes == CIFAR10_CLASSES
    assert dataset.image_shape == (3, 32, 32)


def test_image_folders_of_cifar10_come_class_by_class(lonely: Path, pictures: Pictures) -> None:
    class_folders(lonely / "data" / "cifar10", pictures)
    dataset = opened(CIFAR)
    order = np.argsort(pictures.train_labels, kind="stable")
    np.testing.assert_array_equal(dataset.train.images, pictures.train_images[order])
    np.testing.assert_array_equal(dataset.train.labels, pictures.train_labels[order])


def test_fingerprint_is_of_content_not_form(lonely: Path, pictures: Pictures) -> None:
    prints = set()
    for make in (python_folder, parquet):
        make(lonely / make.__name__, pictures)
        prints.add(opened(CIFAR, lonely / make.__name__).fingerprint)
    assert len(prints) == 1
    other = Pictures(255 - pictures.train_images, pictures.train_labels, pictures.test_images, pictures.test_labels)
    parquet(lonely / "other", other)
    assert opened(CIFAR, lonely / "other").fingerprint not in prints


def test_places_are_searched_in_order(lonely: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [lonely / "given", lonely / "variable", lonely / "data", lonely / "cache" / "zoo" / "data"]
    monkeypatch.setenv("ZOO_DATA", str(places[1]))
    for at in reversed(range(4)):
        python_folder(places[at] / "cifar10", pictures)
        found = opened(CIFAR, places[0]).found
        relative = "data/cifar10 (" if at == 2 else f"{places[at]}/cifar10 ("
        assert found.startswith(relative), found


@pytest.mark.parametrize("given", ["--data-dir", "$ZOO_DATA", "$ZOO_CACHE", "data.path"])
def test_a_path_below_the_home_of_nobody_is_told(given: str, lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, section = "~no-such-user/data", CIFAR
    if given.startswith("$"):
        monkeypatch.setenv(given[1:], path)
    if given == "data.path":
        section = f"{{source: image_folder, path: {path}}}"
    with pytest.raises(UsageError, match="the home folder of ~no-such-user is not known") as caught:
        opened(section, Path(path) if given == "--data-dir" else None)
    assert caught.value.message.startswith(given)
    assert (caught.value.span is not None) == (given == "data.path")


def test_mean_and_std_are_those_of_the_training_split(lonely: Path, pictures: Pictures) -> None:
    python_folder(lonely / "data", pictures)
    dataset = opened(CIFAR)
    pixels = pictures.train_images.reshape(-1, 3) / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(dataset.std, pixels.std(axis=0), rtol=1e-9)
    assert not np.allclose(dataset.mean, pictures.test_images.reshape(-1, 3).mean(axis=0) / 255, rtol=1e-9)


def test_cifar100_reads_fine_labels(lonely: Path, pictures: Pictures) -> None:
    for name, images in (("train", pictures.train_images), ("test", pictures.test_images)):
        labels = np.arange(len(images)) * 2 % 100
        batch = {b"data": planes(images), b"fine_labels": labels.tolist(), b"coarse_labels": (labels // 5).tolist()}
        (lonely / "p" / "cifar-100-python").mkdir(parents=True, exist_ok=True)
        (lonely / "p" / "cifar-100-python" / name).write_bytes(pickle.dumps(batch, protocol=2))
        rows = np.concatenate([(labels[:, None] // 5), labels[:, None], planes(images)], axis=1).astype(np.uint8)
        (lonely / "b").mkdir(exist_ok=True)
        (lonely / "b" / f"{name}.bin").write_bytes(rows.tobytes())
    pickled, binary = (opened("{source: cifar100}", lonely / form) for form in "pb")
    np.testing.assert_array_equal(pickled.train.labels, np.arange(len(pictures.train_labels)) * 2 % 100)
    np.testing.assert_array_equal(pickled.train.images, pictures.train_images)
    assert pickled.fingerprint == binary.fingerprint
    assert len(pickled.classes) == 100


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, labels: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(idx(np.zeros((len(labels), 28, 28))))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))


def found_as(data_dir: Path) -> list[str]:
    """Which of the two sets is found below a data place."""
    found = []
    for source in ("mnist", "fashion_mnist"):
        try:
            found.append(opened(f"{{source: {source}}}", data_dir).name)
        except DataError:
            continue
    return found


@pytest.mark.parametrize(("inner", "source"), [("mnist", "mnist"), ("MNIST/raw", "mnist"), ("", "mnist"),
                                               ("fashion-mnist", "fashion_mnist")])  # fmt: skip
def test_names_above_the_data_place_have_no_say(inner: str, source: str, lonely: Path) -> None:
    write_idx(lonely / "fashion-shop" / "data" / inner, np.arange(30) % 10)
    assert found_as(lonely / "fashion-shop" / "data") == [source]


@pytest.mark.parametrize(
    ("source", "first"),
    [("mnist", [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3]), ("fashion_mnist", [9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0])],
)
@pytest.mark.parametrize("inner", ["", "fashion/MNIST/raw"])
def test_the_real_sets_are_told_apart_by_their_labels(source: str, first: list[int], inner: str, lonely: Path) -> None:
    write_idx(lonely / "place" / inner, np.array(first))
    assert found_as(lonely / "place" / inner.removesuffix("/MNIST/raw")) == [source]


@pytest.mark.parametrize(("source", "inner"), [("mnist", "MNIST/raw"), ("fashion_mnist", "FashionMNIST/raw")])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist_idx_files(source: str, inner: str, packed: bool, lonely: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    labels = np.arange(30) % 10
    folder = lonely / "data" / inner
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx(array)
            path = folder / f"{split}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)
    dataset = opened(f"{{source: {source}}}")
    np.testing.assert_array_equal(dataset.train.images, images[..., None])
    np.testing.assert_array_equal(dataset.test.labels, labels)
    assert dataset.image_shape == (1, 28, 28)
    other = {"mnist": "fashion_mnist", "fashion_mnist": "mnist"}[source]
    with pytest.raises(DataError, match="was not found"):  # the files bear the same names
        opened(f"{{source: {other}}}")


def test_digits_are_split_the_same_way_every_time() -> None:
    first, second = opened("{source: digits}"), opened("{source: digits}", seed=5)
    assert (len(first.train), len(first.test)) == (1438, 359)
    assert first.fingerprint == second.fingerprint
    assert first.image_shape == (1, 8, 8)
    shares = np.bincount(first.test.labels) / np.bincount(np.concatenate([first.train.labels, first.test.labels]))
    assert np.abs(shares - 0.2).max() < 0.005
    assert first.train.images is not None
    assert first.train.images.max() == 255


def test_synthetic_is_a_function_of_its_arguments() -> None:
    text = "{source: synthetic, shape: [1, 12, 10], classes: 3, train: 9, test: 6}"
    dataset = opened(text)
    assert dataset.image_shape == (1, 12, 10)
    assert dataset.train.labels.tolist() == [0, 1, 2] * 3
    assert dataset.fingerprint == opened(text, seed=1).fingerprint
    assert dataset.fingerprint != opened(text[:-1] + ", data_seed: 1}").fingerprint


def test_image_folder_of_many_sizes_is_decoded_on_demand(lonely: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3), ("val", 2)):
        for label in ("ant", "bee"):
            for number in range(count):
                path = lonely / "insects" / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Pillow.fromarray(random.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)).save(path)
    dataset = opened("{source: image_folder, path: insects}")
    assert dataset.classes == ("ant", "bee")
    assert [len(split) for split in (dataset.train, dataset.test, dataset.validation or [])] == [12, 6, 4]
    assert dataset.train.images is None
    assert dataset.train.image(3).shape == (23, 30, 3)
    assert dataset.train.id(3).endswith("insects/train/ant/3.png")


def test_image_folder_of_one_size_lies_in_memory(lonely: Path, pictures: Pictures) -> None:
    class_folders(lonely / "mine", pictures)
    dataset = opened("{source: image_folder, path: mine}")
    assert dataset.train.images is not None
    assert dataset.train.images.shape == (10 * PER_CLASS, 32, 32, 3)


def test_parquet_source_takes_class_names_from_the_files(lonely: Path, pictures: Pictures) -> None:
    parquet(lonely / "mine", pictures)
    dataset = opened("{source: parquet, path: mine}")
    assert dataset.classes == CIFAR10_CLASSES
    np.testing.assert_array_equal(dataset.train.images, pictures.train_images)


def test_a_parquet_of_three_splits_has_all_three(lonely: Path, pictures: Pictures) -> None:
    parquet(lonely / "mine", pictures)
    images = [png(image) for image in pictures.test_images[:6]]
    path = next((lonely / "mine").rglob("test*.parquet")).with_name("validation.parquet")
    write_parquet(path, images, pictures.test_labels[:6])
    dataset = opened("{source: parquet, path: mine}")
    assert dataset.validation is not None
    assert dataset.validation.labels.tolist() == pictures.test_labels[:6].tolist()
    assert len(dataset.test) == len(pictures.test_labels)
    write_parquet(path, images, np.array([0, 1, 2, 10, 4, 5]))
    with pytest.raises(DataError, match=r"validation\.parquet row 3: label 10 is outside the 10 classes"):
        opened("{source: parquet, path: mine}")


def test_parquet_of_another_set_is_not_taken_for_cifar10(lonely: Path, pictures: Pictures) -> None:
    digits = [str(number) for number in range(10)]
    images = [png(image) for image in pictures.test_images]
    for split in ("train", "test"):
        write_parquet(lonely / "data" / f"{split}.parquet", images, pictures.test_labels, digits)
    with pytest.raises(DataError, match="was not found"):
        opened(CIFAR)


def test_validation_is_stratified_and_by_the_seed_alone(lonely: Path, pictures: Pictures) -> None:
    python_folder(lonely / "data", pictures)
    text = "{source: cifar10, validation: 0.2}"
    first, again, other = opened(text), opened(text), opened(text, seed=1)
    assert first.validation is not None
    assert again.validation is not None
    assert other.validation is not None
    assert np.bincount(first.validation.labels).tolist() == [PER_CLASS // 5] * 10
    assert len(first.train) + len(first.validation) == len(pictures.train_labels)
    assert first.fingerprint == again.fingerprint
    assert first.validation.fingerprint() != other.validation.fingerprint()
    kept = {image.tobytes() for image in first.train.images} if first.train.images is not None else set()
    assert not kept & {first.validation.image(at).tobytes() for at in range(len(first.validation))}


@pytest.mark.slow
def test_whole_cifar10(shared_dir: Path) -> None:
    dataset = opened(CIFAR, shared_dir / "data")
    assert (len(dataset.train), len(dataset.test)) == (50_000, 10_000)
    # The figures every CIFAR-10 script carries.
    np.testing.assert_allclose(dataset.mean, (0.4914, 0.4822, 0.4465), atol=1e-4)
    np.testing.assert_allclose(dataset.std, (0.2470, 0.2435, 0.2616), atol=1e-4)


def test_checksums_are_torchvisions() -> None:
    from torchvision import datasets

    assert cifar._CIFAR10_SET.remotes[0].md5 == datasets.CIFAR10.tgz_md5
    assert cifar._CIFAR10_SET.remotes[0].url == datasets.CIFAR10.url
    assert cifar._CIFAR100_SET.remotes[0].md5 == datasets.CIFAR100.tgz_md5
    for known, reference in ((mnist._MNIST_SET, datasets.MNIST), (mnist._FASHION_SET, datasets.FashionMNIST)):
        assert [(remote.name, remote.md5) for remote in known.remotes] == reference.resources
        assert known.remotes[0].url.startswith(tuple(reference.mirrors))
