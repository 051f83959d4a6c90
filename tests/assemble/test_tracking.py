"""A recipe that names a tracker whose package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo, recipe, zoo

__all__ = ["recipe", "zoo"]


@pytest.mark.parametrize(
    ("key", "package", "extra"),
    [("tensorboard", "tensorboard", "tracking"), ("wandb", "wandb", "wandb"), ("mlflow", "sqlalchemy", "mlflow")],
)
def test_a_missing_package_is_told_before_anything_is_written(
    key: str, package: str, extra: str, recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    recipe.write_text(recipe.read_text() + f"tracking: {{{key}: true}}\n")
    monkeypatch.setitem(sys.modules, package, None)
    outcome = zoo("run", recipe)
    assert outcome.status == 2
    assert f"error[no-{key}]" in outcome.err
    assert "tiny.yaml:9:12" in outcome.err
    assert f"pip install 'zoo[{extra}]'" in outcome.err
    assert not Path("runs").exists()
