"""Bad data met by a run: rows 20, 23 and 24 of the acceptance, from the command line.

What each source says of damaged files, forged headers and hostile archives is tested in tests/data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.conftest import Zoo
from tests.conftest import CheckGolden
from tests.data.data_world import write_parquet
from tests.data.large_world import images, write_tar
from zoo.data.sources import parquet

RECIPE = """model: {{architecture: tiny_resnet, classes: {classes}}}
data: {data}
optimizer: {{name: SGD, lr: 0.1}}
train: {{max_steps: 1}}
reports: []
"""
FOLDERS = "{source: image_folder, path: mine, batch_size: 4}"


def recipe(folder: Path, *, classes: int = 10, data: str = "{source: digits}") -> None:
    (folder / "mine.yaml").write_text(RECIPE.format(classes=classes, data=data))


@pytest.fixture
def pictures(here: Path) -> Path:
    """Two classes of small grey images, the second training image of `b` cut short."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = here / "mine" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = random.integers(0, 255, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    victim = here / "mine" / "train" / "b" / "1.png"
    victim.write_bytes(victim.read_bytes()[:-30])
    return here


def test_a_corrupt_image_ends_a_run_before_it_begins(pictures: Path, zoo: Zoo, golden: CheckGolden) -> None:
    recipe(pictures, classes=2, data=FOLDERS)
    outcome = zoo("run", "mine.yaml")
    assert outcome.status == 3
    assert not (pictures / "runs").exists()
    golden("data_corrupt_image.txt", outcome.err.replace(str(pictures), "."))
    recipe(pictures, classes=2, data=FOLDERS[:-1] + ", skip_corrupt: 1}")
    outcome = zoo("run", "mine.yaml")
    assert outcome.status == 0
    assert "corrupt images are left out (data.skip_corrupt): " in outcome.err
    assert "train/b/1.png" in outcome.err


def test_more_classes_in_the_data_than_in_the_head(here: Path, zoo: Zoo, golden: CheckGolden) -> None:
    recipe(here, classes=5)
    outcome = zoo("run", "mine.yaml")
    assert outcome.status == 3
    assert not (here / "runs").exists()
    golden("data_more_classes.txt", outcome.err)
    recipe(here, classes=10)
    assert zoo("run", "mine.yaml", "--dry-run").status == 0  # the control


# Every socket refuses, as on a machine without a network; what is imported beforehand is not measured.
@pytest.fixture
def shards(here: Path) -> Path:
    """Images of several sizes, the same as parquet and as tar shards."""
    for split, seed, count in (("train", 0, 16), ("test", 1, 8)):
        encoded = images(count, seed)
        write_parquet(here / "rows" / f"{split}.parquet", encoded, np.arange(count) % 2, ("ant", "bee"))
        members = [(f"{n}.png", data) for n, data in enumerate(encoded)]
        labels = [(f"{n}.cls", str(n % 2).encode()) for n in range(count)]
        pairs = [member for pair in zip(members, labels, strict=True) for member in pair]
        write_tar(here / "tars" / f"{split}-0.tar", pairs)
    (here / "tars" / "classes.txt").write_text("ant\nbee\n")
    return here


TRAINED = """model: {{architecture: tiny_resnet, classes: 2, width: 4}}
data: {{source: {source}, batch_size: 4}}
transforms:
  train: [{{RandomCrop: {{height: 8, width: 8}}}}, Normalize: {{mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}}]
  eval: [{{CenterCrop: {{height: 8, width: 8}}}}, Normalize: {{mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}}]
optimizer: {{name: SGD, lr: 0.1}}
train: {{epochs: 2}}
reports: []
"""


def test_the_same_images_train_the_same_from_memory_from_the_cache_and_from_tars(
    shards: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, source in (("rows", "parquet, path: rows"), ("tars", "webdataset, path: tars")):
        (shards / f"{name}.yaml").write_text(TRAINED.format(source=source))
    results = []
    for name, limit in (("rows", 1 << 40), ("rows", 0), ("tars", 0)):
        monkeypatch.setattr(parquet, "MOST_BYTES", limit)
        outcome = zoo("run", f"{name}.yaml", "--json", "--device", "cpu")
        assert outcome.status == 0, outcome.err
        result = json.loads(outcome.out)
        results.append((result["train"], result["test"]))
        assert ("GB of images are too many for memory" in outcome.err) == (name == "rows" and limit == 0)
    assert results[1] == results[0]
    assert results[2] == results[0]


def test_a_cache_that_cannot_hold_large_parquet_ends_with_6(
    shards: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shards / "rows.yaml").write_text(TRAINED.format(source="parquet, path: rows"))
    (shards / "file").touch()
    monkeypatch.setattr(parquet, "MOST_BYTES", 0)
    monkeypatch.setenv("ZOO_CACHE", str(shards / "file"))
    outcome = zoo("run", "rows.yaml", "--device", "cpu")
    assert outcome.status == 6
    assert "error[disk]: cannot write " in outcome.err


OFFLINE = """
import socket, sys, time
import torch, zoo.assemble.run
from zoo.cli import main

def refuse(*arguments, **keywords):
    raise OSError(101, "Network is unreachable")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
began, cpu = time.monotonic(), time.process_time()
status = main(sys.argv[1:])
print(status, time.monotonic() - began, time.process_time() - cpu, file=sys.stderr)
"""


@pytest.mark.slow
def test_no_data_set_and_no_network(here: Path, golden: CheckGolden) -> None:
    hidden = {"ZOO_DATA", "ZOO_DATA_MIRROR", "ZOO_CACHE", "XDG_CACHE_HOME", "HOME"}
    env = {key: value for key, value in os.environ.items() if key not in hidden} | {"HOME": str(here / "home")}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "run", "s8_custom_resnet", "--data-dir", "given"],
        cwd=here, env=env | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    *message, last = done.stderr.splitlines()
    status, wall, cpu = (float(part) for part in last.split())
    assert status == 3, done.stderr
    assert cpu < 5
    assert wall < 5 or os.getloadavg()[0] > (os.cpu_count() or 1)  # a machine that is overrun waits for itself
    assert not (here / "runs").exists()
    golden("data_no_network.txt", "\n".join(message).replace(str(here), ".") + "\n")
