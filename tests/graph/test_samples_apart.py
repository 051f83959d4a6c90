"""The samples of a batch never see each other: what would let them is refused, what does not is planned."""

from __future__ import annotations

import pytest

from tests.graph.plan_world import codes

ATTENTION = "from: [input, input, input], num_heads: 2, batch_first: true"

MIXED = {
    "attention": ("[16]", "{op: scaled_dot_product_attention, from: [input, input, input]}"),
    "multihead": ("[16]", f"{{op: MultiheadAttention, {ATTENTION}}}"),
    "encoder": ("[16]", "{op: TransformerEncoderLayer, nhead: 2, batch_first: true}"),
    "decoder": ("[16]", "{op: TransformerDecoderLayer, nhead: 2, batch_first: true, from: [input, input]}"),
    "memory": (
        "{x: [4, 16], m: [16]}",
        "{op: TransformerDecoderLayer, nhead: 2, batch_first: true, from: {memory: m, tgt: x}}",
    ),
    "sequence first": ("[4, 16]", "{op: TransformerEncoderLayer, nhead: 2}"),
    "softmax of maps": ("[3, 8]", "Softmax2d"),
    "summed over the other's batch": ("[16]", '{op: einsum, equation: "bi,ci->b", from: [input, input]}'),
    "summed over the batch": ("[16]", '{op: einsum, equation: "bi,bj->ij", from: [input, input]}'),
    "summed by rule": ("[16]", '{op: einsum, equation: "bi,bj", from: [input, input]}'),
    "summed in dots": ("[4, 16]", '{op: einsum, equation: "...i->i"}'),
    "paired": ("[16]", '{op: einsum, equation: "bi,ci->bc", from: [input, input]}'),
    "triangle": ("[16]", "tril"),
    "linear by samples": ("[16]", "{op: linear, from: [input, input]}"),
    "squeezed with the map": ("[3, 1, 1]", "{op: squeeze, dim: [0, 2, 3]}"),
    "rotated into the channels": ("[3, 8, 8]", "{op: rot90, dims: [0, 1]}"),
}


@pytest.mark.parametrize("case", MIXED)
def test_what_mixes_samples_is_refused(case: str) -> None:
    shape, layer = MIXED[case]
    assert codes(f"input: {shape}\nlayers: {{a: {layer}}}") == ["batch-mixed"]


@pytest.mark.parametrize(
    "layers",
    [
        "{t: {op: transpose, dim0: 0, dim1: 1}, m: {op: matmul, from: [t, input]}}",
        "{t: {op: transpose, dim0: 0, dim1: 1}, m: {op: matmul, from: [input, t]}}",
        "{t: {op: unsqueeze, dim: 0}, u: {op: unsqueeze, dim: 1, from: input}, m: {op: sub, from: [t, u]}}",
        "{t: {op: unsqueeze, dim: 0}, c: {op: conv1d, from: [t, t]}}",
    ],
)
def test_products_over_the_batch_and_pairs_of_samples_are_refused(layers: str) -> None:
    assert codes(f"input: [16]\nlayers: {layers}")[:1] == ["batch-mixed"]


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ("[4, 16]", "{a: {op: scaled_dot_product_attention, from: [input, input, input]}}"),
        ("[4, 16]", f"{{a: {{op: MultiheadAttention, {ATTENTION}}}, o: {{op: relu, from: a.0}}}}"),
        ("[4, 16]", "{t: {op: transpose, dim0: 0, dim1: 1}, e: {op: TransformerEncoderLayer, nhead: 2}, "
         "u: {op: transpose, dim0: 0, dim1: 1}}"),
        ("[3, 8, 8]", "{a: Softmax2d}"),
        ("[4, 16]", '{a: {op: einsum, equation: "bni,bmi->bnm", from: [input, input]}}'),
        ("[4, 16]", '{a: {op: einsum, equation: "...i,...i", from: [input, input]}}'),
        ("[4, 16]", "{t: {op: transpose, dim0: 1, dim1: 2}, m: {op: matmul, from: [input, t]}}"),
        ("[4, 16]", "{t: {op: transpose, dim0: 1, dim1: 2}, m: {op: bmm, from: [input, t]}}"),
        ("[16]", "{w: {op: Parameter, shape: [5, 16]}, m: {op: linear, from: [input, w]}}"),
        ("[16]", "{w: {op: Parameter, shape: [16, 5]}, m: {op: matmul, from: [input, w]}}"),
        ("[3, 8]", "{w: {op: Parameter, shape: [5, 3, 3]}, m: {op: conv1d, from: [input, w]}}"),
        ("{x: [4, 16], pad: [4]}", "{p: {op: MultiheadAttention, num_heads: 2, batch_first: true, "
         "from: {query: x, key: x, value: x, key_padding_mask: pad}}, o: {op: relu, from: p.0}}"),
    ],
)  # fmt: skip
def test_what_keeps_samples_apart_is_planned(shape: str, layers: str) -> None:
    assert codes(f"input: {shape}\nlayers: {layers}") == []
