"""Every function op: what it computes is what its text computes, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.layers.layer_cases import FUNCTIONS as CASES
from tests.layers.layer_cases import ROW, Case, ident
from tests.layers.layer_cases import SMALL_BOX as BOX
from tests.layers.layer_cases import SMALL_MAP as MAP
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.layers import ops
from zoo.schema import given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)
RANDOM = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "rrelu"}


def read(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    diagnostics = Diagnostics()
    made = validate(ops[name].arguments, from_data(arguments, PLACE), diagnostics, what=name)
    assert made is not None, [item.message for item in diagnostics]
    assert ops[name].check(given(made)) is None
    return given(made)


def tensors(shapes: tuple[tuple[int, ...], ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(shape, generator=generator) + 0.1 for shape in shapes]


def evaluate(name: str, arguments: dict[str, Any], values: list[Tensor], training: bool) -> Any:
    """The op's Python text, run."""
    op = ops[name]
    names = [f"x{number}" for number in range(len(values))]
    keywords = {
        key: f"float({str(value)!r})" if value in (float("-inf"),) else repr(value) for key, value in arguments.items()
    }
    text = op.expression(names, keywords, "training" if op.follows_training else None)
    torch.manual_seed(2)
    scope = {"torch": torch, "F": F, "training": training, **dict(zip(names, values, strict=True))}
    return eval(text, scope)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return bool(first.dtype == second.dtype and torch.equal(torch.nan_to_num(first), torch.nan_to_num(second)))
    return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("case", CASES, ids=ident)
def test_the_text_computes_what_the_op_computes(case: Case, training: bool) -> None:
    name, arguments, shapes = case
    taken, values = read(name, arguments), tensors(shapes)
    fewest, most = ops[name].input_bounds(taken)
    assert fewest <= len(values) <= (most or 99)
    torch.manual_seed(2)
    flag = {"training": training} if ops[name].follows_training else {}
    applied = ops[name].apply([value.clone() for value in values], {}, {**taken, **flag})
    assert same(applied, evaluate(name, taken, values, training))


def test_every_function_is_tested() -> None:
    functions = {name for name in ops if ops[name].kind == "function"}
    assert functions == {case[0] for case in CASES} | {"index_select", "where", "masked_fill"}


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_functions_follow_training(name: str) -> None:
    """Control for the training flag: with it values differ from without it."""
    values = tensors((BOX if name.endswith("3d") else ROW if name.endswith("1d") else MAP,))
    values[0] -= 0.5
    assert ops[name].follows_training
    assert not same(ops[name].apply(values, {}, {"training": True}), ops[name].apply(values, {}, {}))
    assert not same(evaluate(name, {}, values, True), evaluate(name, {}, values, False))


def test_attention_drops_only_while_training() -> None:
    values = tensors(((2, 2, 5, 3),) * 3)
    attention = ops["scaled_dot_product_attention"]
    plain_value = F.scaled_dot_product_attention(*values)
    assert same(attention.apply(values, {}, {"dropout_p": 0.5}), plain_value)
    assert not same(attention.apply(values, {}, {"dropout_p": 0.5, "training": True}), plain_value)
    assert attention.expression(["q", "k", "v"], {}, "self.training") == "F.scaled_dot_product_attention(q, k, v)"


def test_inputs_may_come_by_name() -> None:
    query, key, value = tensors(((2, 2, 5, 3),) * 3)
    attention = ops["scaled_dot_product_attention"]
    named = {"value": value, "key": key, "query": query}
    assert same(attention.apply([], named, {}), F.scaled_dot_product_attention(query, key, value))
    assert (
        attention.expression([], {"value": "v", "key": "k", "query": "q"}) == "F.scaled_dot_product_attention(q, k, v)"
    )
    assert ops["sub"].expression([], {"other": "b", "input": "a"}) == "a - b"
    assert same(ops["sub"].apply([], {"other": query, "input": key}, {}), key - query)
    table, index = torch.randn(5, 2), torch.tensor([3, 1])
    assert same(ops["index_select"].apply([table, index], {}, {"dim": 0}), table[index])
    assert ops["index_select"].expression(["t", "i"], {"dim": "0"}) == "torch.index_select(t, 0, i)"


def test_functions_of_masks_and_indices() -> None:
    first, second = tensors((MAP, MAP))
    mask = first > second
    assert same(ops["where"].apply([mask, first, second], {}, {}), torch.maximum(first, second))
    assert ops["where"].expression(["m", "a", "b"], {}) == "torch.where(m, a, b)"
    assert same(ops["masked_fill"].apply([first, mask], {}, {"value": 0.0}), first * ~mask)
    assert ops["masked_fill"].expression(["a", "m"], {"value": "0.0"}) == "torch.masked_fill(a, m, 0.0)"


@pytest.mark.parametrize("name", ["gt", "ge", "lt", "le", "eq", "ne"])
def test_comparisons_make_masks(name: str) -> None:
    first, second = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 2.0, 2.0]])
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
    mask = eval(f"first {signs[name]} second")
    assert mask.dtype == torch.bool
    assert same(ops[name].apply([first, second], {}, {}), mask)
    assert same(ops[name].apply([first], {}, {"other": 2}), mask)
    assert ops[name].input_bounds({"other": 2}) == (1, 1)
    assert ops[name].expression(["x"], {"other": "2"}) == f"torch.{name}(x, 2)"


def test_expressions_read_as_a_person_would_write_them(golden: Any) -> None:
    lines = []
    for name, arguments, shapes in CASES:
        taken, names = read(name, arguments), "xyzw"[: len(shapes)]
        training = "self.training" if ops[name].follows_training else None
        lines.append(ops[name].expression(list(names), {key: repr(value) for key, value in taken.items()}, training))
    golden("expressions.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "arguments", "rank", "dims"),
    [
        ("cat", {}, 4, (0,)),
        ("cat", {"dim": -3}, 4, (1,)),
        ("stack", {}, 4, ()),
        ("softmax", {"dim": -1}, 2, (1,)),
        ("mean", {"dim": (2, 3)}, 4, (2, 3)),
        ("flip", {"dims": (0, -1)}, 4, (0, 3)),
        ("chunk", {"chunks": 2}, 4, (0,)),
        ("relu", {}, 4, ()),
        ("Softmax", {"dim": 0}, 2, (0,)),
        ("Softmax2d", {}, 3, (0,)),
        ("Softmax2d", {}, 4, (1,)),
        ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2}, 3, (0, 2)),
        ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2, "batch_first": True}, 3, (1, 2)),
        ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2, "batch_first": True}, 2, (0, 1)),
    ],
)
def test_which_dimensions_are_mixed(name: str, arguments: dict[str, Any], rank: int, dims: tuple[int, ...]) -> None:
    assert ops[name].mixed_dims(arguments, rank) == dims


def test_which_ops_write_into_their_input() -> None:
    assert ops["relu"].modifies_input({"inplace": True})
    assert ops["ReLU"].modifies_input({"inplace": True})
    assert not ops["ReLU"].modifies_input({})


def test_a_second_input_or_a_number() -> None:
    assert ops["add"].input_bounds({}) == (2, None)
    assert ops["add"].input_bounds({"other": 1}) == (1, 1)
    assert ops["sub"].input_bounds({}) == (2, 2)
    assert ops["pow"].input_bounds({"exponent": 2}) == (1, 1)
    assert ops["cat"].input_bounds({}) == (1, None)
    assert ops["scaled_dot_product_attention"].input_bounds({}) == (3, 4)
