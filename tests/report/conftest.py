"""A real run folder, recorded and rendered once for all tests of this room."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.report.report_world import AUGMENTED, RECIPE, batches, digits, range_test, result, trained, transforms
from zoo.report import Finished, record, render
from zoo.schema.recipe import REPORTS, ExplainSection


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder with its evidence, not yet rendered."""
    folder = tmp_path_factory.mktemp("runs") / "digits_run" / "0002"
    folder.mkdir(parents=True)
    dataset = digits()
    model, lines, found = trained(dataset)
    augmented, plain = transforms(*AUGMENTED), transforms("Normalize")
    remarks = record(
        folder,
        Finished(
            model,
            dataset,
            train=batches(dataset, dataset.train, augmented),
            test=batches(dataset, dataset.test, plain),
            train_transforms=augmented,
            eval_transforms=plain,
            evaluation=found,
        ),
        steps=30,
        reports=REPORTS,
        explain=ExplainSection(),
        range_test=range_test(),
        model_name="tiny",
    )
    assert remarks == {}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("recipe.yaml", "resolved.yaml"):
        (folder / name).write_text(RECIPE)
    environment = {
        "versions": {"zoo": "0.1.0", "torch": "2.15.0"},
        "seed": 0,
        "git": {"commit": "abc123", "dirty": True},
    }
    (folder / "env.json").write_text(json.dumps({**environment, "command": ["/bin/zoo", "run", "digits run"]}))
    manifest = {"files": {"model.safetensors": {"size": 1, "sha256": "5a" * 32}}}
    (folder / "checkpoints" / "last").mkdir(parents=True)
    (folder / "checkpoints" / "last" / "manifest.json").write_text(json.dumps(manifest))
    (folder / "result.json").write_text(json.dumps(result(found)))
    return folder


@pytest.fixture(scope="session")
def rendered(recorded: Path) -> Path:
    """The same folder, rendered: from the folder alone."""
    sibling = recorded.parent / "0001"
    sibling.mkdir()
    (sibling / "report.html").write_text("an older report")
    (sibling / "result.json").write_text(json.dumps({"test": {"accuracy": 0.25}, "epochs": 1}))
    assert render(recorded) == recorded / "report.html"
    return recorded


@pytest.fixture
def copy_of(recorded: Path, tmp_path: Path) -> Path:
    """A copy of the recorded folder to spoil."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))
