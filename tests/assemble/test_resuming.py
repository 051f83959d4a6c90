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
from zoo.architectures import architecture_path
from zoo.assemble.finding import find_run, newest_run, read_result
from zoo.assemble.trained import evaluate_run, open_run
from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.layout import numbered


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
    monkeypatch.setattr("zoo.architectures.FOLDER", changed)
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


def test_a_run_goes_by_its_name_where_nothing_else_bears_it(recipe: Path) -> None:
    import zoo
    from zoo.assemble.differences import differences
    from zoo.diagnostics import Diagnostics

    folder = Path(run(recipe)["run_dir"])
    Path("tiny").mkdir()  # as a folder of images may be called
    assert same(zoo.load_model("tiny").state_dict(), weights(folder))
    assert differences("tiny", str(folder), Diagnostics()) == []
    assert not same(zoo.load_model("tiny_resnet").state_dict(), weights(folder))


def test_an_unfinished_run_is_told_by_diff(recipe: Path) -> None:
    from zoo.assemble.differences import differences
    from zoo.diagnostics import Diagnostics

    first, second = run(recipe)["run_dir"], run(recipe)["run_dir"]
    (Path(second) / "result.json").unlink()
    (change,) = differences(first, second, Diagnostics())
    assert (change.path, change.before, change.after) == ("result", "there", "none: the run is not finished")
    (Path(first) / "result.json").unlink()
    assert differences(first, second, Diagnostics()) == []


def test_a_copied_run_is_called_by_where_it_is(recipe: Path) -> None:
    shutil.copytree(run(recipe)["run_dir"], "copy")
    assert run(recipe, run_dir=Path("copy"), resume=True)["run_dir"] == "copy"


