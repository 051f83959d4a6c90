"""Bad arguments: told at the value, in one message."""

from __future__ import annotations

from typing import Any

import pytest

from tests.layers.layer_cases import FUNCTIONS, MODULES
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.layers import initialisers, ops
from zoo.schema import given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)
CONV = {"in_channels": 64, "out_channels": 32, "kernel_size": 3}
BASES: dict[str, dict[str, Any]] = {name: arguments for name, arguments, _ in (*MODULES, *FUNCTIONS)} | {
    "Embedding": {"num_embeddings": 7, "embedding_dim": 3},
    **{f"MaxUnpool{rank}d": {"kernel_size": 2} for rank in (1, 2, 3)},
    "index_select": {"dim": 0},
    "masked_fill": {"value": 0},
    "Parameter": {"shape": [1]},
    "Buffer": {"shape": [1]},
    "LayerNorm2d": {"normalized_shape": 8},
    "StochasticDepth": {"p": 0.5, "mode": "row"},
    "SqueezeExcitation": {"input_channels": 8, "squeeze_channels": 2},
    "DropBlock2d": {"p": 0.5, "block_size": 3},
    "FrozenBatchNorm2d": {"num_features": 8},
    "Permute": {"dims": [0, 1]},
    "timm": {"name": "resnet18"},
    "torchvision": {"name": "resnet18"},
}
OWN_INITIALISERS = {"partial_dirac", "patch_whitening", "arange", "linspace", "relative_position"}
POOL = {"kernel_size": 2}


def problem(name: str, arguments: dict[str, Any]) -> str:
    """The one message about these arguments."""
    diagnostics = Diagnostics()
    made = validate(ops[name].arguments, from_data(arguments, PLACE), diagnostics, what=name)
    if made is None:
        (item,) = diagnostics
        return item.message
    found = ops[name].check(given(made))
    assert found is not None, "nothing was found"
    assert found[0] in ops[name].arguments.model_fields
    return f"{name}: {found[0]}: {found[1]}"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Conv2d", CONV | {"out_channels": 0}, "out_channels: expected at least 1, got 0"),
        ("Conv2d", CONV | {"out_channels": -1}, "out_channels: expected at least 1, got -1"),
        ("Conv2d", CONV | {"out_channels": True}, "out_channels: expected int, got true"),
        ("Conv2d", CONV | {"out_channels": 1.5}, "out_channels: expected int, got 1.5"),
        ("Conv2d", CONV | {"out_channels": 10**12}, "out_channels: expected at most 16777216, got 1000000000000"),
        ("Conv2d", CONV | {"kernel_size": [3, 0]}, "kernel_size[1]: expected at least 1, got 0"),
        ("Conv2d", CONV | {"kernel_size": "x"}, "kernel_size: expected int or [int, int], got 'x'"),
        ("Conv2d", CONV | {"stride": 0}, "stride: expected at least 1, got 0"),
        ("Conv2d", CONV | {"padding": -1}, "padding: expected at least 0, got -1"),
        ("Conv2d", CONV | {"padding": "smae"}, "padding: expected same, valid, int or [int, int], got 'smae'"),
        ("Conv2d", CONV | {"padding": "same", "stride": 2}, "padding: same wants stride 1"),
        ("Conv2d", CONV | {"groups": 3}, "groups: 3 does not divide in_channels 64"),
        ("Conv2d", CONV | {"groups": 64}, "groups: 64 does not divide out_channels 32"),
        ("Conv2d", CONV | {"groups": 0}, "groups: expected at least 1, got 0"),
        ("Conv2d", CONV | {"kernal_size": 3}, "unknown key 'kernal_size'"),
        ("Conv2d", CONV | {"device": "cpu"}, "unknown key 'device'"),
        ("ConvTranspose2d", CONV | {"output_padding": 1}, "output_padding: 1 is not smaller than stride or dilation"),
        ("ConvTranspose2d", CONV | {"padding_mode": "reflect"}, "padding_mode: expected zeros, got 'reflect'"),
        ("MaxPool2d", POOL | {"padding": 2}, "padding: 2 is more than half the kernel_size 2"),
        ("max_pool2d", {"kernel_size": [4, 2], "padding": [1, 2]}, "padding: 2 is more than half the kernel_size 2"),
        ("MaxPool2d", {"kernel_size": [2, 2, 2]}, "kernel_size: expected int or [int, int], got [2, 2, 2]"),
        ("BatchNorm2d", {"num_features": 4, "eps": -1}, "eps: expected at least 0, got -1"),
        ("BatchNorm2d", {"num_features": 4, "momentum": 2}, "momentum: expected at most 1, got 2"),
        ("GroupNorm", {"num_groups": 3, "num_channels": 64}, "num_groups: 3 does not divide num_channels 64"),
        ("MultiheadAttention", {"embed_dim": 64, "num_heads": 3}, "num_heads: 3 does not divide embed_dim 64"),
        ("TransformerEncoderLayer", {"d_model": 64, "nhead": 3}, "nhead: 3 does not divide d_model 64"),
        ("Dropout", {"p": 1.5}, "p: expected at most 1, got 1.5"),
        ("dropout", {"p": -0.1}, "p: expected at least 0, got -0.1"),
        ("StochasticDepth", {"p": 0.1, "mode": "rows"}, "mode: expected batch or row, got 'rows'"),
        ("GELU", {"approximate": "tan"}, "approximate: expected none or tanh, got 'tan'"),
        ("Softmax", {}, "dim is missing"),
        ("flatten", {"start_dim": 9}, "start_dim: expected at most 7, got 9"),
        ("reshape", {"shape": [-2]}, "shape[0]: expected at least -1, got -2"),
        ("reshape", {"shape": 3}, "shape: expected a list of int, got 3"),
        ("Upsample", {}, "scale_factor: give either size or scale_factor"),
        ("Upsample", {"size": 3, "scale_factor": 2}, "scale_factor: give either size or scale_factor"),
        (
            "interpolate",
            {"size": 3, "align_corners": True},
            "align_corners: goes with the modes linear, bilinear, bicubic, trilinear",
        ),
        ("clamp", {}, "min: give min, max or both"),
        ("clamp", {"min": 2, "max": 1}, "max: 1 lies below min 2"),
        ("Hardtanh", {"min_val": 2}, "max_val: 1 is not above min_val 2"),
        ("pad", {"pad": [1, 1, 1]}, "pad: expected a pair for each dimension"),
        (
            "Embedding",
            {"num_embeddings": 3, "embedding_dim": 2, "padding_idx": 3},
            "padding_idx: 3 is not among 3 embeddings",
        ),
        ("mul", {"other": "x"}, "other: expected number or null, got 'x'"),
        ("Parameter", {"shape": [0]}, "shape[0]: expected at least 1, got 0"),
        ("Buffer", {"shape": [1], "dtype": "int"}, "dtype: expected float32, float64, int64 or bool, got 'int'"),
        ("Sigmoid", {"inplace": True}, "unknown key 'inplace'"),
        ("Identity", {"anything": 1}, "unknown key 'anything'"),
    ],
)
def test_a_bad_argument_is_told(name: str, arguments: dict[str, Any], message: str) -> None:
    assert problem(name, arguments) == f"{name}: {message}"


