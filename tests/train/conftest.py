from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.small_world import Small, small_training
from zoo.train import RunFolder, Training

torch.set_num_threads(1)  # the networks are tiny: a second thread only waits

# Processes that are to be killed come from a server that imports torch once for all of them; before Python 3.13 it
# finds the module through the environment only.
os.environ["PYTHONPATH"] = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
multiprocessing.set_forkserver_preload(["tests.train.small_world"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path, "small") as folder:
        yield folder


@pytest.fixture
def training(folder: RunFolder) -> Callable[..., Training]:
    def make(**given: Any) -> Training:
        return small_training(Small(**given), folder)

    return make


@pytest.fixture
def two_processes() -> Callable[..., None]:
    """Calls a function of (rank, port, *arguments) in two new processes at once; both have to end well."""

    def call(function: Callable[..., None], *arguments: Any) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        context = multiprocessing.get_context("forkserver")
        processes = [context.Process(target=function, args=(rank, port, *arguments)) for rank in (0, 1)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            process.kill()
        assert [process.exitcode for process in processes] == [0, 0]

    return call
