"""The command line, called in-process in an empty folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, Zoo, zoo

__all__ = ["Outcome", "Zoo", "zoo"]  # the fixture is the one of the commands' tests


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where files are named as users name them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Imports torch and fills the catalogues once, before any test looks at the clock."""
    from zoo.assemble.check import check_file

    assert not check_file("quickstart").errors  # every room's catalogue: ops, transforms, optimizers