def test_damaged_results_are_told_by_diff(recipe: Path) -> None:
    from zoo.assemble.differences import differences
    from zoo.diagnostics import Diagnostics

    first, second = run(recipe)["run_dir"], run(recipe)["run_dir"]
    (Path(second) / "result.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"result\.json is no mapping"):
        differences(first, second, Diagnostics())


def test_epochs_may_grow_on_resume_and_the_schedule_is_laid_out_anew(recipe: Path) -> None:
    run(recipe)
    longer = run(recipe, resume=True, epochs=2)
    assert longer["epochs"] == 2
    lines = [json.loads(text) for text in Path("runs/tiny/0001/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    with pytest.raises(ConfigError) as caught:
        run(recipe, resume=True, epochs=1)
    assert caught.value.code == "recipe-changed"


def test_a_longer_training_that_was_killed_goes_on_though_the_shorter_ones_result_is_there(recipe: Path) -> None:
    run(recipe)
    result_file = Path("runs/tiny/0001/result.json")
    of_the_shorter = result_file.read_bytes()
    longer = run(recipe, resume=True, epochs=2)
    result_file.write_bytes(of_the_shorter)  # as a kill before the longer one's result leaves it
    notes: list[str] = []
    again = run(recipe, resume=True, epochs=2, notes=notes)
    assert (again["epochs"], again["test"]) == (2, longer["test"])
    assert not [note for note in notes if "finished" in note]


def test_a_key_that_came_into_the_language_since_is_no_change(recipe: Path) -> None:
    first = run(recipe)
    resolved = Path("runs/tiny/0001/resolved.yaml")
    text = resolved.read_text()
    resolved.write_text(text.replace("  deterministic: false\n", ""))
    assert resolved.read_text() != text
    assert run(recipe, resume=True) == first
    with pytest.raises(ConfigError, match="deterministic"):  # control: written, it is one
        run(recipe, "train.deterministic=false", resume=True)


def swapped(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_default_that_has_changed_since_stays_as_the_run_began_with_it(recipe: Path) -> None:
    first, resolved = run(recipe), Path("runs/tiny/0001/resolved.yaml")
    swapped(resolved, "  compile: auto\n", "  compile: false\n")
    swapped(resolved, "  pct_start: 0.3\n", "  pct_start: 0.2\n  phases: 2\n")  # as if that had been a default too
    assert run(recipe, resume=True) == first
    with pytest.raises(ConfigError, match=r"schedule\.pct_start is 0\.3"):  # control: written, it is a change
        run(recipe, "schedule.pct_start=0.3", resume=True)
    longer = run(recipe, resume=True, epochs=2)
    assert longer["steps"] == 2 * first["steps"]
    text = resolved.read_text()
    assert "  compile: false\n" in text
    assert "  pct_start: 0.2\n" in text
    assert "phases" not in text
    assert run(recipe, resume=True, epochs=2) == longer


def test_what_was_set_when_a_run_began_is_no_default(recipe: Path) -> None:
    first, facts = run(recipe, "train.grad_clip=1.0"), Path("runs/tiny/0001/env.json")
    assert "train.grad_clip" in json.loads(facts.read_text())["written"]
    with pytest.raises(ConfigError, match=r"train\.grad_clip is not there"):
        run(recipe, resume=True)
    swapped(recipe, "momentum: 0.9", "nesterov: false")
    with pytest.raises(ConfigError, match=r"optimizer\.momentum is 0"):
        run(recipe, "train.grad_clip=1.0", resume=True)
    swapped(recipe, "nesterov: false", "momentum: 0.9")
    facts.unlink()  # of a run that did not record what was written, its recipe tells
    assert run(recipe, resume=True) == first
    swapped(recipe, "momentum: 0.9", "nesterov: false")
    with pytest.raises(ConfigError, match=r"optimizer\.momentum is 0"):
        run(recipe, resume=True)


def test_a_found_rate_in_one_of_several_optimizers_is_kept_on_resume(recipe: Path) -> None:
    found = "{find: {steps: 10, end_lr: 0.5}}"
    optimizer = f"[{{name: SGD, params: {{kind: conv}}, lr: 0.1}}, {{name: SGD, params: rest, lr: {found}}}]"
    first = run(recipe, f"optimizer={optimizer}", "schedule=null")
    again = run(recipe, f"optimizer={optimizer}", "schedule=null", resume=True)
    assert again == first


@pytest.mark.parametrize(("change", "had"), [("sampling=balanced", "all"), ("repeats=2", "1")])
def test_a_run_of_other_samples_is_not_resumed(recipe: Path, change: str, had: str) -> None:
    first = run(recipe)
    key, _, value = change.partition("=")
    with pytest.raises(ConfigError, match=rf"data\.{key} is {value}; the run in runs/tiny/0001 has {had}"):
        run(recipe, f"data.{change}", epochs=2, resume=True)
    stored = Path("runs/tiny/0001/resolved.yaml")
    lines = [line for line in stored.read_text().splitlines() if f"{key}:" not in line]
    stored.write_text("\n".join(lines) + "\n")  # of a version that did not know the key
    assert run(recipe, resume=True) == first


def test_a_changed_recipe_is_not_resumed(recipe: Path) -> None:
    run(recipe)
    recipe.write_text(recipe.read_text().replace("momentum: 0.9", "momentum: 0.8"))
    with pytest.raises(ConfigError) as caught:
        run(recipe, "doc=changed", "reports=[]", resume=True)
    (error,) = caught.value.diagnostics
    assert error.message == "optimizer.momentum is 0.8; the run in runs/tiny/0001 has 0.9"
    assert error.span is not None
    assert str(error.span).startswith(f"{recipe}:5:")
    way_out = "model.weights=runs/tiny/0001/checkpoints/last"
    assert str(error.help).endswith(f"or start a new run: without --resume, from these weights with --set {way_out}")
    said: list[str] = []
    run(recipe, way_out, "reports=[]", notes=said)
    assert any(line.endswith("runs/tiny/0001/checkpoints/last") for line in said), said
    with pytest.raises(ConfigError) as caught:  # those of another network would not fit
        run(recipe, "model.width=4", resume=True, run_dir=Path("runs/tiny/0001"))
    assert str(caught.value.help).endswith("or start a new run")


@pytest.mark.parametrize("text", ["", "[]", '{"test": 3}', "[" * 100_000], ids=["empty", "list", "number", "deep"])
def test_a_damaged_result_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"result\.json"):
        read_result(tmp_path)


def test_a_run_that_ended_inside_an_epoch_is_not_lengthened(recipe: Path) -> None:
    first = run(recipe, epochs=1.5)
    assert run(recipe, epochs=1.5, resume=True) == first
    message = r"ended inside an epoch, after 1\.5: it cannot be lengthened"
    with pytest.raises(ConfigError, match=message):
        run(recipe, epochs=3, resume=True)
    (Path(first["run_dir"]) / "result.json").unlink()  # it was killed before it had a result
    with pytest.raises(ConfigError, match=message):
        run(recipe, epochs=3, resume=True)


def test_a_run_that_stopped_early_is_finished(recipe: Path) -> None:
    stopping = "train.early_stopping={patience: 1, min_delta: 100}", "data.validation=0.2", "reports=[]"
    first = run(recipe, *stopping, epochs=5)
    assert (first["epochs"], first["stopped_early"]) == (2, True)
    notes: list[str] = []
    assert run(recipe, *stopping, epochs=9, resume=True, notes=notes) == first
    done = "the run in runs/tiny/0001 is finished:"
    assert f"{done} it stopped early, after epoch 2, and there is nothing to resume" in notes  # longer or not


def test_an_early_stop_goes_by_held_out_images(recipe: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run(recipe, "train.early_stopping={patience: 1}")
    assert caught.value.code == "no-validation"
