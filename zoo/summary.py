"""Parameter counts, FLOPs and the layer table of a network. Floor 6.

The network is built and run on the ``meta`` device, so that nothing is allocated whatever its size. Rows are
those of torchsummary (https://github.com/sksq96/pytorch-summary), in its order: leaf modules and modules
with a forward of their own, as they finish; functions make no row. Unlike torchsummary, a parameter that several
layers share is counted once, and the network's own `Parameter` layers are rows, which stand first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from rich.table import Table

Shape = tuple[int, ...]
MEGABYTE = 1 << 20
_PARAMETER = "Parameter"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``output_shape`` bears -1 for the batch; it is nested where several tensors come out.

    A network's own parameter is of type ``Parameter`` and has no batch.
    """

    name: str
    type: str
    output_shape: Any
    params: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A network in numbers. FLOPs are 2 x MACs of one image's forward pass (convolutions and matrix products)."""

    name: str
    inputs: Mapping[str, Shape]  # without the batch
    rows: tuple[Row, ...]
    total_params: int
    trainable_params: int
    flops: int

    @property
    def input_megabytes(self) -> float:
        """Size of one fp32 input image."""
        return sum(prod(shape) for shape in self.inputs.values()) * 4 / MEGABYTE

    @property
    def activation_megabytes(self) -> float:
        """Outputs of all rows for one image, and as much again for their gradients, in fp32."""
        return 2 * 4 * sum(_numel(row.output_shape) for row in self.rows if row.type != _PARAMETER) / MEGABYTE

    @property
    def params_megabytes(self) -> float:
        """Parameters in fp32."""
        return self.total_params * 4 / MEGABYTE

    def as_data(self) -> dict[str, Any]:
        """The summary as plain data, for ``--json``."""
        shapes = [list(shape) for shape in self.inputs.values()]
        return {
            "name": self.name,
            "input": shapes[0] if len(shapes) == 1 else {key: list(shape) for key, shape in self.inputs.items()},
            "params": {"total": self.total_params, "trainable": self.trainable_params},
            "flops": self.flops,
            "layers": [
                {"name": row.name, "type": row.type, "output_shape": row.output_shape, "params": row.params}
                for row in self.rows
            ],
        }


def summarize(module: nn.Module, inputs: Mapping[str, Shape], *, name: str) -> Summary:
    """Runs a module once on zeros and notes each layer as it finishes.

    Args:
        module: The network, best on the ``meta`` device; its mode is restored, and that of each module in it.
        inputs: Shapes without the batch, in the order of the forward's arguments.
        name: What the summary calls the network.
    """
    watcher = _Watcher(module)
    held = chain(module.parameters(), module.buffers())
    device = next((tensor.device for tensor in held), torch.device("cpu"))
    tensors = [torch.zeros((1, *shape), device=device) for shape in inputs.values()]
    trained = [each for each in module.modules() if each.training]
    module.eval()
    counter = FlopCounterMode(display=False, custom_mapping=_FLOPS)
    try:
        with counter:
            module(*tensors)
    finally:
        for each in trained:  # not the others: a frozen norm stays in evaluation mode
            each.training = True
        watcher.close()
    parameters = list(module.parameters())
    return Summary(
        name=name,
        inputs=dict(inputs),
        rows=watcher.rows(),
        total_params=sum(p.numel() for p in parameters),
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        flops=counter.get_total_flops(),
    )


