"""From a recipe's file to a resolved recipe: extends, --set, expressions, defaults, and where each value came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.optim.rates import preview
from tests.optim.test_schedules import EVERY
from zoo.assemble.check import check, check_file, checked_recipe
from zoo.assemble.complete import complete
from zoo.assemble.defaults import DEFAULT, annotated, origins
from zoo.assemble.max_lr import with_lr
from zoo.assemble.options import RunOptions
from zoo.assemble.resolve import resolve
from zoo.assemble.run import prepare
from zoo.assemble.shipped import find_recipe, recipe_names
from zoo.diagnostics import Diagnostics, render
from zoo.document import Mapping, plain, read_sets
from zoo.document.writer import write
from zoo.errors import ConfigError, UsageError, raise_if_errors

BASE = """
model: {architecture: tiny_resnet}
data: {source: digits, batch_size: $(2 ** 6)}
optimizer: {name: SGD, lr: 0.1, weight_decay: $(2e-6 * 2000 / 0.053)}
train: {epochs: 2}
"""


def completed(name: str, *sets: str) -> Mapping:
    diagnostics = Diagnostics()
    resolved = resolve(name, read_sets(sets), diagnostics)
    assert resolved is not None, "\n".join(map(render, diagnostics))
    checked = check(resolved, diagnostics)
    assert checked is not None, "\n".join(map(render, diagnostics))
    return complete(checked)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


def test_the_name_defaults_to_the_files(base: Path) -> None:
    assert plain(completed(str(base)))["name"] == "base"


def test_expressions_are_worked_out_and_keep_their_place(base: Path) -> None:
    document = completed(str(base))
    assert plain(document)["data"]["batch_size"] == 64
    assert plain(document)["optimizer"]["weight_decay"] == 2e-6 * 2000 / 0.053
    assert origins(document)["data.batch_size"] == f"{base}:3:36"


def test_extends_merges_and_null_removes(base: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: base.yaml\noptimizer: {name: Adam, weight_decay: null}\ntrain: {epochs: 3}\n")
    document = completed(str(child))
    assert plain(document)["optimizer"]["weight_decay"] == 0  # Adam's own
    where = origins(document)
    assert where["train.epochs"] == f"{child}:3:17"
    assert where["optimizer.lr"] == f"{base}:4:28"
    assert where["optimizer.betas"] == "default"


def test_a_shipped_recipe_can_be_extended_by_name(tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: quickstart\ntrain: {epochs: 3}\n")
    assert plain(completed(str(child)))["name"] == "quickstart"


@pytest.mark.parametrize(
    ("written", "help"),
    [
        ("quikstart", "did you mean quickstart?"),
        ("quickstrat.yaml", "did you mean quickstart?"),
        ("cifar10_49", "did you mean speedrun/cifar10_94 or speedrun/cifar10_96?"),
        ("speedrun/cifar10-96", "did you mean speedrun/cifar10_96"),
        ("bass.yaml", "did you mean base.yaml?"),
        ("zzz", "looked beside"),
    ],
)
def test_a_recipe_that_is_not_there_to_extend(written: str, help: str, base: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: {written}\ntrain: {{epochs: 3}}\n")
    diagnostics = Diagnostics()
    assert resolve(str(child), [], diagnostics) is None
    (error,) = diagnostics.errors
    assert error.code == "no-such-parent"
    assert (error.help or "").startswith(help), error.help


def test_set_comes_last_and_replaces_mappings(base: Path) -> None:
    document = completed(str(base), "optimizer={name: SGD, lr: 0.2}", "train.epochs=5")
    assert plain(document)["optimizer"]["weight_decay"] == 0
    assert origins(document)["train.epochs"] == "--set train.epochs"


def test_set_errors_name_the_set(base: Path) -> None:
    diagnostics = Diagnostics()
    assert resolve(str(base), read_sets(["train.epohcs=5"]), diagnostics) is None
    (error,) = diagnostics.errors
    assert error.code == "unknown-key"
    assert str(error.span).startswith("--set train.epohcs")


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("quickstrat", (), Diagnostics())
    assert "quickstart" in (caught.value.help or "")


@pytest.mark.parametrize("name", recipe_names())
def test_the_complete_recipe_is_a_recipe_again_and_the_same(name: str, tmp_path: Path) -> None:
    document = completed(name)
    again = tmp_path / "resolved.yaml"
    again.write_text(write(document))
    assert plain(completed(str(again))) == plain(document)


SCHEDULES = {
    **EVERY,
    "LinearLR": "{name: LinearLR}",
    "ReduceLROnPlateau": "{name: ReduceLROnPlateau, metric: train.accuracy}",
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_complete_recipe_has_the_schedule_that_is_run(name: str, base: Path, tmp_path: Path) -> None:
    optimizer = "{name: Adagrad}" if "max_lr" in SCHEDULES[name] else "{name: SGD, lr: 0.3, momentum: 0.9}"
    sets = [f"optimizer={optimizer}", f"schedule={SCHEDULES[name]}", "train.epochs=5"]
    written = Diagnostics()
    found = checked_recipe(str(base), written, overrides=read_sets(sets))
    assert found is not None
    again = tmp_path / "resolved.yaml"
    again.write_text(write(complete(found)))
    diagnostics = Diagnostics()
    found_again = checked_recipe(str(again), diagnostics)
    assert [item.message for item in diagnostics] == [item.message for item in written]
    assert not diagnostics.errors
    assert found_again is not None
    length: dict[str, Any] = {"steps_per_epoch": 7, "epochs": 5}
    assert preview(found_again.optimization, **length) == preview(found.optimization, **length)
    assert [s.arguments.get("mode") for s in found_again.optimization.schedules()] == [
        s.arguments.get("mode") for s in found.optimization.schedules()
    ]


def test_a_rate_that_was_found_is_in_the_recipe_and_in_what_was_made_of_it(base: Path) -> None:
    checked = prepare(str(base), RunOptions(sets=("optimizer.lr=find",)), raise_if_errors)
    found = with_lr(checked, 0.25)
    assert (checked.optimization.finds_lr, found.optimization.finds_lr) == (True, False)
    (rates,) = preview(found.optimization, steps_per_epoch=2, epochs=1).values()
    assert rates[0] == 0.25
    assert isinstance(found.recipe.optimizer, dict)
    assert found.recipe.optimizer["lr"] == plain(complete(found))["optimizer"]["lr"] == 0.25


def test_an_optimizer_under_its_name_is_completed_as_one_with_a_name(base: Path) -> None:
    given = plain(completed(str(base), "optimizer={SGD: {lr: 0.1, groups: [{kind: bias, momentum: 0.5}]}}"))
    flat = "optimizer={name: SGD, lr: 0.1, groups: [{kind: bias, momentum: 0.5}]}"
    assert given["optimizer"] == plain(completed(str(base), flat))["optimizer"]
    assert given["optimizer"]["momentum"] == 0


def test_schedules_of_one_name_keep_their_own_intervals(base: Path) -> None:
    of_its_own = "optimizer.schedule={name: CosineAnnealingLR, T_max: 2}"
    document = plain(completed(str(base), of_its_own, "schedule={name: CosineAnnealingLR}"))
    assert document["optimizer"]["schedule"]["interval"] == "epoch"
    assert document["schedule"]["interval"] == "step"
    assert "T_max" not in document["schedule"]


def test_the_mode_that_follows_from_a_plateaus_metric_is_shown(base: Path) -> None:
    assert (
        plain(completed(str(base), "schedule={name: ReduceLROnPlateau, metric: accuracy}"))["schedule"]["mode"] == "max"
    )
    assert plain(completed(str(base), "schedule={name: ReduceLROnPlateau}"))["schedule"]["mode"] == "min"


@pytest.mark.parametrize("name", recipe_names())
def test_every_value_has_an_origin(name: str) -> None:
    document = completed(name)
    text = annotated(document)
    lines = [line for line in text.splitlines() if not line.rstrip().endswith(":")]
    assert lines
    assert all("  # " in line for line in lines)
    assert "seed: 0  # " in text
    assert DEFAULT.file == "default"


def test_shipped_recipes_are_right() -> None:
    for name in recipe_names():
        assert not check_file(name).errors, "\n".join(map(render, check_file(name)))


def test_the_published_speedrun_checks_and_resolves(shared_dir: Path) -> None:
    example = shared_dir / "design" / "examples" / "cifar10_94.yaml"
    assert not len(check_file(str(example)))
    document = plain(completed(str(example)))
    assert [optimizer["name"] for optimizer in document["optimizer"]] == ["Muon", "SGD"]
    assert document["optimizer"][1]["groups"][0]["weight_decay"] == 2e-6 * 2000 / 0.67


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ("loss: {name: CrossEntropy}", "unknown-loss"),
        ("loss: {label_smoothing: 2}", "bad-value"),
        ("target: {test_accuracy_tta: 0.9}", "target-without-tta"),
        ("schedule: {name: OneCycleLR, max_lr: 0.1, peak_epoch: 5}", "peak-outside-training"),
        ("train: {epochs: 1, swa: {start_epoch: 50}}", "swa-outside-training"),
        ("transforms: {train: [Normalise]}", "unknown-transform"),
        ("loss: {name: CrossEntropyLoss, smoothing: 0.1}", "unknown-key"),
    ],
)
def test_each_section_is_checked_by_its_room(base: Path, changed: str, code: str) -> None:
    section = changed.partition(":")[0]
    lines = [line for line in BASE.splitlines() if section != "train" or not line.startswith("train:")]
    base.write_text("\n".join([*lines, *[""] * (5 - len(lines)), changed, ""]))
    diagnostics = check_file(str(base))
    assert [item.code for item in diagnostics.errors] == [code]
    assert all(item.span is not None and item.span.line == 6 for item in diagnostics.errors)


def test_errors_of_all_sections_at_once(base: Path) -> None:
    base.write_text(BASE.replace("digits", "digitz").replace("SGD", "SGDD").replace("tiny_resnet", "tiny_resnot"))
    codes = {item.code for item in check_file(str(base)).errors}
    assert codes == {"unknown-source", "unknown-optimizer", "no-such-architecture"}


def test_an_architecture_is_found_beside_its_recipe(base: Path, tmp_path: Path) -> None:
    layers = "layers: {flatten: {op: flatten, start_dim: 1}, fc: {op: Linear, out_features: 10}}"
    (tmp_path / "net.yaml").write_text(f"name: net\ninput: [1, 8, 8]\n{layers}\n")
    base.write_text(BASE.replace("tiny_resnet", "net.yaml"))
    assert not check_file(str(base)).errors


def test_an_error_says_its_place_and_the_way_out_in_python_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: quickstart\ndata: {batch_sise: 3}\ntrain: {epoch: 3}\n")
    with pytest.raises(ConfigError) as caught:
        prepare(str(file), RunOptions(), raise_if_errors)
    assert str(caught.value) == (
        f"{file}:2:8: data: unknown key 'batch_sise' (did you mean batch_size?), and 1 more in `diagnostics`"
    )


def test_a_file_that_is_not_there_is_looked_for_beside(tmp_path: Path) -> None:
    (tmp_path / "shapes.yaml").write_text("extends: quickstart\n")
    for find in (find_recipe, zoo.load_model):
        with pytest.raises(UsageError) as caught:
            find(str(tmp_path / "shape.yaml"))
        assert caught.value.help == "did you mean shapes.yaml?"
    with pytest.raises(UsageError, match="custom_resnet is an architecture; a recipe is due here"):
        find_recipe("custom_resnet")
    with pytest.raises(UsageError, match="there is no recipe"):
        find_recipe("x" * 300)


@pytest.mark.parametrize(
    ("corners", "group", "code"),
    [
        ("[0, 1, 9]", "[0, 2]", "schedule-cut-short"),
        ("[0, 1, 2]", "[0, 3]", "schedule-cut-short"),
        ("[0, 0.5, 1]", "[0, 2]", "schedule-ends-early"),
        ("[0, 1, 2]", "[0, 1]", None),  # a group may stand still before the end: that is a freeze
    ],
)
def test_corners_that_are_not_the_trainings_are_warned_of(
    base: Path, corners: str, group: str, code: str | None
) -> None:
    own = f"{{kind: bias, schedule: {{name: PiecewiseLinear, epochs: {group}, factors: [1, 0]}}}}"
    base.write_text(
        BASE.replace("name: SGD, lr: 0.1", f"name: SGD, lr: 0.1, groups: [{own}]")
        + f"schedule: {{name: PiecewiseLinear, epochs: {corners}, factors: [0, 1, 0]}}\n"
    )
    assert [item.code for item in check_file(str(base))] == ([code] if code else [])


@pytest.mark.parametrize(
    ("train", "data", "codes"),
    [
        ("max_steps: 46", "", ["schedule-cut-short"]),  # two epochs of 23 batches
        ("max_steps: 46, epochs: 9", "", ["schedule-cut-short"]),
        ("max_steps: 46, accumulate: 23", "", []),
        ("max_steps: 46", ", validation: 0.1", []),  # how many images are left to train is known when it is opened
    ],
)
def test_the_length_that_max_steps_leaves_is_checked(base: Path, train: str, data: str, codes: list[str]) -> None:
    base.write_text(
        BASE.replace("epochs: 2", train).replace("$(2 ** 6)", f"64{data}")
        + "schedule: {name: PiecewiseLinear, epochs: [0, 9], factors: [1, 0.5]}\n"
    )
    assert [item.code for item in check_file(str(base))] == codes
