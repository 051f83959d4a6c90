"""Every module op against torch.nn itself."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.layers.layer_cases import BOX, MAP, ROW, Case, ident
from tests.layers.layer_cases import MODULES as CASES
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.layers import ops
from zoo.layers.absences import ABSENT, SYNONYMS
from zoo.schema import given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)
TWO_INPUTS = {"PairwiseDistance"}
INTEGERS = {"Embedding": {"num_embeddings": 7, "embedding_dim": 3, "padding_idx": 0}}
UNPOOLS = {"MaxUnpool1d": ROW, "MaxUnpool2d": MAP, "MaxUnpool3d": BOX}


def read(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    diagnostics = Diagnostics()
    made = validate(ops[name].arguments, from_data(arguments, PLACE), diagnostics, what=name)
    assert made is not None, [item.message for item in diagnostics]
    assert ops[name].check(given(made)) is None
    return given(made)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return bool(first.dtype == second.dtype and torch.equal(first, second))
    if isinstance(first, tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)


def seeded(build: Any) -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = build()
    return module


def outputs(module: nn.Module, inputs: list[Tensor]) -> Any:
    torch.manual_seed(1)
    return module(*inputs)


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_a_module_is_torchs_own(case: Case) -> None:
    name, arguments, shapes = case
    op = ops[name]
    taken = read(name, arguments)
    inputs = [torch.randn(shape) for shape in (shapes * 2 if name in TWO_INPUTS else shapes)]
    assert op.min_inputs <= len(inputs) <= (op.max_inputs or 99)
    built, reference = seeded(lambda: op.build(taken)), seeded(lambda: getattr(nn, name)(**taken))
    assert type(built) is type(reference)
    assert repr(built) == repr(reference)
    written = seeded(lambda: eval(op.constructor({key: repr(value) for key, value in taken.items()}), {"nn": nn}))
    assert repr(written) == repr(reference)
    for training in (True, False):
        values = [outputs(module.train(training), inputs) for module in (built, reference, written)]
        assert same(values[0], values[1])
        assert same(values[0], values[2])


@pytest.mark.parametrize("case", CASES, ids=ident)
def test_a_module_runs_on_meta(case: Case) -> None:
    name, arguments, shapes = case
    with torch.device("meta"):
        module = ops[name].build(read(name, arguments)).eval()  # a batch norm with momentum null counts in training
        values = module(*[torch.empty(shape) for shape in (shapes * 2 if name in TWO_INPUTS else shapes)])
    first = values[0] if isinstance(values, tuple) else values
    assert first.device.type == "meta"


def test_embedding_and_unpooling() -> None:
    embedding = seeded(lambda: ops["Embedding"].build(read("Embedding", INTEGERS["Embedding"])))
    reference = seeded(lambda: nn.Embedding(7, 3, padding_idx=0))
    assert same(embedding(torch.arange(7)), reference(torch.arange(7)))
    for name, shape in UNPOOLS.items():
        pool = ops[name.replace("Unpool", "Pool")].build({"kernel_size": 2, "return_indices": True})
        value, indices = pool(torch.randn(shape))
        assert ops[name].build(read(name, {"kernel_size": 2}))(value, indices).shape == shape


def test_the_comparison_can_fail() -> None:
    """Control: another argument, another value."""
    x = torch.randn(MAP)
    first = seeded(lambda: ops["Conv2d"].build({"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2}))
    second = seeded(lambda: nn.Conv2d(4, 6, 3, stride=2, bias=False))
    assert not same(first(x), second(x))


def test_all_of_torch_nn_is_here_or_has_its_reason() -> None:
    modules = {name for name, value in vars(nn).items() if inspect.isclass(value) and issubclass(value, nn.Module)}
    present = {name for name in ops if ops[name].kind == "module" and ops[name].path.startswith("nn.")}
    assert modules - present == set(ABSENT) & modules
    assert not present & set(ABSENT)
    tested = {case[0] for case in CASES} | set(INTEGERS) | set(UNPOOLS)
    assert present == tested
    assert set(SYNONYMS.values()) <= set(ops)


@pytest.mark.parametrize(
    ("name", "inferred"),
    [
        ("Conv2d", {"in_channels": "channels"}),
        ("BatchNorm2d", {"num_features": "channels"}),
        ("GroupNorm", {"num_channels": "channels"}),
        ("Linear", {"in_features": "features"}),
        ("LayerNorm", {"normalized_shape": "features"}),
        ("LayerNorm2d", {"normalized_shape": "channels"}),
        ("MultiheadAttention", {"embed_dim": "features"}),
        ("SqueezeExcitation", {"input_channels": "channels"}),
        ("ReLU", {}),
    ],
)
def test_what_is_filled_in_from_the_incoming_shape(name: str, inferred: dict[str, str]) -> None:
    assert ops[name].infers == inferred


def test_inputs_and_call_keywords_come_from_forward() -> None:
    attention = ops["MultiheadAttention"]
    assert attention.input_names == ("query", "key", "value", "key_padding_mask", "attn_mask")
    assert (attention.min_inputs, attention.max_inputs) == (3, 5)
    assert attention.call is not None
    assert set(attention.call.model_fields) == {"need_weights", "average_attn_weights", "is_causal"}
    assert ops["Conv2d"].call is None
    assert ops["Bilinear"].input_names == ("input1", "input2")
    assert ops["MaxUnpool2d"].input_names == ("input", "indices")
