"""Which set it is that lies there: names, labels and places that are told apart, or not taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.data_world import Pictures, opened, png, section, write_parquet
from tests.data.test_sources import CIFAR, class_folders, parquet
from zoo.data import open_dataset, parse_data, sources
from zoo.data.places import Places, cache_folder
from zoo.data.sources import cifar, mnist
from zoo.data.sources.cifar import CIFAR10_CLASSES
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, read_file
from zoo.errors import ConfigError, DataError, EnvironmentFault


def test_every_source_says_what_it_is() -> None:
    assert all(sources[name].doc and sources[name].name == name for name in sources)


@pytest.mark.parametrize(("name", "meant"), [("wds", "webdataset"), ("tar", "webdataset"), ("HuggingFace", "parquet")])
def test_what_others_call_a_source_is_known(name: str, meant: str) -> None:
    diagnostics = Diagnostics()
    parse_data(section(f"{{source: {name}}}"), diagnostics)
    assert [(item.code, item.help) for item in diagnostics] == [("unknown-source", f"did you mean {meant}?")]


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_nameless_parquet_of_ones_own_is_no_known_set(source: str, lonely: Path) -> None:
    images = [png(np.full((28, 28), grey, np.uint8)) for grey in range(3)]
    for split in ("train", "test"):
        write_parquet(lonely / "data" / f"{split}.parquet", images, np.arange(3), names=None)
    with pytest.raises(DataError, match="was not found"):
        opened(f"{{source: {source}}}")


def test_nameless_parquet_counts_in_a_folder_of_the_sets_name_if_its_images_are_of_that_size(
    lonely: Path, pictures: Pictures
) -> None:
    for split in ("train", "test"):
        images = [png(image) for image in pictures.test_images]
        write_parquet(lonely / "data" / "cifar10" / f"{split}.parquet", images, pictures.test_labels, names=None)
        write_parquet(lonely / "data" / "mnist" / f"{split}.parquet", images, pictures.test_labels, names=None)
    assert len(opened(CIFAR).test) == len(pictures.test_labels)
    with pytest.raises(DataError, match="was not found"):
        opened("{source: mnist}")


def test_classes_in_another_order_are_another_set(lonely: Path, pictures: Pictures) -> None:
    images = [png(image) for image in pictures.test_images]
    for split in ("train", "test"):
        path = lonely / "data" / f"{split}.parquet"
        write_parquet(path, images, pictures.test_labels, names=CIFAR10_CLASSES[::-1])
    with pytest.raises(DataError, match="was not found"):
        opened(CIFAR)


def test_one_odd_spelling_is_the_same_set(lonely: Path, pictures: Pictures) -> None:
    images = [png(image) for image in pictures.test_images]
    names = ["plane" if name == "airplane" else name for name in CIFAR10_CLASSES]
    for split in ("train", "test"):
        write_parquet(lonely / "data" / f"{split}.parquet", images, pictures.test_labels, names=names)
    assert opened(CIFAR).classes == CIFAR10_CLASSES


def test_a_missing_shard_is_named(lonely: Path, pictures: Pictures) -> None:
    parquet(lonely / "mine", pictures)
    (lonely / "mine" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"train-00000-of-00002\.parquet is not there"):
        opened("{source: parquet, path: mine}")


def test_a_split_that_lies_there_twice_is_taken_once(lonely: Path, pictures: Pictures) -> None:
    parquet(lonely / "mine", pictures)
    parquet(lonely / "mine" / "data", pictures)
    assert len(opened("{source: parquet, path: mine}").train) == len(pictures.train_labels)


def test_hidden_files_are_no_images(lonely: Path, pictures: Pictures) -> None:
    class_folders(lonely / "mine", pictures)
    ship = lonely / "mine" / "train" / "ship"
    (ship / "._0.png").write_bytes(b"what macOS leaves")
    (ship / ".ipynb_checkpoints").mkdir()
    (ship / ".ipynb_checkpoints" / "copy.png").write_bytes(png(pictures.train_images[0]))
    assert len(opened("{source: image_folder, path: mine}").train) == len(pictures.train_labels)


def test_ones_own_files_lie_beside_the_recipe_that_names_them_unless_a_place_was_named(
    lonely: Path, pictures: Pictures
) -> None:
    class_folders(lonely / "mine" / "photos", pictures)
    recipe = lonely / "mine" / "recipe.yaml"
    recipe.write_text("{source: image_folder, path: photos}")
    beside = read_file(recipe, Diagnostics())
    assert isinstance(beside, Mapping)
    assert open_dataset(beside).folder == lonely / "mine" / "photos"
    with pytest.raises(DataError, match="no image folders"):  # a path that stands in no file, as on the command line
        opened("{source: image_folder, path: photos}")
    class_folders(lonely / "named" / "photos", pictures)
    assert open_dataset(beside, data_dir=Path("named")).folder == Path("named/photos")


def test_a_class_without_an_image_is_told(lonely: Path, pictures: Pictures) -> None:
    class_folders(lonely / "mine", pictures)
    cow = lonely / "mine" / "train" / "cow"
    cow.mkdir()
    with pytest.raises(DataError, match="cow: a class without an image"):
        opened("{source: image_folder, path: mine}")
    (cow / "1.heic").write_bytes(b"a photo")
    with pytest.raises(DataError) as caught:
        opened("{source: image_folder, path: mine}")
    assert "1.heic bears no image's name" in str(caught.value.notes)
    (cow / "1.heic").rename(cow / "1.jfif")
    (cow / "1.jfif").write_bytes(png(pictures.train_images[0]))
    assert "cow" in opened("{source: image_folder, path: mine}").classes


@pytest.mark.parametrize("settings", ["data_seed: -1", "shape: [3, -8, 8]", "shape: [0, 8, 8]", "noise: .inf"])
def test_synthetic_images_that_cannot_be_made_are_refused(settings: str) -> None:
    with pytest.raises(ConfigError, match=f"data: {settings.partition(':')[0]}"):
        opened(f"{{source: synthetic, {settings}}}")


def test_a_data_place_is_the_users_own_folder_where_it_begins_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert Places(Path("~/sets")).home == Path("/home/someone/sets")


def test_a_named_place_called_data_is_where_downloads_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    assert Places(Path("data")).home == Path("data")
    assert Places().home == cache_folder()
    monkeypatch.setenv("ZOO_DATA", "./data")
    assert Places().home == Path("data")


@pytest.mark.parametrize("address", ["file:///nowhere/at/all", "http://127.0.0.1:9"])
def test_a_mirror_that_is_none_is_told(address: str, lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA_MIRROR", address)
    with pytest.raises(DataError, match="cannot be reached"):
        opened(CIFAR)


def test_a_data_place_that_is_a_file_is_told(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lonely / "mirror").mkdir()
    (lonely / "mirror" / "cifar-10-python.tar.gz").write_bytes(b"no tar")
    monkeypatch.setenv("ZOO_DATA_MIRROR", (lonely / "mirror").as_uri())
    (lonely / "a_file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        opened(CIFAR, lonely / "a_file")
    with pytest.raises(DataError, match="its MD5 is"):
        opened(CIFAR, lonely / "elsewhere")


def test_one_mirror_serves_both_sets_whose_files_bear_the_same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA_MIRROR", "http://mirror/sets/")
    remotes = (*mnist._MNIST_SET.remotes, *mnist._FASHION_SET.remotes, *cifar._CIFAR10_SET.remotes)
    assert len({remote.address for remote in remotes}) == len(remotes)
    assert remotes[-1].address == "http://mirror/sets/cifar-10-python.tar.gz"


def test_a_folder_that_is_misspelt_is_told_where_it_stands(lonely: Path, pictures: Pictures) -> None:
    class_folders(lonely / "photos", pictures)
    with pytest.raises(DataError) as caught:
        opened("{source: image_folder, path: photoz}")
    assert str(caught.value.span) == "recipe.yaml:1:30"
    assert caught.value.help == "did you mean photos?"
    assert f"looked at {lonely / 'photoz'}, not there" in [note.message for note in caught.value.notes]
    (lonely / "flat" / "cat").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        opened("{source: image_folder, path: flat}")
    assert f"looked at {lonely / 'flat'}" in [note.message for note in caught.value.notes]
    assert caught.value.help == "mend data.path, or name the folder that it lies in with --data-dir"
