"""The recipe's sections: strict, documented, with defaults that are written down."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from zoo.diagnostics import Diagnostics, render
from zoo.document import read_text
from zoo.schema.check import validate
from zoo.schema.recipe import RECIPE_KEYS, REPORT_DOCS, REPORTS, Recipe, is_recipe

SMALLEST = """
name: r
model: {architecture: tiny_resnet}
data: {source: digits}
optimizer: {name: SGD, lr: 0.1}
train: {epochs: 1}
"""


def recipe(text: str = SMALLEST) -> tuple[Recipe | None, Diagnostics]:
    diagnostics = Diagnostics()
    node = read_text(text, diagnostics, name="r.yaml")
    assert node is not None, [render(item) for item in diagnostics]
    return validate(Recipe, node, diagnostics, what=""), diagnostics


def test_top_level_keys_are_those_of_the_language() -> None:
    assert set(RECIPE_KEYS) | {"extends"} == {
        *("name", "doc", "extends", "model", "data", "transforms", "loss", "optimizer", "schedule", "train", "eval"),
        *("seed", "reports", "explain", "target", "tracking"),
    }


def test_defaults() -> None:
    found, diagnostics = recipe()
    assert found is not None
    assert not len(diagnostics)
    assert (found.loss.name, found.seed, found.reports) == ("CrossEntropyLoss", 0, REPORTS)
    assert (found.train.precision, found.train.accumulate, found.eval.tta) == ("auto", 1, "none")


def test_every_report_has_a_word_for_people() -> None:
    assert set(REPORT_DOCS) == set(REPORTS)


@pytest.mark.parametrize(
    ("key", "text", "code", "column"),
    [
        ("train: {epochs: 1}", "train: {epohcs: 1}", "unknown-key", 9),
        ("train: {epochs: 1}", "train: {epochs: 0}", "bad-value", 17),
        ("train: {epochs: 1}", "train: {epochs: .inf}", "bad-value", 17),
        ("train: {epochs: 1}", "train: {epochs: 1, swa: {start_epoch: .inf}}", "bad-value", 39),
        ("train: {epochs: 1}", "train: {epochs: 1, swa: {start_epoch: 0, every_epochs: .inf}}", "bad-value", 56),
        ("train: {epochs: 1}", "train: {epochs: 1, grad_clip: .nan}", "bad-value", 31),
        ("train: {epochs: 1}", "train: {epochs: true}", "wrong-type", 17),
        ("train: {epochs: 1}", "train: {epochs: '3'}", "wrong-type", 17),
        ("train: {epochs: 1}", "train: {}", "bad-value", 8),
        ("train: {epochs: 1}", "train: {epochs: 1, accumulate: 1.5}", "wrong-type", 32),
        ("train: {epochs: 1}", "train: {epochs: 1, precision: bf61}", "bad-value", 31),
        ("model: {architecture: tiny_resnet}", "model: {architecture: a, timm: b}", "bad-value", 8),
        ("model: {architecture: tiny_resnet}", "model: {}", "bad-value", 8),
        ("model: {architecture: tiny_resnet}", "model: tiny_resnet", "wrong-type", 8),
    ],
)
def test_errors_have_their_place(key: str, text: str, code: str, column: int) -> None:
    found, diagnostics = recipe(SMALLEST.replace(key, text))
    assert found is None
    (error,) = diagnostics.errors
    assert error.span is not None
    assert (error.code, error.span.line, error.span.column) == (code, 6 if "train" in key else 3, column)


def test_all_errors_at_once() -> None:
    _, diagnostics = recipe(SMALLEST.replace("epochs: 1", "epochs: -1") + "seeds: 0\nreports: [curve]\n")
    assert sorted(item.code for item in diagnostics.errors) == ["bad-value", "bad-value", "unknown-key"]


def test_every_field_is_documented() -> None:
    todo: list[type[BaseModel]] = [Recipe]
    for model in todo:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} says nothing"
            parts = [field.annotation, *getattr(field.annotation, "__args__", ())]
            todo += [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    assert len(todo) > 10


def test_what_makes_a_file_a_recipe() -> None:
    assert is_recipe(("model",))
    assert is_recipe(("data",))
    assert is_recipe(("extends", "train"))
    assert not is_recipe(("extends", "layers"))
    assert not is_recipe(("train",))
