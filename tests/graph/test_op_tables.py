"""What is known of ops by their names: no op of the catalogue may be missing there for want of being thought of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.layers.layer_cases import FUNCTIONS, MODULES, Case
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.graph import halving, inplace, mismatch
from zoo.layers import ops
from zoo.schema import given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)
CASES = [*MODULES, *FUNCTIONS]


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value or () for tensor in tensors(item)]


def applied(case: Case) -> tuple[list[Tensor], list[Tensor]]:
    """What goes in and what comes out, in a training."""
    name, arguments, shapes = case
    model = validate(ops[name].arguments, from_data(arguments, PLACE), Diagnostics(), what=name)
    assert model is not None
    generator = torch.Generator().manual_seed(0)
    count = max(len(shapes), ops[name].min_inputs)  # of a pair that is alike the cases give one
    inputs = [(torch.rand(shape, generator=generator) + 0.1).requires_grad_() for shape in (shapes * count)[:count]]
    if ops[name].kind == "module":
        return inputs, tensors(ops[name].build(given(model))(*inputs))
    return inputs, tensors(ops[name].apply(inputs, {}, given(model)))


def is_read_backwards(case: Case) -> bool:
    """Whether what comes out is among the tensors that autograd keeps, and is no view of what went in."""
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        inputs, outputs = applied(case)
    places = [{tensor.data_ptr() for tensor in each} for each in (kept, outputs, inputs)]
    return bool((places[0] & places[1]) - places[2])


def test_every_op_whose_output_its_gradient_reads_is_known() -> None:
    named = inplace._GRADIENT_FROM_OUTPUT
    assert {case[0] for case in CASES if is_read_backwards(case)} == named - {"gumbel_softmax"}  # here a hard choice


def test_every_function_of_several_inputs_is_known_to_broadcast_or_not() -> None:
    """Those with a `second_input`, and those that gather, say it themselves."""
    functions = [op for op in map(ops.__getitem__, ops) if op.kind == "function" and op.max_inputs != 1]
    several = {op.name for op in functions if not op.gathers and not op.second_input}
    apart = {"bmm", "matmul", "linear", "conv1d", "conv2d", "conv3d", "einsum", "prelu", "index_select"}
    assert several == mismatch._BROADCASTING | apart | {"scaled_dot_product_attention"}


def test_every_op_that_resizes_maps_is_known() -> None:
    resizing = set()
    for case in CASES:
        (first, *_), outputs = applied(case)
        if first.dim() == 4 and any(each.dim() == 4 and each.shape[2:] != first.shape[2:] for each in outputs):
            resizing.add(case[0])
    moving = {"permute", "transpose", "movedim", "einsum", "GLU", "glu", "tile", "expand"}
    reducing = {"mean", "sum", "amax", "amin", "logsumexp", "std", "var"}
    assert {name for name in resizing if not halving._RESIZES.search(name)} == moving | reducing
