"""A network as a file that runs without zoo: ONNX, or PyTorch's own exported program. Floor 6.

::

    module ─▶ trace (any batch size) ─▶ write beside the file ─▶ read back, run, compare ─▶ move into place

A file that gives other numbers than the module never gets its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.disk import disk_faults, draft_of, fsync_folder, make_folder
from zoo.errors import UsageError
from zoo.exchange.export.formats import Format, format_of
from zoo.exchange.export.tracing import Outputs, example, outputs_of, quiet, traced

__all__ = ["Exported", "Input", "export", "format_of"]

TOLERANCE = 1e-3  # of the largest number that the module gives; float32 kernels differ by some 1e-6
_SIZES = (1, 3)  # batches that are compared; the trace was made of another


@dataclass(frozen=True)
class Input:
    """One input: its shape without the batch, and its type. The first dimension of every input is the batch."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def type_name(self) -> str:
        """The type as numpy calls it."""
        return str(self.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Exported:
    """What was written. ``difference`` is the largest one found, as a share of the module's largest number."""

    path: Path
    metadata: Mapping[str, Any]  # as it stands in the file
    difference: float
    checked_by: str


def export(
    name: str, module: nn.Module, inputs: Mapping[str, Input], path: Path, facts: Mapping[str, Any], *, debug: bool
) -> Exported:
    """Writes a module in evaluation mode, fp32 on the CPU, to a file of the format that the path's suffix names.

    ``name`` is the network's in messages. ``facts`` go into the file as JSON, beside what the file itself takes and
    gives. ``debug`` shows what PyTorch's exporters say on the way. Raises UsageError where the module cannot be
    exported or the file gives other numbers, and EnvironmentFault where it cannot be written.
    """
    form = format_of(path)
    with quiet(name, "what looks at values, or counts images, on its way cannot be traced", debug=debug):
        given = outputs_of(module, [example(one.shape, one.dtype, size=2) for one in inputs.values()])
        shapes = {output: tuple(value.shape[1:]) for output, value in given.items()}
        program = traced(module, {key: example(one.shape, one.dtype, size=2) for key, one in inputs.items()})
    metadata = {
        "inputs": {key: {"shape": ["batch", *one.shape], "dtype": one.type_name} for key, one in inputs.items()},
        "outputs": {key: {"shape": ["batch", *shape], "dtype": "float32"} for key, shape in shapes.items()},
        **facts,
    }
    make_folder(path.parent)
    draft = draft_of(path).with_suffix(path.suffix)
    with disk_faults(path):
        try:
            with quiet(name, f"the other format, {form.other}, may have it", debug=debug):
                form.write(program, draft, tuple(inputs), tuple(shapes), json.dumps(metadata))
                difference, checked_by = _compared(form, draft, module, inputs)
            if not difference <= TOLERANCE:  # of NaN, too
                message = f"{path.name} gives other numbers than {name}: they differ by {difference:.2g} of the largest"
                raise UsageError(message, code="export-differs", help=f"the other format is {form.other}")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return Exported(path, metadata, difference, checked_by)


def _compared(form: Format, path: Path, module: nn.Module, inputs: Mapping[str, Input]) -> tuple[float, str]:
    """The largest difference between file and module, as a share of its largest number, and what ran the file."""
    run, by = form.read(path)
    worst = 0.0
    for size in _SIZES:
        images = [example(one.shape, one.dtype, size=size) for one in inputs.values()]
        expected: Outputs = outputs_of(module, images)
        for want, got in zip(expected.values(), run(images), strict=True):
            worst = max(worst, _difference(want, got), key=lambda value: (value != value, value))
    return worst, by


def _difference(want: Tensor, got: Tensor) -> float:
    if want.shape != got.shape:
        return float("nan")
    scale = want.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return float((want - got).abs().max() / scale)
