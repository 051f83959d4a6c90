"""Functions of several inputs. Floor 2."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from zoo.layers.bounds import DESCRIBED, Amount, Dim, Number, Probability, Size
from zoo.layers.declare import NoArguments, forms, function, no_arguments
from zoo.layers.op import Arguments, Op, along, as_call, over
from zoo.schema import ArgsModel, arguments_model


class Other(ArgsModel):
    """With a number, or with another input."""

    other: Number | None = Field(None, description="the number, in place of a second input")


class Divide(ArgsModel):
    """Divides by a number, or by another input."""

    other: Number | None = Field(None, description="the number, in place of a second input")
    rounding_mode: Literal["trunc", "floor"] | None = Field(None, description="how to round the quotient")


class Power(ArgsModel):
    """Raises to a power: a number, or another input."""

    exponent: Number | None = Field(None, description="the power, in place of a second input")


class Lerp(ArgsModel):
    """Goes from one input towards another by a weight."""

    weight: float = Field(description="how far towards the second: 0 the first, 1 the second")


class Cat(ArgsModel):
    """Joins the inputs along a dimension."""

    dim: Dim = 0


class Stack(ArgsModel):
    """Joins the inputs along a new dimension."""

    dim: Dim = 0


class Equation(ArgsModel):
    """Sums products of the inputs over the indices that an equation names: ``bnc,bmc->bnm``."""

    equation: str = Field(description="the inputs' indices, an arrow, the output's")


class IndexSelect(ArgsModel):
    """Takes the indices that the second input lists from a dimension of the first."""

    dim: Dim


class Filled(ArgsModel):
    """Puts a value where the second input, a mask, is true."""

    value: float = Field(allow_inf_nan=True, description="what is put in")


class Attention(ArgsModel):
    """softmax(q k' / sqrt(d) + mask) v. Inputs: query, key, value, and a mask where there is one."""

    dropout_p: Probability = Field(0.0, description="the probability of dropping a weight while training")
    is_causal: bool = Field(False, description="whether a place sees only those before it")
    scale: float | None = Field(None, description="in place of 1 / sqrt(d)")
    enable_gqa: bool = Field(False, description="whether several queries' heads share one of the keys'")


def _fold(name: str, symbol: str, combine: Callable[[Any, Any], Any], doc: str, *, any_number: bool = True) -> Op:
    """``a + b + c``, or ``a + 1`` where ``other`` is given."""

    def target(*inputs: Any) -> Tensor:
        if len(inputs) < 2:
            raise TypeError(f"{name} wants two inputs, or one and `other`")
        value: Tensor = reduce(combine, inputs)
        return value

    def writes(op: Op, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None) -> str:
        return f" {symbol} ".join(inputs)

    names = ("input", "other")
    options: dict[str, Any] = {"inputs": names, "min_inputs": 1, "any_number": any_number, "second_input": "other"}
    return function(name, target, Other, writes=writes, doc=doc, **options)


def _write_division(op: Op, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None) -> str:
    if keywords.get("rounding_mode", "None") == "None":
        return f"{inputs[0]} / {inputs[1]}"
    return as_call(op, inputs, keywords, training)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *,
    training: bool = False,
    dropout_p: float = 0.0,
    **keywords: Any,
) -> Tensor:
    dropout_p = dropout_p if training else 0.0
    return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, **keywords)


def _write_attention(op: Op, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None) -> str:
    dropout = keywords.get("dropout_p")
    if dropout is not None and training is not None:
        keywords = {**keywords, "dropout_p": f"{dropout} if {training} else 0.0"}
    return as_call(op, inputs, keywords, None)


def _einsum(*inputs: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *inputs)


def _write_einsum(op: Op, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None) -> str:
    return f"torch.einsum({', '.join([keywords['equation'], *inputs])})"


