"""Whole runs of a small network on scikit-learn's digits: what they leave behind, and how they go on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.assemble.options import RunOptions
from zoo.assemble.resolve import resolve
from zoo.assemble.resuming import resume_command
from zoo.assemble.run import prepare, run_recipe
from zoo.assemble.targets import planned
from zoo.cli import main
from zoo.diagnostics import Diagnostics
from zoo.document import Override
from zoo.errors import ConfigError, DataError, EnvironmentFault, StoppedBySignal, UsageError, raise_if_errors
from zoo.graph import Ref
from zoo.train import RunFolder, read_checkpoint


def settle(diagnostics: Diagnostics) -> None:
    raise_if_errors(diagnostics)


def run(recipe: Path, *sets: str, notes: list[str] | None = None, **options: Any) -> dict[str, Any]:
    took = notes if notes is not None else []
    return run_recipe(str(recipe), RunOptions(sets=sets, quiet=True, **options), settle, took.append)


def weights(run_dir: str | Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(Path(run_dir) / "checkpoints" / "last").model


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_stopped_run_gives_the_command_that_goes_on(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(training: object) -> Iterator[None]:
        raise StoppedBySignal("stopped by SIGINT after step 3", signal_number=2, help="go on with --resume")
        yield

    monkeypatch.setattr("zoo.assemble.run.fit", stopped)
    with pytest.raises(StoppedBySignal) as caught:
        run(recipe, "optimizer={name: SGD, lr: 0.1}", epochs=2)
    end = json.loads(Path("runs/tiny/0001/end.json").read_text())
    assert end == {"code": "stopped", "message": "stopped by SIGINT after step 3"}
    help = caught.value.help or ""
    assert help.startswith(f"go on with: zoo run {recipe} --set 'optimizer={{name: SGD, lr: 0.1}}'")
    assert help.endswith("--set train.epochs=2 --run-dir runs/tiny/0001 --resume")
    monkeypatch.undo()
    monkeypatch.chdir(recipe.parent)
    assert main([*shlex.split(help)[4:], "--quiet"]) == 0  # what follows `go on with: zoo`
    assert not Path("runs/tiny/0001/end.json").exists()


def test_an_end_that_cannot_be_taken_away_is_the_environments_fault(recipe: Path) -> None:
    run(recipe)
    Path("runs/tiny/0001/end.json").mkdir()
    with pytest.raises(EnvironmentFault, match=r"cannot write .*end\.json"):
        run(recipe, resume=True, epochs=2)


def test_a_run_folder_holds_what_the_commands_page_lists(recipe: Path) -> None:
    result = run(recipe)
    folder = Path(result["run_dir"])
    assert folder == Path("runs/tiny/0001")
    assert (folder / "recipe.yaml").read_text() == recipe.read_text()
    for name in ("resolved.yaml", "architecture.yaml", "env.json", "metrics.jsonl", "checkpoints/last", "result.json"):
        assert (folder / name).exists(), name
    assert json.loads((folder / "result.json").read_text()) == result
    (line,) = (json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines())
    assert (line["event"], line["epoch"]) == ("epoch", 1)
    assert line["test"]["accuracy"] == result["test"]["accuracy"]
    assert set(result["test"]["per_class"]) == {str(digit) for digit in range(10)}
    facts = json.loads((folder / "env.json").read_text())
    assert facts["seed"] == 0
    assert facts["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_the_next_run_takes_the_next_folder_and_the_same_seed_gives_the_same_weights(recipe: Path) -> None:
    first, second, other = run(recipe), run(recipe), run(recipe, "seed=1")
    assert [Path(r["run_dir"]).name for r in (first, second, other)] == ["0001", "0002", "0003"]
    assert same(weights(first["run_dir"]), weights(second["run_dir"]))
    assert not same(weights(first["run_dir"]), weights(other["run_dir"]))  # the control


def test_the_resolved_recipe_runs_to_the_same_weights(recipe: Path) -> None:
    first = run(recipe)
    again = run(Path(first["run_dir"]) / "resolved.yaml")
    assert same(weights(first["run_dir"]), weights(again["run_dir"]))


def test_a_found_rate_is_as_one_written_by_hand(recipe: Path) -> None:
    found = run(recipe, "schedule.max_lr=find")
    line = next(
        text.split() for text in (Path(found["run_dir"]) / "resolved.yaml").read_text().splitlines() if "max_lr" in text
    )
    by_hand = run(recipe, f"schedule.max_lr={line[1]}")
    nearly = run(recipe, f"schedule.max_lr={float(line[1]) * (1 + 1e-6)!r}")
    assert same(weights(found["run_dir"]), weights(by_hand["run_dir"]))
    assert not same(weights(found["run_dir"]), weights(nearly["run_dir"]))  # the control


def test_a_finished_run_is_not_run_again(recipe: Path) -> None:
    first, notes = run(recipe), []
    assert run(recipe, resume=True, notes=notes) == first
    assert "finished" in notes[-1]


def test_resume_before_anything_begins_from_the_beginning(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes: list[str] = []
    result = run_recipe(str(recipe), RunOptions(resume=True, run_dir=Path("here")), settle, notes.append)
    assert result["run_dir"] == "here"
    told = [*notes, *capsys.readouterr().err.splitlines()]
    assert len([line for line in told if "from the beginning" in line]) == 1


def test_a_run_of_deterministic_kernels_says_so(recipe: Path) -> None:
    facts = [Path(run(recipe, text)["run_dir"], "env.json") for text in ("train.deterministic=true", "seed=0")]
    algorithms = [json.loads(path.read_text())["choices"].get("algorithms") for path in facts]
    assert algorithms[0] == "deterministic (asked for)"
    assert (algorithms[1] or "fastest").startswith("fastest")  # a CPU has no others


def test_a_run_folder_in_use_or_full_is_not_taken(recipe: Path) -> None:
    run(recipe, run_dir=Path("here"))
    with pytest.raises(UsageError, match="the run folder here is not empty"):
        run(recipe, run_dir=Path("here"))
    holder = f"another run holds here: process {os.getpid()}"
    with RunFolder(Path("here")), pytest.raises(EnvironmentFault, match=holder):
        run(recipe, run_dir=Path("here"), resume=True, epochs=2)
    assert run(recipe, run_dir=Path("here"), resume=True, epochs=2)["epochs"] == 2


def test_weights_averages_and_validation_together(recipe: Path) -> None:
    result = run(
        recipe,
        "data.validation=0.2",
        "train={epochs: 1.5, ema: {decay: 0.9}, lookahead: {every: 2}, grad_clip: 1.0, accumulate: 2}",
        "eval={tta: flip}",
        "target={test_accuracy_tta: 0.0}",
    )
    assert result["target"] == {"test_accuracy_tta": 0.0, "met": True}
    assert result["epochs"] == 1.5
    notes: list[str] = []
    run(recipe, f"model.weights={Path(result['run_dir']).resolve() / 'checkpoints' / 'last'}", notes=notes)
    assert any(note.startswith("loaded ") for note in notes)


def test_a_report_that_fails_costs_nothing(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zoo.report

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(zoo.report, "render", fail)
    notes: list[str] = []
    result = run(recipe, "reports=[curves]", notes=notes)
    assert any("the report could not be made" in note and "no ink" in note for note in notes)
    assert (Path(result["run_dir"]) / "result.json").is_file()


def test_a_folder_of_somebodys_own_is_not_resumed(recipe: Path) -> None:
    own = {"recipe.yaml": "my own", "architecture.yaml": "my own too", "tiny.yaml": recipe.read_text()}
    for name, text in own.items():
        (recipe.parent / name).write_text(text)
    with pytest.raises(UsageError, match="not a run folder"):
        run(recipe, run_dir=Path(), resume=True)
    assert {path.name: path.read_text() for path in recipe.parent.iterdir()} == own


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("slip", "fault", "said"),
    [
        ("loss={weight: [1.0, 2.0]}", ConfigError, "does not fit 10 classes"),
        ("data={source: image_folder, path: nowhere}", DataError, "no image folders"),
    ],
)
def test_nothing_is_written_before_recipe_and_data_are_right(
    slip: str, fault: type[ConfigError | DataError], said: str, resume: bool, recipe: Path
) -> None:
    with pytest.raises(fault, match=said):
        run(recipe, slip, run_dir=Path("here"), resume=resume)
    assert [path.name for path in recipe.parent.iterdir()] == ["tiny.yaml"]


def test_a_report_that_a_kill_prevented_is_made_on_resume(recipe: Path) -> None:
    first, notes = run(recipe, "reports=[class_accuracy]", "eval={tta: flip}"), []
    folder = Path(first["run_dir"])
    recorded = (folder / "evidence" / "predictions.npz").read_bytes()
    shutil.rmtree(folder / "evidence")
    (folder / "report.html").unlink()
    assert run(recipe, "reports=[class_accuracy]", "eval={tta: flip}", resume=True, notes=notes) == first
    assert (folder / "report.html").is_file()
    assert (folder / "evidence" / "predictions.npz").read_bytes() == recorded
    assert any("finished" in note for note in notes)
    again: list[str] = []
    run(recipe, "reports=[class_accuracy]", "eval={tta: flip}", resume=True, notes=again)
    assert len(again) == 1  # it is finished, and that is all


def test_the_command_that_goes_on_names_the_plugins(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.assemble.plugins._files", [tmp_path / "my ops.py"])
    checked = prepare(str(recipe), RunOptions(), settle)
    command = resume_command(checked.resolved, Path("runs/tiny/0001"), RunOptions())
    assert ["--plugin", str(tmp_path / "my ops.py")] == shlex.split(command)[3:5]


@pytest.mark.parametrize(
    ("epochs", "text"), [(2, "2"), (2.0, "2"), (1234567.25, "1234567.25"), (0.1234567, "0.1234567")]
)
def test_epochs_keep_all_their_digits(epochs: float, text: str) -> None:
    assert RunOptions(epochs=epochs).overrides == (Override("train.epochs", text, "--epochs"),)


def test_what_a_run_writes_of_itself_can_be_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block libraries, dollar signs, and references that look like numbers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    more = "blocks: {Conv: {params: {channels: int}, layers: [{op: Conv2d, out_channels: $channels, kernel_size: 1}]}}"
    (tmp_path / "own" / "more.yaml").write_text(more)
    (tmp_path / "own" / "lib.yaml").write_text(
        "use: more.yaml\nblocks:\n  Wide:\n    layers: [{op: Conv, channels: 22}]\n"
    )
    (tmp_path / "net.yaml").write_text(
        """use: own/lib.yaml
