"""What a run that goes on has to be: the same network on the same data, found wherever its folder is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from tests.assemble.test_run import run, same, weights
from zoo.assemble.loading import find_run
from zoo.assemble.series import newest_run
from zoo.assemble.trained import evaluate_run, open_run
from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.layout import numbered
from zoo.models import architecture_path


@pytest.fixture
def own(recipe: Path) -> Path:
    """A recipe whose network is a file of one's own, that uses a library of one's own."""
    folder = recipe.parent
    (folder / "blocks.yaml").write_text(
        "blocks:\n  Body:\n    params: {channels: int}\n    layers:\n"
        "      conv: {op: Conv2d, out_channels: $channels, kernel_size: 3}\n      act: ReLU\n"
    )
    (folder / "net.yaml").write_text(
        "use: blocks.yaml\ninput: [1, 8, 8]\nparams: {classes: 10}\nlayers:\n  body: {op: Body, channels: 4}\n"
        "  flat: {op: flatten, start_dim: 1}\n  fc: {op: Linear, out_features: $classes}\n"
    )
    text = recipe.read_text()
    model = next(line for line in text.splitlines() if line.startswith("model:"))
    recipe.write_text(text.replace(model, "model: {architecture: net.yaml}"))
    return recipe


def swap(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("net.yaml", "start_dim: 1}", "start_dim: 1}\n  more: Tanh"),
        ("blocks.yaml", "act: ReLU", "act: Tanh"),
        (
            "blocks.yaml",
            "kernel_size: 3}",
            "kernel_size: 3, padding_mode: zeros, stride: 1, dilation: 1}\n      b: GELU",
        ),
    ],
)
def test_a_run_does_not_go_on_with_another_network(file: str, old: str, new: str, own: Path) -> None:
    run(own)
    kept = (own.parent / "runs/tiny/0001/architecture.yaml").read_text()
    swap(own.parent / file, old, new)
    with pytest.raises(ConfigError, match=r"the network of .* began with"):
        run(own, resume=True, epochs=2)
    assert Path("runs/tiny/0001/architecture.yaml").read_text() == kept
    swap(own.parent / file, new, old)
    swap(own.parent / "net.yaml", "layers:", "doc: the same with a comment  # this\nlayers:")
    assert run(own, resume=True, epochs=2)["epochs"] == 2


def test_a_run_of_which_only_the_best_is_left_does_not_go_on_with_another_network_either(own: Path) -> None:
    run(own)
    shelf = Path("runs/tiny/0001/checkpoints")
    shutil.rmtree(shelf / "best")
    (shelf / "last").rename(shelf / "best")
    swap(own.parent / "net.yaml", "start_dim: 1}", "start_dim: 1}\n  more: Tanh")
    with pytest.raises(ConfigError, match=r"the network of .* began with"):
        run(own, resume=True, epochs=2)


def test_a_shipped_network_that_is_another_by_now_is_not_gone_on_with(recipe: Path) -> None:
    run(recipe)
    swap(Path("runs/tiny/0001/architecture.yaml"), "relu: ReLU", "relu: Tanh")
    with pytest.raises(ConfigError, match="the network of"):
        run(recipe, resume=True, epochs=2)


def test_a_run_is_tested_with_the_network_it_keeps(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a release in which the shipped architecture is another."""
    result = run(recipe)
    shipped = architecture_path("tiny_resnet")
    assert shipped is not None
    changed = Path("architectures")
    shutil.copytree(shipped.parent, changed)
    swap(
        changed / shipped.name,
        "layers:\n  prep:",
        "layers:\n  first: {op: Conv2d, out_channels: 1, kernel_size: 1}\n  prep:",
    )
    monkeypatch.setattr("zoo.models.catalogue._FOLDER", changed)
    assert open_run(result["run_dir"]).base.network.plan is not None
    assert evaluate_run(result["run_dir"])["accuracy"] == result["test"]["accuracy"]
    with pytest.raises(ConfigError, match="first"):
        run(recipe, resume=True, epochs=2)


def test_other_data_is_told(recipe: Path) -> None:
    run(recipe)
    environment = Path("runs/tiny/0001/env.json")
    began = json.loads(environment.read_text())
    environment.write_text(json.dumps(began | {"data_fingerprint": "another"}))
    notes: list[str] = []
    run(recipe, resume=True, epochs=2, notes=notes)
    assert any(note.startswith("warning: the data is not what the run began with") for note in notes)
    run(recipe, resume=True, epochs=3, notes=(later := []))
    assert not any("the data is not" in note for note in later)
    now = json.loads(environment.read_text())
    assert now["began"] == began | {"data_fingerprint": "another"}  # of the first session, not of the second
    assert now["data_fingerprint"] == began["data_fingerprint"]