def _summed(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
    """The dimensions of an input that an equation sums over: those whose index is not in the result."""
    terms, arrow, result = arguments["equation"].replace(" ", "").partition("->")
    if not arrow:  # the result then has the indices that stand once
        result = "..." + "".join(letter for letter in terms if terms.count(letter) == 1)
    term = dict(enumerate(terms.split(","))).get(index, "")
    before, dots, after = term.partition("...")
    start, end = len(before), rank - len(after)
    dims = [dim for dim, letter in [*enumerate(before), *enumerate(after, end)] if letter not in result]
    return (*dims, *(range(start, end) if dots and dots not in result else ()))


def _of_matrices(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
    """A product sums over the first matrix's columns and the second's rows; a vector has but one dimension."""
    return (-1,) if index == 0 or rank == 1 else (-2,)


def _index_select(input: Tensor, index: Tensor, *, dim: int) -> Tensor:
    return torch.index_select(input, dim, index)


def _write_index_select(op: Op, inputs: Sequence[str], keywords: Mapping[str, str], training: str | None) -> str:
    return f"torch.index_select({inputs[0]}, {keywords['dim']}, {inputs[1]})"


def _convolve(rank: int) -> Op:
    """``conv2d`` with weights that another layer gives."""
    size, name = forms(Size, rank), f"conv{rank}d"
    fields: dict[str, Any] = {
        "stride": (size, 1),
        "padding": (Literal["same", "valid"] | forms(Amount, rank), 0),
        "dilation": (size, 1),
        "groups": (Size, 1),
    }
    doc = "A convolution by given weights."

    def all_but_batch(arguments: Arguments, dims: int, index: int) -> tuple[int, ...]:
        first = max(dims - rank - 1, 0) if index == 0 else 1  # of the weights, dimension 0 is what comes out
        return tuple(range(first, dims))

    arguments = arguments_model(name, no_arguments, overrides=fields, described=DESCRIBED, doc=doc)
    inputs = ("input", "weight", "bias")
    return function(f"F.{name}", getattr(F, name), arguments, inputs=inputs, min_inputs=2, mixes=all_but_batch)


_PAIR = ("input", "other")
_COMPARISONS = {
    "gt": "greater than",
    "ge": "greater than or equal to",
    "lt": "less than",
    "le": "less than or equal to",
    "eq": "equal to",
    "ne": "not equal to",
}


def _compare(name: str, words: str) -> Op:
    doc = f"A mask: where the first input is {words} the second, or a number."
    return function(
        f"torch.{name}", getattr(torch, name), Other, inputs=_PAIR, min_inputs=1, second_input="other", doc=doc
    )


OPS = (
    _fold("add", "+", operator.add, "The sum of the inputs, or of the input and a number."),
    _fold("mul", "*", operator.mul, "The product of the inputs, or of the input and a number."),
    _fold("sub", "-", operator.sub, "The difference of two inputs, or of the input and a number.", any_number=False),
    function("torch.div", torch.div, Divide, inputs=_PAIR, min_inputs=1, second_input="other", writes=_write_division),
    function("torch.pow", torch.pow, Power, inputs=("input", "exponent"), min_inputs=1, second_input="exponent"),
    *(_compare(name, words) for name, words in _COMPARISONS.items()),
    function(
        "torch.matmul", torch.matmul, NoArguments, inputs=_PAIR, mixes=_of_matrices, doc="The product of matrices."
    ),
    function("torch.maximum", torch.maximum, NoArguments, inputs=_PAIR, doc="The larger of two, value by value."),
    function("torch.minimum", torch.minimum, NoArguments, inputs=_PAIR, doc="The smaller of two, value by value."),
    function(
        "torch.bmm",
        torch.bmm,
        NoArguments,
        inputs=("input", "mat2"),
        mixes=_of_matrices,
        doc="The product of matrices, one a sample.",
    ),
    function(
        "torch.where", torch.where, NoArguments, inputs=("condition", "input", "other"), doc="One input or the other."
    ),
    function("torch.masked_fill", torch.masked_fill, Filled, inputs=("input", "mask")),
    function(
        "F.linear",
        F.linear,
        NoArguments,
        inputs=("input", "weight", "bias"),
        min_inputs=2,
        mixes=along(-1, inputs=2),
        doc="A linear map by given weights.",
    ),
    *(_convolve(rank) for rank in (1, 2, 3)),
    function("torch.lerp", torch.lerp, Lerp, inputs=("input", "end")),
    function("torch.cat", torch.cat, Cat, inputs=(), gathers=True, min_inputs=1, any_number=True, mixes=over("dim")),
    function(
        "torch.stack",
        torch.stack,
        Stack,
        inputs=(),
        gathers=True,
        min_inputs=1,
        any_number=True,
    ),
    function(
        "torch.einsum",
        _einsum,
        Equation,
        inputs=(),
        min_inputs=1,
        any_number=True,
        mixes=_summed,
        writes=_write_einsum,
    ),
    function(
        "torch.index_select",
        _index_select,
        IndexSelect,
        inputs=("input", "index"),
        mixes=over("dim"),
        writes=_write_index_select,
    ),
    function(
        "F.scaled_dot_product_attention",
        _attend,
        Attention,
        inputs=("query", "key", "value", "attn_mask"),
        min_inputs=3,
        follows_training=True,
        mixes=along(-2, -1, inputs=3),
        writes=_write_attention,
    ),
)
