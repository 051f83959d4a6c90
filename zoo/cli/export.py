"""`zoo export`: a network for programs that know nothing of zoo. Roof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.options import Checkpoint, InputShape, file_to_write, shape_of
from zoo.cli.session import Session

_EXPORTED = (
    "A run folder or name, one of its checkpoints, a recipe or an architecture (file or name), timm:NAME, "
    "torchvision:NAME; default: the latest run."
)


def export(
    session: Session,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", parser=file_to_write, help="FILE.onnx, or FILE.pt2 (torch.export's)."
        ),
    ],
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help=_EXPORTED)] = None,
    checkpoint: Checkpoint = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Take uint8 images, channels last: Normalize goes into the file.")
    ] = False,
    input_shape: InputShape = None,
) -> None:
    """Write a network as ONNX or as a program of PyTorch's own."""
    from zoo.assemble.exporting import ExportOptions, export_target

    options = ExportOptions(checkpoint, shape_of(input_shape), pixels, session.debug)
    found = export_target(target, out, options, session.note)
    data = {
        "file": str(found.path),
        "difference": found.difference,
        "checked_by": found.checked_by,
        "metadata": dict(found.metadata),
    }
    session.show(data, _text(found))


def _text(found: Any) -> str:
    of = f" of {found.metadata['run']}, {found.metadata['checkpoint']}" if "run" in found.metadata else ""
    sides = [", ".join(map(_tensor, found.metadata[side].items())) for side in ("inputs", "outputs")]
    return (
        f"{found.path}{of}: {' -> '.join(sides)}\n"
        f"read back by {found.checked_by}: differs from the network by {found.difference:.1g} of the largest number\n"
        f"metadata zoo.json: {', '.join(key for key in found.metadata if key not in ('inputs', 'outputs'))}"
    )


def _tensor(item: tuple[str, dict[str, Any]]) -> str:
    name, found = item
    return f"{name} {found['dtype']} ({', '.join(map(str, found['shape']))})"
