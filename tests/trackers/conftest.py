"""Real runs with real trackers, none of which leaves this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo, recipe, zoo

__all__ = ["Zoo", "recipe", "zoo"]


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither account nor server of whoever runs the tests is known here."""
    for name in os.environ:
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