def _of_vectors(a: Shape, b: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """A matrix (rows, columns) or a vector (columns) times a vector (columns)."""
    return 2 * prod(a)


def _of_three(a: Shape, b: Shape, c: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """nn.Bilinear's product: (images, features), (outputs, features, features), (images, features)."""
    return 2 * a[0] * prod(b)


# Products that torch's counter does not know: a matrix or a vector with a vector, and nn.Bilinear's.
_FLOPS = {
    torch.ops.aten.mv: _of_vectors,
    torch.ops.aten.dot: _of_vectors,
    torch.ops.aten._trilinear: _of_three,
}


class _Watcher:
    """Forward hooks on every module that makes a row."""

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._finished: list[tuple[str, nn.Module, Any]] = []
        self._handles = [
            module.register_forward_hook(self._hook(path))
            for path, module in root.named_modules()
            if module is not root and not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        ]
        self._is_leaf = not self._handles
        if self._is_leaf:  # a network that is one leaf is its own row
            self._handles = [root.register_forward_hook(self._hook(""))]

    def _hook(self, path: str) -> Any:
        def note(module: nn.Module, arguments: Any, output: Any) -> None:
            self._finished.append((path, module, output))

        return note

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def rows(self) -> tuple[Row, ...]:
        ran = {id(module) for _, module, _ in self._finished}
        own: dict[str, nn.Parameter] = {} if self._is_leaf else dict(self._root.named_parameters(recurse=False))
        seen = {id(parameter) for parameter in own.values()}
        free = (Row(name, _PARAMETER, list(each.shape), each.numel()) for name, each in own.items())
        return *free, *(
            Row(path, type(module).__name__, _shape(output), _own_params(module, ran, seen))
            for path, module, output in self._finished
        )


def _own_params(module: nn.Module, ran: set[int], seen: set[int]) -> int:
    """Parameters a row answers for: its own, and those of children that never ran by themselves.

    ``nn.MultiheadAttention`` reads the weights of its ``out_proj`` without calling it, for one.
    """
    count = 0
    for parameter in module._parameters.values():
        if parameter is not None and id(parameter) not in seen:
            seen.add(id(parameter))
            count += parameter.numel()
    for child in module.children():
        if id(child) not in ran and not isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            count += _own_params(child, ran, seen)
    return count


def _shape(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return [-1, *output.shape[1:]]
    if isinstance(output, Mapping):
        return {str(key): _shape(value) for key, value in output.items()}
    if isinstance(output, list | tuple):
        return [_shape(value) for value in output]
    return None


def _numel(shape: Any) -> int:
    if isinstance(shape, Mapping):
        return sum(map(_numel, shape.values()))
    if not shape:
        return 0
    if isinstance(shape[0], int):
        return prod(abs(size) for size in shape)
    return sum(map(_numel, shape))


def torchsummary_text(summary: Summary) -> str:
    """The table as torchsummary prints it, line for line."""
    rule, double = "-" * 64, "=" * 64
    lines = [rule, f"{'Layer (type)':>20}  {'Output Shape':>25} {'Param #':>15}", double]
    for number, row in enumerate(summary.rows, 1):
        lines.append(f"{f'{row.type}-{number}':>20}  {row.output_shape!s:>25} {row.params:>15,}")
    sizes = (summary.input_megabytes, summary.activation_megabytes, summary.params_megabytes)
    lines += [
        double,
        f"Total params: {summary.total_params:,}",
        f"Trainable params: {summary.trainable_params:,}",
        f"Non-trainable params: {summary.total_params - summary.trainable_params:,}",
        rule,
        f"Input size (MB): {sizes[0]:.2f}",
        f"Forward/backward pass size (MB): {sizes[1]:.2f}",
        f"Params size (MB): {sizes[2]:.2f}",
        f"Estimated Total Size (MB): {sum(sizes):.2f}",
        rule,
    ]
    return "\n".join(lines)


def layer_table(summary: Summary) -> Table:
    """The layer table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # No style but rules: what is no colour (bold, italic) would be written in spite of NO_COLOR.
    table = Table(title=Text(summary.name), title_justify="left", title_style="", header_style="", box=box.SIMPLE_HEAD)
    table.add_column("layer", overflow="fold")
    table.add_column("type", overflow="fold")
    table.add_column("output shape", justify="right", overflow="fold")
    table.add_column("parameters", justify="right", no_wrap=True)
    for row in summary.rows:
        cells = (row.name, row.type, _shape_text(row.output_shape), f"{row.params:,}" if row.params else "")
        table.add_row(*map(Text, cells))  # names may hold what rich would take for its markup
    return table


def totals_text(summary: Summary) -> str:
    """The network in one line: parameters, FLOPs, megabytes."""
    frozen = summary.total_params - summary.trainable_params
    parts = [
        f"{summary.total_params:,} parameters" + (f", {frozen:,} of them frozen" if frozen else ""),
        f"{human_count(summary.flops)}FLOPs an image",
        f"{summary.params_megabytes:.2f} MB of parameters",
    ]
    return " · ".join(parts)


def _shape_text(shape: Any) -> str:
    if isinstance(shape, Mapping):
        return ", ".join(f"{key}: {_shape_text(value)}" for key, value in shape.items())
    if shape and any(part is None or isinstance(part, list | Mapping) for part in shape):
        return " | ".join(_shape_text(part) for part in shape if part is not None)
    return " x ".join(map(str, shape[1:] if shape[0] == -1 else shape)) if shape else ""


def human_count(number: float) -> str:
    """A count in three figures, ready for its unit: ``6.57 M``, ``1.2 G``."""
    rounded = float(f"{number:.3g}")  # first: 999,999 is a million in three figures
    for limit, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if rounded >= limit:
            return f"{rounded / limit:.3g}{unit}"
    return f"{number:g} "
