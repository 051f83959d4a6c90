"""What torch has and the catalogue lacks, with the reason; what is called otherwise here. Floor 2.

A test walks torch.nn against both. The reasons are what a message says of such a name.
"""

from __future__ import annotations

_LOSS = "a loss: it stands in a recipe"
_CONTAINER = "a container: layers are put together in YAML"
_RECURRENT = "recurrent: its input is a sequence in time"
_LAZY = "its sizes are filled in from the incoming shape in every op, without the lazy class"

# What other libraries call what stands here under another name, in lower case.
SYNONYMS = {
    "add": "add",
    "batchnorm": "BatchNorm2d",
    "batch_norm": "BatchNorm2d",
    "concat": "cat",
    "concatenate": "cat",
    "conv": "Conv2d",
    "dense": "Linear",
    "droppath": "StochasticDepth",
    "fc": "Linear",
    "globalaveragepooling2d": "AdaptiveAvgPool2d",
    "globalavgpool": "AdaptiveAvgPool2d",
    "globalavgpool2d": "AdaptiveAvgPool2d",
    "swish": "SiLU",
}

ABSENT: dict[str, str] = {
    **dict.fromkeys(
        [
            "AdaptiveLogSoftmaxWithLoss",
            "BCELoss",
            "BCEWithLogitsLoss",
            "CTCLoss",
            "CosineEmbeddingLoss",
            "CrossEntropyLoss",
            "GaussianNLLLoss",
            "HingeEmbeddingLoss",
            "HuberLoss",
            "KLDivLoss",
            "L1Loss",
            "LinearCrossEntropyLoss",
            "MSELoss",
            "MarginRankingLoss",
            "MultiLabelMarginLoss",
            "MultiLabelSoftMarginLoss",
            "MultiMarginLoss",
            "NLLLoss",
            "NLLLoss2d",
            "PoissonNLLLoss",
            "SmoothL1Loss",
            "SoftMarginLoss",
            "TripletMarginLoss",
            "TripletMarginWithDistanceLoss",
        ],
        _LOSS,
    ),
    **dict.fromkeys(
        ["Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"], _CONTAINER
    ),
    **dict.fromkeys(["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"], _RECURRENT),
    **dict.fromkeys(
        [
            *(
                f"Lazy{kind}{rank}d"
                for kind in ("BatchNorm", "Conv", "ConvTranspose", "InstanceNorm")
                for rank in (1, 2, 3)
            ),
            "LazyLinear",
        ],
        _LAZY,
    ),
    **dict.fromkeys(
        ["Transformer", "TransformerDecoder", "TransformerEncoder"],
        "a stack of layer modules handed in: repeat TransformerEncoderLayer instead",
    ),
    **dict.fromkeys(["argmax", "argmin", "argsort"], "it gives places, through which nothing trains"),
    **dict.fromkeys(
        ["sort", "topk"], "the places of its values differ from sample to sample: amax and amin give the extremes"
    ),
    **dict.fromkeys(
        ["gather", "scatter", "take_along_dim"],
        "its indices differ from sample to sample: index_select takes the same of all",
    ),
    **dict.fromkeys(
        ["fft", "fft2", "ifft2", "irfft2", "rfft", "rfft2", "stft"], "its numbers are complex: no layer takes them"
    ),
    **dict.fromkeys(
        ["affine_grid", "grid_sample"], "it warps along a grid; interpolate resizes, a recipe's transforms warp"
    ),
    **dict.fromkeys(["DeformConv2d", "deform_conv2d"], "it runs on torchvision's compiled operators alone"),
    "CrossMapLRN2d": "superseded by LocalResponseNorm",
    "DataParallel": "a way to run a model, not a layer",
    "EmbeddingBag": "sums bags of indices of varying length: for text",
    "SyncBatchNorm": "put in for BatchNorm by whoever trains on several devices; it runs on no CPU",
}
