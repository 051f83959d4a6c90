"""Every module op against torch.nn itself."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.layers import ops
from zoo.layers.absences import ABSENT
from zoo.schema import given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)
MAP, ROW, BOX, FLAT = (2, 4, 8, 8), (2, 4, 8), (2, 4, 6, 6, 6), (2, 6)
SIDES = {1: ROW, 2: MAP, 3: BOX}

Case = tuple[str, dict[str, Any], tuple[tuple[int, ...], ...]]


def ranked(pattern: str, **arguments: Any) -> list[Case]:
    """The 1-, 2- and 3-dimensional forms of a layer."""
    return [(pattern.format(rank), arguments, (shape,)) for rank, shape in SIDES.items()]


def plain(names: str, shape: tuple[int, ...] = MAP) -> list[Case]:
    """Layers that need no arguments."""
    return [(name, {}, (shape,)) for name in names.split()]


CASES: list[Case] = [
    *ranked("Conv{}d", in_channels=4, out_channels=6, kernel_size=3, padding=1, groups=2),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": [3, 1], "padding": "same", "bias": False}, (MAP,)),
    (
        "Conv2d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding_mode": "reflect", "padding": [1, 1]},
        (MAP,),
    ),
    *ranked("ConvTranspose{}d", in_channels=4, out_channels=6, kernel_size=3, stride=2, output_padding=1),
    ("Unfold", {"kernel_size": 2, "stride": [2, 2]}, (MAP,)),
    ("Fold", {"output_size": [4, 5], "kernel_size": [2, 2]}, ((2, 8, 12),)),
    *ranked("BatchNorm{}d", num_features=4, momentum=None),
    *ranked("InstanceNorm{}d", num_features=4, affine=True),
    ("GroupNorm", {"num_groups": 2, "num_channels": 4}, (MAP,)),
    ("LayerNorm", {"normalized_shape": [8, 8], "eps": 1e-6}, (MAP,)),
    ("LayerNorm", {"normalized_shape": 6}, (FLAT,)),
    ("RMSNorm", {"normalized_shape": 6}, (FLAT,)),
    ("LocalResponseNorm", {"size": 3}, (MAP,)),
    *ranked("MaxPool{}d", kernel_size=2, padding=1, ceil_mode=True),
    *ranked("AvgPool{}d", kernel_size=2, stride=1),
    *ranked("AdaptiveAvgPool{}d", output_size=3),
    ("AdaptiveAvgPool2d", {"output_size": [None, 3]}, (MAP,)),
    *ranked("AdaptiveMaxPool{}d", output_size=3),
    *ranked("LPPool{}d", norm_type=2, kernel_size=2),
    ("FractionalMaxPool2d", {"kernel_size": 2, "output_size": [4, 4]}, (MAP,)),
    ("FractionalMaxPool3d", {"kernel_size": 2, "output_ratio": 0.5}, (BOX,)),
    ("Upsample", {"scale_factor": 2, "mode": "bilinear", "align_corners": False}, (MAP,)),
    ("UpsamplingNearest2d", {"scale_factor": 2}, (MAP,)),
    ("UpsamplingBilinear2d", {"size": [5, 6]}, (MAP,)),
    *ranked("ZeroPad{}d", padding=1),
    *ranked("ConstantPad{}d", padding=1, value=0.5),
    *ranked("ReflectionPad{}d", padding=1),
    *ranked("ReplicationPad{}d", padding=2),
    *ranked("CircularPad{}d", padding=1),
    ("ZeroPad2d", {"padding": [1, -1, 2, 0]}, (MAP,)),
    *plain("ReLU ReLU6 LeakyReLU ELU SELU CELU SiLU Mish Hardswish Hardsigmoid Hardshrink Softshrink Tanhshrink"),
    *plain("Softplus Softsign Sigmoid LogSigmoid Tanh PReLU Softmax2d Identity GELU Hardtanh RReLU GLU"),
    *plain("Dropout Dropout2d AlphaDropout FeatureAlphaDropout Flatten PairwiseDistance"),
    ("PReLU", {"num_parameters": 4, "init": 0.1}, (MAP,)),
    ("GELU", {"approximate": "tanh"}, (MAP,)),
    ("Threshold", {"threshold": 0.1, "value": 2}, (MAP,)),
    ("Dropout1d", {"p": 0.3}, (ROW,)),
    ("Dropout3d", {"p": 0.3}, (BOX,)),
    *((name, {"dim": 1}, (MAP,)) for name in ("Softmax", "LogSoftmax", "Softmin")),
    ("Linear", {"in_features": 6, "out_features": 5}, (FLAT,)),
    ("Bilinear", {"in1_features": 6, "in2_features": 6, "out_features": 5}, (FLAT, FLAT)),
    ("CosineSimilarity", {"dim": 1}, (FLAT, FLAT)),
    ("MultiheadAttention", {"embed_dim": 6, "num_heads": 2, "batch_first": True}, ((2, 5, 6),) * 3),
    ("TransformerEncoderLayer", {"d_model": 6, "nhead": 2, "batch_first": True, "activation": "gelu"}, ((2, 5, 6),)),
    ("TransformerDecoderLayer", {"d_model": 6, "nhead": 2, "batch_first": True}, ((2, 5, 6),) * 2),
    ("Unflatten", {"dim": 1, "unflattened_size": [2, 2]}, (MAP,)),
    ("PixelShuffle", {"upscale_factor": 2}, (MAP,)),
    ("PixelUnshuffle", {"downscale_factor": 2}, (MAP,)),
    ("ChannelShuffle", {"groups": 2}, (MAP,)),
]
TWO_INPUTS = {"PairwiseDistance"}
INTEGERS = {"Embedding": {"num_embeddings": 7, "embedding_dim": 3, "padding_idx": 0}}
UNPOOLS = {"MaxUnpool1d": ROW, "MaxUnpool2d": MAP, "MaxUnpool3d": BOX}


def ident(case: Case) -> str:
    return f"{case[0]}-{','.join(case[1])}"


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
