"""The JSON Schemas take every shipped file and flag every mistyped key that a schema can know."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from zoo.assemble.editor_schema import json_schema
from zoo.diagnostics import Diagnostics
from zoo.document import plain, read_file
from zoo.errors import UsageError
from zoo.layers import ops
from zoo.schema.architecture import LAYER_KEYS, ArchitectureForm, BlockForm
from zoo.schema.recipe import Recipe

ROOT = Path(__file__).parent.parent.parent
ARCHITECTURES = sorted((ROOT / "zoo/architectures").glob("*.yaml"))
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
FILES = [*(("architecture", path) for path in ARCHITECTURES), *(("recipe", path) for path in RECIPES)]


@cache
def validator(kind: str) -> Draft202012Validator:
    schema = json_schema(kind)
    meta.validate(schema)
    return Draft202012Validator(schema)


def read(path: Path) -> Any:
    document = read_file(path, Diagnostics())
    assert document is not None
    return plain(document)


def mistyped(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every copy of some data with an x behind one key, and where that key stood."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield (*path, key), {(f"{k}x" if k == key else k): v for k, v in data.items()}
            for where, changed in mistyped(value, (*path, key)):
                yield where, {**data, key: changed}
    elif isinstance(data, list):
        for number, item in enumerate(data):
            for where, changed in mistyped(item, (*path, number)):
                yield where, [*data[:number], changed, *data[number + 1 :]]


def is_free(kind: str, where: tuple[Any, ...], data: Any) -> bool:
    """Whether a key is a name of the author's own: a layer's, a block's, a param's."""
    *above, _ = where
    if kind == "recipe":
        return where[0] == "model"  # the architecture's params stand there
    parent = above[-1] if above else None
    if parent in ("layers", "blocks", "params") and len(above) % 2 == 1:
        return True
    holder = data
    for part in above:
        holder = holder[part]
    is_layer = isinstance(holder, dict) and ("op" in holder or parent == "first")
    if is_layer and holder.get("op") not in ops:
        return where[-1] not in LAYER_KEYS
    return parent in ("first", "init", "params")


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_shipped_files_are_valid(kind: str, path: Path) -> None:
    assert [error.message[:200] for error in validator(kind).iter_errors(read(path))] == []


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_mistyped_keys_are_flagged(kind: str, path: Path) -> None:
    data = read(path)
    missed = [where for where, changed in mistyped(data) if validator(kind).is_valid(changed)]
    assert [where for where in missed if not is_free(kind, where, data)] == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("architecture", {"layers": {"a": {"op": "Conv2d", "out_channels": "many", "kernel_size": 3}}}),
        ("architecture", {"layers": {"a": {"op": "ReLU", "inplac": True}}}),
        ("architecture", {"layers": {"a": {"op": "MyBlock", "repaet": 2}}}),
        ("architecture", {"layer": {}}),
        ("architecture", {"input": [3, 8, 8], "blocks": {"A": {"layers": ["ReLU"]}}}),
        ("architecture", {"layers": {"a": None}}),
        ("architecture", {"layers": {"a": {"layers": {"b": {"channels": 3}}}}}),
        ("architecture", {"blocks": {"A": {"layers": {"b": {"channels": 3}}}}}),
        ("architecture", {"blocks": {"A": {"doc": "no layers"}}}),
        ("architecture", {"extends": "other", "layers": {"a": {"op": "ReLU", "inplac": True}}}),
        ("architecture", {"extends": "other", "layers": {"a": {"repaet": 2}}}),
        ("recipe", {"extends": "x.yaml", "train": {"epoch": 3}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"name": "SGD", "momentun": 0.9}}),
        ("recipe", {"extends": "x.yaml", "transforms": {"train": [{"RandomCrop": {"hight": 3}}]}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"name": "SGD", "lr": "fnid"}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"lr": {"find": {"ruel": "slide"}}}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"groups": [{"macth": "fc.*"}]}}),
        ("recipe", {"model": {"architecture": "custom_resnet"}, "data": {"batch_size": 3}, "train": {"epochs": 1}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"name": "AdamW", "layer_decay": 1.5}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"layer_decay": 0}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"groups": [{"kind": "bias", "layer_decay": 0.75}]}}),
        ("recipe", {"extends": "x.yaml", "train": {"freeze_statistics": "layer1"}}),
        ("recipe", {"extends": "x.yaml", "train": {"freeze_statistics": {"kind": "norm"}}}),
        ("recipe", {"extends": "x.yaml", "train": {"activation_checkpointing": "layer1"}}),
    ],
)
def test_mistakes_are_flagged(kind: str, data: Any) -> None:
    assert not validator(kind).is_valid(data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("architecture", {"layers": {"a": {"op": "Conv2d", "out_channels": "$(2 * width)", "kernel_size": 3}}}),
        ("architecture", {"extends": "custom_resnet", "params": {"width": 16}}),
        ("architecture", {"extends": "other", "layers": {"a": None, "b": {"stride": 2}, "c": {"layers": {"d": None}}}}),
        ("architecture", {"extends": "other", "blocks": {"A": None, "B": {"layers": {"conv": {"stride": 2}}}}}),
        ("architecture", {"blocks": {"A": {"blocks": {"B": {"layers": ["ReLU"]}}, "layers": ["B"]}}}),
        ("architecture", {"layers": ["ReLU", {"op": "MyBlock", "anything": 3}, [{"op": "Linear", "out_features": 2}]]}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"name": "Adam", "momentum": None}, "train": {"epochs": 3}}),
        ("recipe", {"extends": "x.yaml", "train": {"epochs": "$(2 * 3)"}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"name": "SGD", "lr": "find", "groups": None}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"lr": {"find": {"rule": "slide"}}, "groups": [{"lr": 1}]}}),
        ("recipe", {"extends": "x.yaml", "schedule": {"name": "OneCycleLR", "max_lr": {"find": {"rule": "steep"}}}}),
        ("recipe", {"extends": "x.yaml", "optimizer": {"name": "AdamW", "layer_decay": 0.75}}),
        ("recipe", {"extends": "x.yaml", "optimizer": [{"name": "Muon", "params": "rest", "layer_decay": "$(3 / 4)"}]}),
        ("recipe", {"extends": "x.yaml", "train": {"freeze_statistics": True}}),
        ("recipe", {"extends": "x.yaml", "train": {"freeze_statistics": {"match": ["bn1", "layer1"]}}}),
        ("recipe", {"extends": "x.yaml", "train": {"activation_checkpointing": {"match": "layer1"}}}),
    ],
)
def test_what_is_right_passes(kind: str, data: Any) -> None:
    assert [error.message[:200] for error in validator(kind).iter_errors(data)] == []


def test_every_key_of_the_forms_is_in_the_schema() -> None:
    schema = json_schema("architecture")
    assert set(ArchitectureForm.model_fields) <= set(schema["properties"])
    assert set(BlockForm.model_fields) <= set(schema["$defs"]["Block"]["properties"])
    assert set(Recipe.model_fields) <= set(json_schema("recipe")["properties"])


def test_another_kind_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="no schema of 'recipes'"):
        json_schema("recipes")
