"""The Python functions do what the commands do; what a command says on stderr goes to ``note``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from tests.cli.conftest import TINY
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, lay_over, plain, read_sets, read_text
from zoo.document.overrides import set_texts
from zoo.errors import UsageError


def test_a_run_from_python_notes_the_warnings_of_its_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.format(epochs=5, reports="[]"))
    notes: list[str] = []
    result = zoo.run(recipe, epochs=1, run_dir=tmp_path / "run", device="cpu", note=notes.append)
    assert result["epochs"] == 1
    assert any(note.startswith(f"warning: {recipe}:5:") and "lr" in note for note in notes), notes


def test_a_check_from_python_takes_sets() -> None:
    assert zoo.check("quickstart", sets={"optimizer.momentum": 0.8, "schedule": {"name": "CosineAnnealingLR"}}) == []
    (told,) = zoo.check("quickstart", sets={"optimizer.momentum": "much"})
    assert told.span is not None
    assert told.span.file == "--set optimizer.momentum"


@pytest.mark.parametrize(
    ("value", "there"),
    [
        (Path("/tmp/a #b: c"), "/tmp/a #b: c"),
        ([Path("123"), Path("no")], ["123", "no"]),
        (np.float64(0.1), 0.1),
        ({"a": np.array([1, 2]), 3: (np.bool_(True), None)}, {"a": [1, 2], "3": [True, None]}),
        (torch.tensor([0.5, 2.0]), [0.5, 2.0]),
        (2**70, 2**70),
        (1e400, float("inf")),
        ("1e-3", "1e-3"),
    ],
)
def test_sets_from_python_arrive_as_they_are(value: Any, there: Any) -> None:
    document = read_text("x: {y: 1}", Diagnostics())
    assert isinstance(document, Mapping)
    assert plain(lay_over(document, read_sets(set_texts({"x.y": value})), Diagnostics())) == {"x": {"y": there}}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"seed": object()}, "the value of seed is of a kind that YAML has no form for: object"),
        ({"seed": {1, 2}}, "has no form for: set"),
        ({"seed": [b"1"]}, "has no form for: bytes"),
        ({"seed": 10**5000}, "the value of seed is a whole number of 16,610 bits"),
        ({"seed=1": 2}, "wants a path, got 'seed=1'"),
        (["seed=1"], r"wants paths with values, got \['seed=1'\]"),
    ],
)
def test_sets_that_no_file_could_hold_are_errors_of_the_call(sets: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        zoo.check("quickstart", sets=sets)


def test_sets_that_stand_in_themselves_are_errors_of_the_call() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UsageError, match="the value of seed is nested more than 64 levels deep"):
        zoo.check("quickstart", sets={"seed": loop})


def test_a_model_takes_numbers_of_numpy() -> None:
    model = zoo.load_model("tiny_resnet", classes=np.int64(7))
    assert sum(each.numel() for each in model.parameters()) == sum(
        each.numel() for each in zoo.load_model("tiny_resnet", classes=7).parameters()
    )
    with pytest.raises(UsageError, match="the value of classes is of a kind that YAML has no form for: object"):
        zoo.load_model("tiny_resnet", classes=object())


def test_an_input_shape_is_a_row_of_sizes() -> None:
    due = zoo.summary("tiny_resnet", input_shape=(3, 40, 40)).as_data()
    shapes: list[Any] = [[3, 40, 40], tuple(np.array([3, 40, 40])), torch.zeros(3, 40, 40).shape]
    assert [zoo.summary("tiny_resnet", input_shape=shape).as_data() for shape in shapes] == [due] * 3
    wrong: list[Any] = ["3,40,40", (3, 40.0, 40), (3, -1, 40), 3]
    for shape in wrong:
        with pytest.raises(UsageError, match=r"`input_shape` wants sizes such as \(3, 32, 32\), got "):
            zoo.summary("tiny_resnet", input_shape=shape)


def test_a_device_and_epochs_may_be_torchs_and_numpys(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.format(epochs=5, reports="[]"))
    device: Any = torch.device("cpu")
    result = zoo.run(recipe, epochs=np.float64(0.5), run_dir=tmp_path / "run", device=device)
    assert result["epochs"] == 0.5
