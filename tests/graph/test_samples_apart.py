"""The samples of a batch never see each other: what would let them is refused, what does not is planned."""

from __future__ import annotations

import pytest
import torch

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


WINDOWS = [
    "{op: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}",
    "{op: ConvTranspose2d, out_channels: 4, kernel_size: 3, padding: 1}",
    *("{op: MaxPool2d, kernel_size: 3, stride: 1}", "{op: avg_pool2d, kernel_size: 3, stride: 1}"),
    *("{op: AdaptiveAvgPool2d, output_size: 1}", "{op: adaptive_max_pool2d, output_size: 1}"),
    *("{op: lp_pool2d, norm_type: 2, kernel_size: 3}", "{op: Upsample, scale_factor: 2, mode: bilinear}"),
    *(
        "{op: interpolate, scale_factor: 2}",
        "{op: ReflectionPad2d, padding: 1}",
        "{op: pad, pad: [1, 1]}",
    ),
    *("InstanceNorm2d", "{op: GroupNorm, num_groups: 2}", "instance_norm", "{op: group_norm, num_groups: 2}"),
    *("{op: Unfold, kernel_size: 3}", "{op: unfold, kernel_size: 3}"),
]


@pytest.mark.parametrize("layer", WINDOWS)
def test_windows_over_the_batch_are_refused_and_windows_over_the_map_are_not(layer: str) -> None:
    swapped = "input: [4, 8, 8]\nlayers: {t: {op: transpose, dim0: 0, dim1: 3}, w: %s}"
    assert codes(swapped % layer) == ["batch-mixed"]
    assert codes(f"input: [4, 8, 8]\nlayers: {{w: {layer}}}") == []


def test_padding_that_adds_to_the_batch_is_refused() -> None:
    assert codes("input: [4, 8]\nlayers: {p: {op: pad, pad: [0, 0, 0, 0, 1, 1]}}") == ["batch-mixed"]
    assert codes("input: [4, 8]\nlayers: {p: {op: pad, pad: [0, 0, 1, 1, 0, 0]}}") == []


@pytest.mark.parametrize("layer", ["{op: LocalResponseNorm, size: 3}", "{op: local_response_norm, size: 3}"])
def test_neighbours_in_a_batch_do_not_damp_each_other(layer: str) -> None:
    assert codes(f"input: [4, 8, 8]\nlayers: {{t: {{op: transpose, dim0: 0, dim1: 1}}, n: {layer}}}") == ["batch-mixed"]


def test_a_window_over_the_batch_would_let_samples_see_each_other() -> None:
    images = torch.randn(3, 4, 8, 8)
    changed = images.clone()
    changed[1] += 1
    pool = torch.nn.AvgPool2d(3, stride=1, padding=1)
    one, other = (pool(batch.transpose(0, 3)).transpose(0, 3) for batch in (images, changed))
    assert not torch.equal(one[0], other[0])
    assert torch.equal(pool(images)[0], pool(changed)[0])


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
