"""Real runs with real trackers, none of which leaves this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Zoo, zoo

__all__ = ["Zoo", "zoo"]


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither account nor server of whoever runs the tests is known here."""
    for name in os.environ:
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small recipe in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(epochs=1, reports="[]"))
    return path
