"""`zoo summary`, `zoo draw`, `zoo eject`, `zoo diff`: one plan, many views. Roof."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.options import InputShape, OutFile, TargetArgument, shape_of
from zoo.cli.output import print_text
from zoo.cli.session import Session
from zoo.diagnostics import Diagnostics
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.graph import Plan


class TableFormat(StrEnum):
    """How `zoo summary` prints."""

    table = "table"
    torchsummary = "torchsummary"


class DrawFormat(StrEnum):
    """What `zoo draw` makes."""

    svg = "svg"
    mermaid = "mermaid"


_DRAWN = (".svg", ".mmd", ".mermaid", ".md", ".txt", "")  # suffixes of what `zoo draw` writes


_SUMMARISED = (
    "A recipe or an architecture (file or name), timm:NAME, torchvision:NAME, a run folder or a checkpoint; "
    "default: the whole zoo, a line each."
)


def summary(
    session: Session,
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help=_SUMMARISED)] = None,
    table: Annotated[
        TableFormat, typer.Option("--format", metavar="table|torchsummary", help="How to print it.")
    ] = TableFormat.table,
    input_shape: InputShape = None,
) -> None:
    """Show a network's layers, parameters and FLOPs."""
    from zoo.assemble.summaries import summarize_target, summarize_zoo
    from zoo.summary import torchsummary_text

    if target is None:
        if input_shape is not None or table is not TableFormat.table:
            raise UsageError("--input and --format are for one network", help="name a TARGET: zoo summary resnet18")
        _print_zoo(session, summarize_zoo())
        return
    diagnostics = Diagnostics()
    found = summarize_target(target, diagnostics, input_shape=shape_of(input_shape))
    session.settle(diagnostics)
    assert found is not None
    as_text = torchsummary_text if table is TableFormat.torchsummary else _table
    session.show(found.as_data(), lambda: as_text(found))


_PIPED_COLUMNS = 500  # no line of a file is folded


def _table(found: Any) -> str:
    from rich.console import Console

    from zoo.summary import layer_table, totals_text

    console = Console(width=None if sys.stdout.isatty() else _PIPED_COLUMNS)
    with console.capture() as captured:  # rich would exit where nobody reads it
        console.print(layer_table(found))
    return f"{captured.get()}{totals_text(found)}"


def _print_zoo(session: Session, rows: list[Any]) -> None:
    from zoo.summary import human_count

    data = [{key: value for key, value in row.as_data().items() if key != "layers"} for row in rows]
    width = max(len(row.name) for row in rows)
    lines = [f"{'name':<{width}}  {'parameters':>12}  {'FLOPs':>8}  input"]
    for row in rows:
        shapes = ", ".join("x".join(map(str, shape)) for shape in row.inputs.values())
        lines.append(f"{row.name:<{width}}  {row.total_params:>12,}  {human_count(row.flops):>8}  {shapes}")
    session.show(data, "\n".join(lines))


def draw(
    session: Session,
    target: TargetArgument,
    form: Annotated[
        DrawFormat | None,
        typer.Option("--format", metavar="svg|mermaid", help="Default: by FILE's name, else mermaid."),
    ] = None,
    depth: Annotated[int, typer.Option("--depth", metavar="N", min=1, help="How deep blocks are opened.")] = 1,
    out: OutFile = None,
    input_shape: InputShape = None,
) -> None:
    """Draw a network's graph as SVG or Mermaid."""
    from zoo.draw import drawing, mermaid, svg

    plan = _plan(session, target, input_shape)
    suffix = out.suffix.lower() if out is not None else ""
    if form is None and out is not None and suffix not in _DRAWN:
        raise UsageError(f"a drawing is SVG or Mermaid, not {out.suffix or out.name}", help="name it .svg, .mmd or .md")
    is_svg = form is DrawFormat.svg or (form is None and suffix == ".svg")
    picture = drawing(plan, depth=depth)
    text = svg(picture) if is_svg else mermaid(picture)
    if suffix == ".md" and not is_svg:
        text = f"```mermaid\n{text}```\n"
    _deliver(session, text, out, target)


def eject(
    session: Session,
    target: TargetArgument,
    out: OutFile = None,
    input_shape: InputShape = None,
) -> None:
    """Write a network as one plain Python file without zoo in it."""
    from zoo.exchange.eject import eject as source_of

    _deliver(session, source_of(_plan(session, target, input_shape)), out, target)


def _plan(session: Session, target: str, input_shape: str | None) -> Plan:
    """A target's plan; its warnings are shown. Raises ConfigError and UsageError."""
    from zoo.assemble.targets import planned

    diagnostics = Diagnostics()
    plan = planned(target, diagnostics, input_shape=shape_of(input_shape))
    session.settle(diagnostics)
    assert plan is not None
    return plan


def _deliver(session: Session, text: str, out: Path | None, target: str) -> None:
    """Writes what was made of a target whole or not at all, to stdout where no file is named."""
    if out is None:
        print_text(text)
        return
    from zoo.disk import make_folder, write_atomically

    if out.exists() and Path(target).exists() and out.samefile(target):
        raise UsageError(f"{out} is what it is made of: it would be lost", help="name another file")
    make_folder(out.parent)
    write_atomically(out, text if text.endswith("\n") else f"{text}\n")
    session.note(f"wrote {out}")


def diff(
    session: Session,
    a: Annotated[str, typer.Argument(metavar="A", help="An architecture, a recipe, a run or a checkpoint.")],
    b: Annotated[
        str, typer.Argument(metavar="B", help="Another; networks are compared where one is an architecture or a run.")
    ],
) -> None:
    """Show what differs between two networks, recipes or runs."""
    from zoo.assemble.differences import differences
    from zoo.diff import text

    diagnostics = Diagnostics()
    changes = differences(a, b, diagnostics)
    session.settle(diagnostics)
    session.show([change.as_data() for change in changes], text(changes) if changes else "no difference")
