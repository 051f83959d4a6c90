"""A CPU's memory is kept between steps, and given back afterwards. Each test has a heap of its own: a process's."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from zoo.train import allocator

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="wants glibc's malloc")

FEW = 24  # faults: half as many as such a block costs in pages of 2 MB
PRELUDE = """
import json, resource
from contextlib import suppress
from pathlib import Path
import torch
from zoo.train.allocator import kept_memory, spared_memory

CPU, MEGABYTES = torch.device("cpu"), 96  # above 32, from which glibc maps every block anew

def block():
    torch.ones(MEGABYTES << 18)

def faults():
    for _ in range(10):  # a block's edges go to small blocks' lists first, and it serves no other of its size
        block()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

told = {}
"""


def told_by(code: str, **environment: str) -> dict[str, Any]:
    """What a program of its own puts into ``told``."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}{code}\nprint(json.dumps(told))"],
        env=bare | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_freed_block_serves_the_next_tensor_until_the_last_holder_ends() -> None:
    told = told_by("""
with kept_memory(torch.device("cuda")):
    told["on a GPU"] = faults()
with kept_memory(CPU):
    told["inside"] = faults()
    with suppress(ValueError), kept_memory(CPU):
        raise ValueError
    told["still inside"] = faults()
    held = megabytes()
told["given back"] = held - megabytes()
MEGABYTES = 256  # more than lies free in the heap
told["after"] = faults()
""")
    assert told["inside"] <= FEW < told["on a GPU"]
    assert told["still inside"] <= FEW < told["after"]
    assert told["given back"] > 90


def test_spared_memory_goes_back_block_by_block_though_kept_within() -> None:
    """Left alone, glibc raises the size from which on a block goes back, to that of blocks which were freed."""
    told = told_by("""
MEGABYTES = 24
with suppress(ValueError), kept_memory(CPU):
    raise ValueError
torch.empty(30 << 20, dtype=torch.uint8)
with spared_memory(CPU):
    told["spared"] = faults()
    with kept_memory(CPU):
        told["within"] = faults()
with kept_memory(CPU):
    told["kept"] = faults()
""")
    assert told["kept"] <= FEW < min(told["spared"], told["within"])


def test_settings_of_the_user_stay() -> None:
    told = told_by("with kept_memory(CPU):\n    told['inside'] = faults()", MALLOC_TRIM_THRESHOLD_="131072")
    assert told["inside"] > FEW


@pytest.mark.parametrize(
    ("name", "value", "is_one"),
    [
        ("MALLOC_MMAP_MAX_", "65536", True),
        ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", True),
        ("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=512", False),
        ("MALLOC_ARENA_MAX", "1", False),
    ],
)
def test_what_counts_as_a_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str, is_one: bool) -> None:
    for other in (*allocator._OF_THE_USER, "GLIBC_TUNABLES"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert allocator._is_set_by_user() == is_one


def test_a_training_keeps_its_memory_between_steps() -> None:
    told = told_by("""
from tests.train.small_world import Small, small_training
from zoo.events import StepLogged
from zoo.train import fit
steps = fit(small_training(Small(train={"epochs": 1}), None))
told["between"] = [faults() for event in steps if isinstance(event, StepLogged)]
""")
    assert told["between"]
    assert max(told["between"]) <= FEW


def test_what_the_steps_left_free_is_not_kept_beside_what_a_test_takes() -> None:
    told = told_by("""
from tests.train.small_world import Small, small_training
from zoo.events import EpochFinished, StepLogged
from zoo.train import fit
told["given back"] = []
for event in fit(small_training(Small(train={"epochs": 2}), None)):
    if isinstance(event, StepLogged):
        block()
        held = megabytes()
    elif isinstance(event, EpochFinished):
        told["given back"].append(held - megabytes())
""")
    assert len(told["given back"]) == 2
    assert min(told["given back"]) > 90


def test_what_reading_the_data_left_free_goes_back_on_every_device() -> None:
    told = told_by("""
from contextlib import nullcontext
from types import SimpleNamespace
from zoo.schema.recipe import TrainSection
from zoo.train.runtime import Runtime
def tuned(device):
    return Runtime.tuned(SimpleNamespace(device=torch.device(device), deterministic=False), TrainSection(epochs=1))
for device, training in ("none", nullcontext()), ("cuda", tuned("cuda")), ("cpu", tuned("cpu")):
    # Below what glibc maps, so parts of its heap; the small ones between stay, and keep the heap from shrinking.
    blocks, *keepers = zip(*((bytearray(100_000), bytearray(1000)) for _ in range(1000)))
    del blocks
    before = megabytes()
    with training:
        told[device] = before - megabytes()
""")
    assert told["none"] < 1
    assert told["cuda"] > 80
    assert told["cpu"] > 80
