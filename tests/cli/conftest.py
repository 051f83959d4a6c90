"""The command line, called in-process; and a real run to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from zoo.cli import main


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


Zoo = Callable[..., Outcome]


@pytest.fixture
def zoo(capfd: pytest.CaptureFixture[str]) -> Zoo:
    """``zoo("run", "quickstart")`` runs a command and gives its exit status and output."""

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


TINY = """
name: tiny
model: {{architecture: tiny_resnet, classes: 10, width: 8}}
data: {{source: digits, batch_size: 128}}
optimizer: {{name: SGD, lr: 0.1, momentum: 0.9}}
schedule: {{name: OneCycleLR, max_lr: 0.2}}
train: {{epochs: {epochs}}}
reports: {reports}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small recipe in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(epochs=1, reports="[]"))
    return path