def test_every_op_is_documented() -> None:
    assert [name for name in ops if not ops[name].doc.strip()] == []


def test_every_argument_is_described() -> None:
    models = {name: ops[name].arguments for name in ops} | {name: initialisers[name].arguments for name in initialisers}
    silent = [
        (name, field)
        for name, model in models.items()
        for field, info in model.model_fields.items()
        if not info.description and not (name in initialisers and name not in OWN_INITIALISERS)
    ]
    assert silent == []


def test_every_model_has_a_json_schema() -> None:
    for name in ops:
        schema = ops[name].arguments.model_json_schema()
        assert schema["additionalProperties"] is False
        assert set(schema["properties"] if schema.get("properties") else {}) == set(ops[name].arguments.model_fields)


def test_docs_are_prose() -> None:
    assert [
        (name, ops[name].doc) for name in ops if "\\" in ops[name].doc or "`" in ops[name].doc.replace("``", "")
    ] == []


ANY_VALUES: list[Any] = [
    *(0, 1, -1, 2**24, 2**70, True, None, 0.5, 1.5, float("nan"), float("inf")),
    *("x", "same", "\ud800", [], [1, 2], [0, 1], [1, "x"], [[1]], {"a": 1}),
]


@pytest.mark.parametrize("name", list(ops))
def test_any_value_gives_arguments_or_one_message(name: str) -> None:
    """Whatever stands at an argument: it fits, or it gets a message without Pydantic's words; nothing is raised."""
    op = ops[name]
    base = BASES.get(name, {})
    for field in op.arguments.model_fields:
        for value in ANY_VALUES:
            diagnostics = Diagnostics()
            made = validate(op.arguments, from_data({**base, field: value}, PLACE), diagnostics, what=name)
            if made is not None and name not in ("timm", "torchvision"):
                found = op.check(given(made))
                assert found is None or found[0] in op.arguments.model_fields
            elif made is None:
                messages = [item.message for item in diagnostics]
                assert len(messages) == 1
                assert not any(word in messages[0] for word in ("Input", "valid ", "constrained", "tuple", "literal["))
