"""Lints: what a graph may say, but hardly means. All are warnings; ``--strict`` makes them errors. Floor 6.

The planner itself warns of unused layers and of blocks that hide an op; what stands here needs the whole plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from zoo.diagnostics import Diagnostic, Diagnostics, Note, Span
from zoo.graph.flow import Flow, FlowNode, flow
from zoo.graph.plan import Plan, Step, TensorSpec
from zoo.registry import did_you_mean

SOFTMAX = {"softmax", "Softmax", "Softmax2d"}
# What changes no value, or only where a value stands: a softmax shows through.
TRANSPARENT = {
    "flatten", "Flatten", "Identity", "reshape", "view", "Unflatten", "unflatten", "squeeze", "unsqueeze", "permute",
    "Permute", "transpose", "movedim", "expand", "repeat", "tile", "repeat_interleave", "roll", "flip", "rot90",
    "pixel_shuffle", "PixelShuffle", "pixel_unshuffle", "PixelUnshuffle", "channel_shuffle", "ChannelShuffle",
    "cat", "stack", "select", "index_select", "narrow", "chunk", "split", "unbind", "contiguous", "detach",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d",
    "StochasticDepth", "DropBlock2d",
}  # fmt: skip
# What makes of several softmaxes their average, of one as much as its scale.
AVERAGES, SCALES = {"add", "mean"}, {"mul", "div"}
# What subtracts the mean of each channel.
NORMS = {f"{kind}Norm{rank}d" for kind in ("Batch", "Instance") for rank in (1, 2, 3)} | {"instance_norm"}
# What leaves every dimension where it is, whatever its name: a map in, a map out.
KEEPS_ORDER = {
    "relu", "ReLU", "relu6", "ReLU6", "gelu", "GELU", "silu", "SiLU", "mish", "Mish", "hardswish", "Hardswish",
    "leaky_relu", "LeakyReLU", "elu", "ELU", "celu", "CELU", "sigmoid", "Sigmoid", "tanh", "Tanh", "Identity", "prelu",
    "PReLU", "selu", "SELU", "softplus", "Softplus", "hardtanh", "Hardtanh", "hardsigmoid", "Hardsigmoid", "dropout",
    "Dropout", "alpha_dropout", "AlphaDropout", "StochasticDepth", "SqueezeExcitation", "GroupNorm", "group_norm",
    "instance_norm", "LocalResponseNorm", "local_response_norm", "LayerNorm", "layer_norm", "RMSNorm", "rms_norm",
    "normalize", "add", "sub", "mul", "div", "maximum", "minimum", "lerp", "clamp", "abs", "square", "sqrt", "pow",
    "gt", "ge", "lt", "le", "eq", "ne", "where", "masked_fill",
    "softmax", "Softmax", "cat", "chunk", "split", "narrow", "index_select", "flip", "roll", "pad", "interpolate",
    "Upsample", "contiguous", "detach", "channel_shuffle", "ChannelShuffle", "pixel_shuffle", "PixelShuffle",
    "pixel_unshuffle", "PixelUnshuffle",
}  # fmt: skip
# A constant added before a max-pool is the same constant after it.
MAX_POOLS = {
    f"{name}{rank}d"
    for name in ("MaxPool", "max_pool", "AdaptiveMaxPool", "adaptive_max_pool", "FractionalMaxPool")
    for rank in (1, 2, 3)
    if (name, rank) != ("FractionalMaxPool", 1)
}
NORMS_OF_THE_LAST = {"LayerNorm", "layer_norm", "RMSNorm", "rms_norm"}  # dimensions, as many as they are told
WITH_SOFTMAX = {"CrossEntropyLoss", "LabelSmoothingCrossEntropy", "PolyCrossEntropy"}  # losses that begin with one
SMALLEST_CAM = 3  # a map below 3 x 3 has no middle: a CAM of it shows nothing


def lint(
    plan: Plan, diagnostics: Diagnostics, *, loss: str = "CrossEntropyLoss", loss_span: Span | None = None
) -> None:
    """Adds a warning for each thing in a plan that its author hardly means; once for all calls of a block.

    Args:
        plan: The network.
        diagnostics: Takes the warnings.
        loss: The recipe's loss; for an architecture by itself the default one.
        loss_span: Where the recipe names it.
    """
    network, found = _Network(plan), Diagnostics()
    if loss in WITH_SOFTMAX:
        _softmax_before_loss(network, found, loss_span)
    for look in (_bias_before_norm, _window_wider_than_map, _linear_on_map, _norm_on_map):
        look(network, found)
    diagnostics.extend(_once_a_place(found))


class _Network:
    """A plan as one flat graph, and what the lints ask of it."""

    def __init__(self, plan: Plan) -> None:
        self.graph = flow(plan)
        self._inputs = plan.inputs
        self._by_path = {node.path: node for node in self.graph.nodes}

    def before(self, node: FlowNode) -> FlowNode | None:
        """The node whose value this one reads first; None where that is an input, or it reads nothing."""
        return self._by_path.get(node.reads[0].source) if node.reads else None

    def incoming(self, node: FlowNode) -> tuple[int, ...] | None:
        """The sizes of what a node reads first, where that is one tensor."""
        before = self.before(node)
        if before is not None:
            output = before.step.output
            return output.shape if isinstance(output, TensorSpec) else None
        return self._inputs[node.reads[0].source.removeprefix("in:")].shape if node.reads else None

    def incoming_map(self, node: FlowNode) -> tuple[int, ...] | None:
        """The same, where it is a map: four dimensions, the channels in the second, as an image or a 2d layer has."""
        sizes = self.incoming(node)
        if sizes is None or len(sizes) != 4:
            return None
        maker = self.before(node)
        while maker is not None and not maker.step.op.lower().endswith("2d"):
            if maker.step.op not in KEEPS_ORDER or not maker.reads:
                return None
            maker = self.before(maker)
        return sizes

    def maker(self, node: FlowNode) -> list[Note]:
        """Says what makes the map that a node reads."""
        maker = self.before(node)
        return [Note(f"{maker.path} makes the map", maker.step.span)] if maker is not None else []

    def shrinker(self, node: FlowNode) -> list[Note]:
        """Says which layer made the map that a node reads 1x1."""
        current = self.before(node)
        while current is not None and current.reads:
            sizes = self.incoming(current)
            if sizes is None or prod(sizes[2:]) > 1:
                return [Note(f"{current.path} shrinks it to 1x1", current.step.span)]
            current = self.before(current)
        return []


def _once_a_place(found: Diagnostics) -> Iterator[Diagnostic]:
    """Of the messages with one code at one place, which calls and copies of a block bring about, the first."""
    groups: dict[tuple[str, Span | None], list[Diagnostic]] = {}
    for item in found:
        groups.setdefault((item.code, item.span), []).append(item)
    for first, *others in groups.values():
        more = f"; and {len(others)} more like it from this line" if others else ""
        yield replace(first, message=first.message + more)


def lint_cam_layer(plan: Plan, layer: str, span: Span | None, diagnostics: Diagnostics) -> None:
    """Checks the layer that class activation maps shall be drawn of: an error where there is none of that name, and
    a warning where it has no map, or one (height, width) too small to show anything.
    """
    steps = {path: step for path, step in plan.walk() if step.is_module}
    if layer not in steps:
        help = did_you_mean(layer, list(steps))
        diagnostics.error("unknown-layer", f"explain.layer: {plan.name} has no layer {layer!r}", span, help=help)
        return
    output = steps[layer].output
    if not isinstance(output, TensorSpec):
        return
    sizes = output.shape[1:]
    if len(sizes) < 2:  # neither a map nor tokens
        code, reason = "no-cam", f"gives {list(sizes)} for each image, which is no map: no place has a value of its own"
    elif len(sizes) == 3 and min(sizes[1:]) < SMALLEST_CAM:
        height, width = sizes[1:]
        code, reason = "small-cam", f"has a map of {height}x{width}: too small to show where the network looks"
    else:
        return
    diagnostics.warning(
        code,
        f"explain.layer: {layer} {reason}",
        span,
        notes=[Note(f"{layer} stands here", steps[layer].span)],
        help="name an earlier layer",
    )


def _softmax_before_loss(network: _Network, diagnostics: Diagnostics, loss_span: Span | None) -> None:
    shown = _softmaxes_shown(network.graph)
    for node in network.graph.nodes:
        if node.path in shown:
            diagnostics.warning(
                "softmax-before-loss",
                f"{node.path}: a softmax in front of the cross-entropy, which contains one",
                node.step.span,
                notes=[Note("the loss", loss_span)] if loss_span else [],
                help="remove the softmax: with it the loss of ten classes cannot fall under 1.461",
            )


def _softmaxes_shown(graph: Flow) -> set[str]:
    """The paths of the softmaxes whose values reach an output, as they are or averaged with others like them."""
    shown: dict[str, set[str]] = {}
    for node in graph.nodes:
        through = [shown.get(link.source, set()) for link in node.reads]
        averages = node.step.op in AVERAGES or (node.step.op in SCALES and len(through) == 1)
        if node.step.op in SOFTMAX:
            shown[node.path] = {node.path}
        elif node.step.op in TRANSPARENT or (averages and all(through)):
            shown[node.path] = set().union(*through)
    return set().union(*(shown.get(link.source, set()) for link in graph.outputs))


def _bias_before_norm(network: _Network, diagnostics: Diagnostics) -> None:
    undone = _undone_biases(network)
    told = {source.path for source, _ in undone}
    # A copy or another call of one line may need the bias that this one has in vain.
    needed = {node.step.span for node in network.graph.nodes if _bias(node.step) and node.path not in told}
    for source, norm in undone:
        if source.step.span not in needed:
            diagnostics.warning(
                "bias-before-norm",
                f"{source.path}: its bias is undone by {norm.path}, which subtracts the mean",
                source.step.span,
                notes=[Note(f"{norm.path} is {norm.step.op}", norm.step.span)],
                help=f"write bias: false, which saves {_bias(source.step):,} parameters",
            )


def _undone_biases(network: _Network) -> list[tuple[FlowNode, FlowNode]]:
    """The layers whose bias does nothing, each with the norm that subtracts it."""
    graph = network.graph
    readers = graph.readers()
    outputs = {link.source for link in graph.outputs}
    shared = {
        f"{node.path.rpartition('.')[0]}.{node.step.share}".lstrip(".") for node in graph.nodes if node.step.share
    }
    found = []
    for node in graph.nodes:
        source = network.before(node) if node.step.op in NORMS else None
        while source is not None and source.step.op in MAX_POOLS and len(readers[source.path]) == 1:
            source = network.before(source)
        if source is None or source.path in outputs or len(readers[source.path]) > 1 or not _bias(source.step):
            continue
        if source.path not in shared and _is_along_channels(source.step, node.step):
            found.append((source, node))
    return found


def _is_along_channels(step: Step, norm: Step) -> bool:
    """Whether its bias lies along dimension 1, whose means a norm subtracts; a Linear's lies along the last.

    Of two dimensions an instance norm takes the first for the channels, and subtracts the mean over the last.
    """
    if not step.op.startswith("Linear"):
        return True
    is_flat = isinstance(step.output, TensorSpec) and len(step.output.shape) == 2
    return is_flat and norm.op.startswith("BatchNorm")


def _bias(step: Step) -> int:
    """How many numbers its bias trains; 0 where it has none."""
    is_affine = step.op.startswith(("Conv", "Linear"))
    biases = [prod(each.shape) for each in step.parameters if each.name == "bias" and each.trainable]
    return sum(biases) if is_affine else 0


def _window_wider_than_map(network: _Network, diagnostics: Diagnostics) -> None:
    for node in network.graph.nodes:
        if not node.step.op.startswith("Conv") or node.step.op.startswith("ConvTranspose"):
            continue
        kernel = node.step.arguments.get("kernel_size", 1)
        widest = max(kernel) if isinstance(kernel, list | tuple) else kernel
        sizes = network.incoming(node)
        if sizes and len(sizes) >= 3 and prod(sizes[2:]) == 1 and widest > 1:
            diagnostics.warning(
                "window-wider-than-map",
                f"{node.path}: a convolution {widest} wide over a map of 1x1 sees nothing but padding around one value",
                node.step.span,
                notes=network.shrinker(node),
                help="shrink the map later, or use kernel_size: 1",
            )


def _linear_on_map(network: _Network, diagnostics: Diagnostics) -> None:
    for node in network.graph.nodes:
        sizes = network.incoming_map(node) if node.step.op == "Linear" else None
        if sizes is None:
            continue
        pool = "" if prod(sizes[2:]) == 1 else ", and {op: AdaptiveAvgPool2d, output_size: 1} before that to average"
        diagnostics.warning(
            "linear-on-map",
            f"{node.path}: a Linear works on the last dimension, of a map its width: {list(sizes[1:])} comes in",
            node.step.span,
            notes=network.maker(node),
            help=f"put {{op: flatten, start_dim: 1}} before it{pool}",
        )


def _norm_on_map(network: _Network, diagnostics: Diagnostics) -> None:
    for node in network.graph.nodes:
        due = node.step.arguments.get("normalized_shape")
        sizes = network.incoming_map(node) if node.step.op in NORMS_OF_THE_LAST else None
        if sizes is None or (isinstance(due, list | tuple) and len(due) > 1):
            continue
        over_channels = "LayerNorm2d normalises over the channels, " if node.step.op.lower().startswith("layer") else ""
        diagnostics.warning(
            "norm-on-map",
            f"{node.path}: {node.step.op} works on the last dimension, of a map its width: {list(sizes[1:])} comes in",
            node.step.span,
            notes=network.maker(node),
            help=f"{over_channels}normalized_shape: {list(sizes[1:])} over the whole map",
        )
