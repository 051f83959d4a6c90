"""Arguments and input shapes for every op, shared by the tests of this folder."""

from __future__ import annotations

from typing import Any

MAP, ROW, BOX, FLAT = (2, 4, 8, 8), (2, 4, 8), (2, 4, 6, 6, 6), (2, 6)
SIDES = {1: ROW, 2: MAP, 3: BOX}

Case = tuple[str, dict[str, Any], tuple[tuple[int, ...], ...]]


def ranked(pattern: str, **arguments: Any) -> list[Case]:
    """The 1-, 2- and 3-dimensional forms of a layer."""
    return [(pattern.format(rank), arguments, (shape,)) for rank, shape in SIDES.items()]


def plain(names: str, shape: tuple[int, ...] = MAP) -> list[Case]:
    """Layers that need no arguments."""
    return [(name, {}, (shape,)) for name in names.split()]


MODULES: list[Case] = [
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

# Maps of 6 x 6 and smaller boxes for the functions.
SMALL_MAP, SMALL_BOX = (2, 4, 6, 6), (2, 3, 4, 4, 4)


def call(names: str, *shapes: tuple[int, ...], **arguments: Any) -> list[Case]:
    return [(name, arguments, shapes or (SMALL_MAP,)) for name in names.split()]


FUNCTIONS: list[Case] = [
    *call("ceil expm1 log2 atan sinh cosh detach"),
    *call("tril triu", diagonal=1),
    *call("gumbel_softmax", tau=0.5, hard=True, dim=1),
    *call("view", shape=[-1, 4, 36]),
    *call("bmm", (2, 3, 4), (2, 4, 5)),
    *call("linear", (2, 3), (5, 3), (5,)),
    *call("linear", (2, 3), (5, 3)),
    *call("conv1d", ROW, (5, 4, 3)),
    *call("conv2d", SMALL_MAP, (6, 2, 3, 3), (6,), padding="same", groups=2),
    *call("conv3d", SMALL_BOX, (5, 3, 2, 2, 2), stride=[1, 2, 1]),
    *call("relu relu6 leaky_relu elu selu celu silu mish hardswish hardsigmoid hardtanh softsign tanhshrink rrelu"),
    *call("gelu softplus hardshrink softshrink logsigmoid sigmoid tanh abs neg sign square sqrt rsqrt reciprocal"),
    *call("exp log log1p sin cos erf floor round dropout dropout2d alpha_dropout feature_alpha_dropout glu contiguous"),
    *call("dropout1d", ROW, p=0.3),
    *call("dropout3d", SMALL_BOX, p=0.3),
    *call("dropout", p=0.9),
    *call("relu", inplace=False),
    *call("threshold", threshold=0.1, value=2),
    *call("gelu", approximate="tanh"),
    *call("prelu", SMALL_MAP, (4,)),
    *call("softmax log_softmax softmin", dim=1),
    *call("clamp", min=0, max=0.5),
    *call("clamp", min=0.2),
    *call("add mul sub div", other=2),
    *call("add mul sub div", SMALL_MAP, SMALL_MAP),
    *call("add mul", SMALL_MAP, SMALL_MAP, (1, 4, 1, 1), SMALL_MAP),
    *call("mul", other=0.1111),
    *call("div", other=3, rounding_mode="floor"),
    *call("pow", exponent=2),
    *call("pow maximum minimum matmul", SMALL_MAP, SMALL_MAP),
    *call("gt ge lt le eq ne", SMALL_MAP, SMALL_MAP),
    *call("gt ge lt le eq ne", SMALL_MAP, other=0.5),
    *call("lerp", SMALL_MAP, SMALL_MAP, weight=0.3),
    *call("cat", SMALL_MAP, SMALL_MAP, dim=1),
    *call("cat", SMALL_MAP),
    *call("stack", SMALL_MAP, SMALL_MAP, SMALL_MAP, dim=1),
    *call("einsum", ROW, ROW, equation="bnc,bmc->bnm"),
    *call("einsum", SMALL_MAP, equation="bchw->bhwc"),
    *call("scaled_dot_product_attention", (2, 2, 5, 3), (2, 2, 5, 3), (2, 2, 5, 3), is_causal=True, scale=0.5),
    *call("scaled_dot_product_attention", (2, 2, 5, 3), (2, 2, 5, 3), (2, 2, 5, 3), (5, 5), dropout_p=0.5),
    *call("flatten", start_dim=1),
    *call("unflatten", dim=1, sizes=[2, -1]),
    *call("reshape", shape=[-1, 2, 2, 6, 6]),
    *call("permute", dims=[0, 2, 3, 1]),
    *call("transpose", dim0=1, dim1=2),
    *call("movedim", source=1, destination=-1),
    *call("movedim", source=[1, 2], destination=[2, 3]),
    *call("squeeze", (2, 4, 1, 1), dim=[2, 3]),
    *call("unsqueeze", dim=1),
    *call("tile", dims=[1, 2]),
    *call("repeat", repeats=[1, 2, 1, 1]),
    *call("repeat_interleave", repeats=2, dim=1),
    *call("expand", (2, 4, 1, 1), size=[-1, -1, 3, 3]),
    *call("roll", shifts=[1, -2], dims=[2, 3]),
    *call("flip", dims=[3]),
    *call("rot90", k=1, dims=[2, 3]),
    *call("select", dim=1, index=-1),
    *call("narrow", dim=1, start=1, length=2),
    *call("chunk", chunks=2, dim=1),
    *call("split", split_size_or_sections=[1, 3], dim=1),
    *call("unbind", dim=1),
    *call("pixel_shuffle", upscale_factor=2),
    *call("pixel_unshuffle", downscale_factor=2),
    *call("channel_shuffle", groups=2),
    *call("mean sum amax amin logsumexp std var", dim=[2, 3], keepdim=True),
    *call("var", dim=1, correction=0),
    *call("prod", dim=1),
    *call("cumsum", dim=1),
    *call("vector_norm", dim=[1], ord=1),
    *call("max_pool1d avg_pool1d", ROW, kernel_size=2),
    *call("max_pool2d avg_pool2d", kernel_size=[2, 3], stride=1, padding=1),
    *call("max_pool3d avg_pool3d", SMALL_BOX, kernel_size=2),
    *call("adaptive_max_pool1d adaptive_avg_pool1d", ROW, output_size=3),
    *call("adaptive_max_pool2d adaptive_avg_pool2d", output_size=[None, 1]),
    *call("adaptive_max_pool3d adaptive_avg_pool3d", SMALL_BOX, output_size=2),
    *call("lp_pool1d", ROW, norm_type=2, kernel_size=2),
    *call("lp_pool2d", norm_type=2, kernel_size=[2, 2], stride=1),
    *call("normalize"),
    *call("layer_norm rms_norm", normalized_shape=[6]),
    *call("group_norm", num_groups=2),
    *call("instance_norm"),
    *call("local_response_norm", size=3),
    *call("interpolate", scale_factor=2, mode="bilinear"),
    *call("interpolate", size=[5, 7]),
    *call("pad", pad=[1, 1, 0, 2], mode="reflect"),
    *call("pad", pad=[1, 1], value=float("-inf")),
    *call("unfold", kernel_size=3, padding=1),
    *call("cosine_similarity", SMALL_MAP, SMALL_MAP),
]


def ident(case: Case) -> str:
    """A case's name in pytest's output."""
    return f"{case[0]}-{','.join(case[1])}-{len(case[2])}"
