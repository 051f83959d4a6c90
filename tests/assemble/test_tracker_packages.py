"""A recipe that names a tracker whose package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo, recipe, zoo
from zoo.errors import DataError

__all__ = ["recipe", "zoo"]


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("key", "package", "extra"),
    [("tensorboard", "tensorboard", "tracking"), ("wandb", "wandb", "wandb"), ("mlflow", "sqlalchemy", "mlflow")],
)
def test_a_missing_package_is_told_before_anything_is_written(
    command: str, key: str, package: str, extra: str, recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    recipe.write_text(recipe.read_text() + f"tracking: {{{key}: true}}\n")
    monkeypatch.setitem(sys.modules, package, None)
    outcome = zoo(command, recipe)
    assert outcome.status == 2
    assert f"error[no-{key}]" in outcome.err
    assert "tiny.yaml:9:12" in outcome.err
    assert f"pip install 'zoo[{extra}]'" in outcome.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["run", "--dry-run"], "dry_run"),
        (["find-lr"], "find_lr"),
        (["bench", "engine"], "benching"),
        (["bench", "transforms"], "benching"),
    ],
)
def test_what_tracks_nothing_needs_no_package(
    command: list[str], module: str, recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_data(*arguments: object, **options: object) -> None:
        raise DataError("the data come after the check")

    recipe.write_text(recipe.read_text() + "tracking: {tensorboard: true}\n")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(f"zoo.assemble.{module}.open_data", open_data)
    outcome = zoo(*command, recipe)
    assert outcome.status == 3
    assert "no-tensorboard" not in outcome.err
    assert "the data come after the check" in outcome.err