input: [1, 8, 8]
params: {note: "$$5"}
layers:
  - {op: Wide}
  - {op: chunk, chunks: 11, dim: 1}
  - {op: Conv2d, from: 1.10, out_channels: 4, kernel_size: 1}
  - {op: mean, dim: [2, 3]}
  - {op: Linear, out_features: 10}
"""
    )
    (tmp_path / "r.yaml").write_text(
        "doc: pays $$money\nmodel: {architecture: net.yaml}\ndata: {source: digits, batch_size: 64}\n"
        "optimizer: {name: SGD, lr: 0.1}\ntrain: {max_steps: 2}\nreports: []\n"
    )
    folder = Path(run(Path("r.yaml"))["run_dir"])
    before = planned("net.yaml", Diagnostics())
    shutil.rmtree(tmp_path / "own")
    (tmp_path / "net.yaml").unlink()
    for target in (folder / "architecture.yaml", folder):
        diagnostics = Diagnostics()
        plan = planned(str(target), diagnostics)
        assert not diagnostics.errors, [item.message for item in diagnostics]
        assert plan is not None
        assert before is not None
        assert plan.root.steps[2].inputs == before.root.steps[2].inputs == (Ref("1", (10,)),)
    resolved = resolve(str(folder / "resolved.yaml"), (), Diagnostics())
    assert resolved is not None
    assert resolved.recipe.doc == "pays $money"


def test_epochs_that_max_steps_cut_off_are_not_told_as_trained(recipe: Path) -> None:
    result = run(recipe, "train.max_steps=2", epochs=4)
    assert result["steps"] == 2
    assert 0 < result["epochs"] < 1
    assert run(recipe, "train.max_steps=2", epochs=4, resume=True) == result


TRIANGLE = "schedule={name: PiecewiseLinear, epochs: [0, 1], factors: [1, 0]}"


def test_a_training_goes_on_at_a_rate_of_zero_and_moves_no_parameter(recipe: Path) -> None:
    until_zero, beyond = (run(recipe, TRIANGLE, "optimizer.lr=1", epochs=epochs) for epochs in (1, 2))
    assert (until_zero["epochs"], beyond["epochs"]) == (1, 2)
    before, after = weights(until_zero["run_dir"]), weights(beyond["run_dir"])
    buffers = {name for name in before if "running_" in name or "num_batches" in name}
    assert {name for name in before if not torch.equal(before[name], after[name])} == buffers  # it did see images
    lower = weights(run(recipe, TRIANGLE.replace("[0, 1]", "[0, 2]"), "optimizer.lr=1", epochs=2)["run_dir"])
    assert not torch.equal(lower["fc.weight"], before["fc.weight"])  # the control


def test_a_folder_of_other_files_is_no_run_to_go_on_with(recipe: Path) -> None:
    Path("photos").mkdir()
    Path("photos/1.jpg").write_bytes(b"a photo")
    for resume in (False, True):
        with pytest.raises(UsageError, match="photos is not a run folder: it holds other files"):
            run(recipe, run_dir=Path("photos"), resume=resume)
