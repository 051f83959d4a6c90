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

from zoo.disk import disk_faults, draft_of, fsync_folder, make_folder, write_through
from zoo.errors import UsageError
from zoo.exchange.export.formats import Format, format_of
from zoo.exchange.export.tracing import Outputs, example, outputs_of, quiet, traced

__all__ = ["Exported", "Port", "export", "format_of"]

TOLERANCE = 1e-3  # of the largest number that the module gives; float32 kernels differ by some 1e-6
_SIZES = (1, 3)  # batches that are compared; the trace was made of another


@dataclass(frozen=True)
class Port:
    """An input or output: its shape without the batch, which is the first dimension of each, and its type."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def described(self) -> dict[str, Any]:
        """As metadata has it: the shape with the batch, the type as numpy calls it."""
        return {"shape": ["batch", *self.shape], "dtype": str(self.dtype).removeprefix("torch.")}


@dataclass(frozen=True)
class Exported:
    """What was written. ``difference`` is the largest one found, as a share of the module's largest number."""

    path: Path
    metadata: Mapping[str, Any]  # as it stands in the file
    difference: float
    checked_by: str


def export(
    name: str, module: nn.Module, inputs: Mapping[str, Port], path: Path, facts: Mapping[str, Any], *, debug: bool
) -> Exported:
    """Writes a module in evaluation mode, fp32 on the CPU, to a file of the format that the path's suffix names.

    ``name`` is the network's in messages. ``facts`` go into the file as JSON, beside what the file itself takes and
    gives. ``debug`` shows what PyTorch's exporters say on the way. Raises UsageError where the module cannot be
    exported or the file gives other numbers, and EnvironmentFault where it cannot be written.
    """
    form = format_of(path)
    with quiet(name, "what looks at values, or counts images, on its way cannot be traced", debug=debug):
        outputs = _outputs(name, module, inputs)
        program = traced(module, {key: example(one.shape, one.dtype, size=2) for key, one in inputs.items()})
    metadata = {
        "inputs": {key: one.described for key, one in inputs.items()},
        "outputs": {key: one.described for key, one in outputs.items()},
        **facts,
    }
    make_folder(path.parent)
    draft = draft_of(path).with_suffix(path.suffix)
    with disk_faults(path):
        try:
            with quiet(name, f"the other format, {form.other}, may have it", debug=debug):
                content = form.content(program, tuple(inputs), tuple(outputs), json.dumps(metadata))
                write_through(draft, content)
                del content
                difference, checked_by = _compared(form, draft, module, inputs)
            if not difference <= TOLERANCE:  # of NaN, too
                message = f"{path.name} gives other numbers than {name}: they differ by {difference:.2g} of the largest"
                raise UsageError(message, code="export-differs", help=f"the other format is {form.other}")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return Exported(path, metadata, difference, checked_by)


def _outputs(name: str, module: nn.Module, inputs: Mapping[str, Port]) -> dict[str, Port]:
    """What a module gives. Raises UsageError where there is nothing that a file could be compared with."""
    images = [example(one.shape, one.dtype, size=2) for one in inputs.values()]
    given = outputs_of(module, images)
    for output, value in given.items():
        if not value.isfinite().all():
            raise UsageError(
                f"{name} gives numbers that are not finite: nothing can be compared with {output}",
                code="cannot-export",
                help="of a run that diverged, --checkpoint best may be sound",
            )
    again = outputs_of(module, images)
    if any(_difference(value, again[output]) > TOLERANCE for output, value in given.items()):
        raise UsageError(
            f"{name} gives other numbers each time: something in it is random in evaluation too",
            code="cannot-export",
            help="take out what draws, such as gumbel_softmax or FractionalMaxPool2d",
        )
    return {output: Port(tuple(value.shape[1:]), value.dtype) for output, value in given.items()}


def _compared(form: Format, path: Path, module: nn.Module, inputs: Mapping[str, Port]) -> tuple[float, str]:
    """The largest difference between file and module, as a share of its largest number, and what ran the file.

    Raises UsageError for an output of another type or shape.
    """
    run, by = form.read(path)
    worst = 0.0
    for size in _SIZES:
        images = [example(one.shape, one.dtype, size=size) for one in inputs.values()]
        expected: Outputs = outputs_of(module, images)
        for (output, want), got in zip(expected.items(), run(images), strict=True):
            if (want.shape, want.dtype) != (got.shape, got.dtype):
                message = f"the file gives {output} as {_kind(got)}, where the network gives {_kind(want)}"
                raise UsageError(message, code="export-differs", help=f"the other format is {form.other}")
            worst = max(worst, _difference(want, got), key=lambda value: (value != value, value))
    return worst, by


def _difference(want: Tensor, got: Tensor) -> float:
    largest = torch.complex128 if want.is_complex() else torch.float64
    want, got = want.to(largest), got.to(largest)  # masks and indices, too
    scale = want.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return float((want - got).abs().max() / scale)


def _kind(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