def test_weights_that_a_checkpoint_replaces_may_be_gone(recipe: Path) -> None:
    first = run(recipe)
    save_file(weights(first["run_dir"]), "w.safetensors")
    second = run(recipe, "model.weights=w.safetensors")
    resolved = yaml.safe_load((Path(second["run_dir"]) / "resolved.yaml").read_text())
    assert resolved["model"]["weights"] == str(Path("w.safetensors").absolute())
    again = run(Path(second["run_dir"]) / "resolved.yaml")
    assert same(weights(again["run_dir"]), weights(second["run_dir"]))
    Path("w.safetensors").unlink()
    assert evaluate_run(second["run_dir"])["accuracy"] == second["test"]["accuracy"]
    run(recipe, "model.weights=w.safetensors", resume=True, epochs=2, run_dir=Path(second["run_dir"]))
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):  # the control: a new run needs them
        run(recipe, "model.weights=w.safetensors")


def test_paths_are_relative_to_the_file_that_says_them(own: Path) -> None:
    child = own.parent / "kids" / "child.yaml"
    child.parent.mkdir()
    child.write_text("extends: ../tiny.yaml\nseed: 5\n")
    (child.parent / "net.yaml").write_text("input: [1, 8, 8]\nlayers: [{op: Nonsense}]\n")  # another's of that name
    of_parent, of_child = (run(file) for file in (own, child))
    assert (of_child["seed"], of_child["params"]) == (5, of_parent["params"])
    kept = [Path(result["run_dir"]) for result in (of_parent, of_child)]
    assert len({(folder / "architecture.yaml").read_text() for folder in kept}) == 1
    for folder in kept:
        (library,) = (folder / "libraries").iterdir()
        assert yaml.safe_load(library.read_text()) == yaml.safe_load((own.parent / "blocks.yaml").read_text())


def test_the_latest_run_is_found_without_the_link(recipe: Path) -> None:
    run(recipe)
    run(recipe)
    series = Path("runs/tiny")
    shutil.copytree(series / "0001", series / "0001_backup")
    assert [path.name for path in numbered(series)] == ["0001", "0002"]
    assert find_run("tiny") == find_run(None) == series / "0002"
    shutil.rmtree(series / "0002")  # `latest` hangs
    assert find_run("tiny") == newest_run(series) == series / "0001"
    assert run(recipe, resume=True, epochs=2)["run_dir"] == "runs/tiny/0001"


def test_a_foreign_network_comes_back_as_it_was_trained(recipe: Path) -> None:
    import zoo

    text = recipe.read_text()
    model = next(line for line in text.splitlines() if line.startswith("model:"))
    recipe.write_text(
        text.replace(model, "model: {timm: test_resnet, in_chans: 1}").replace("max_lr: 0.2", "max_lr: 0.001")
    )
    result = run(recipe)
    module = zoo.load_model(result["run_dir"])
    kept = weights(result["run_dir"])
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert evaluate_run(result["run_dir"])["accuracy"] == result["test"]["accuracy"]
    for target in (result["run_dir"], str(recipe)):
        assert zoo.summary(target).total_params == result["params"]


def test_params_beside_what_has_its_own_are_refused(recipe: Path) -> None:
    import zoo

    for target in ("quickstart", str(recipe)):
        with pytest.raises(UsageError, match="has its own params: widht"):
            zoo.load_model(target, widht=3)


def test_a_folder_of_a_targets_name_does_not_hide_it(recipe: Path) -> None:
    import zoo

    Path("tiny_resnet").mkdir()
    assert zoo.summary("tiny_resnet").total_params > 0
    Path("no_run").mkdir()
    with pytest.raises(UsageError, match="is no run folder"):
        zoo.summary("no_run")


def test_damaged_results_are_told_by_diff(recipe: Path) -> None:
    from zoo.assemble.differences import differences
    from zoo.diagnostics import Diagnostics

    first, second = run(recipe)["run_dir"], run(recipe)["run_dir"]
    (Path(second) / "result.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"result\.json is no mapping"):
        differences(first, second, Diagnostics())
