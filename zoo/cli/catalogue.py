"""`zoo ls`, `zoo cp`: what there is, and a copy of one to edit. Roof."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import Annotated, Any

import typer

from zoo.cli.session import Session
from zoo.columns import in_columns, padded, widest

_NARROWEST = 24  # columns: with less room for its text a row is left to the terminal


def ls(
    session: Session,
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help="architectures, ops, transforms, …; default: the kinds there are."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One of them, with its arguments, or of runs a recipe's; default: all."),
    ] = None,
) -> None:
    """List what there is: architectures, recipes, ops, runs; or one of them with its arguments."""
    from zoo.assemble.catalogue import KINDS, described, listing

    if kind == "runs" and _list_runs(session, name):
        return
    if kind is not None and name is not None:
        item = described(kind, name).as_data()
        first = _wrapped(_head(item, 0).rstrip(), item["doc"])
        session.show(item, "\n".join([first, *_arguments(item.get("arguments", []))]))
        return
    if kind is None:
        rows = [{"name": name, "doc": found.doc} for name, found in KINDS.items()]
    else:
        rows = [item.as_data() for item in listing(kind)]
    width = widest([row["name"] for row in rows])
    session.show(rows, "\n".join(_wrapped(_head(row, width), row["doc"]) for row in rows) or f"no {kind} yet")


def _list_runs(session: Session, name: str | None) -> bool:
    """Lists all runs, or those of one recipe's name; whether there are any of this name."""
    from zoo.assemble.run_listing import all_runs, as_table, runs_of

    runs = list(all_runs()) if name is None else runs_of(name)
    text = as_table(runs, shutil.get_terminal_size().columns) if runs else "no runs yet"
    if name is None or runs:
        session.show([run.as_data() for run in runs], text)
    return name is None or bool(runs)


def _arguments(arguments: list[dict[str, Any]]) -> list[str]:
    """A line for each argument: name, type, default, what it means."""
    rows = [(each["name"], each["type"], _default(each), each["doc"]) for each in arguments]
    widths = [widest(column) for column in zip(*rows, strict=True)]
    if sys.stdout.isatty() and sum(widths) > shutil.get_terminal_size().columns:  # the columns would break up
        return [
            _wrapped(f"  {padded(name, widths[0])}", f"{default}; {kind}{doc and '. '}{doc}")
            for name, kind, default, doc in rows
        ]
    return [f"  {line}" for line in in_columns(rows, widths)]


def _default(argument: dict[str, Any]) -> str:
    if "default" in argument:
        return f"default {json.dumps(argument['default'])}"
    return "inferred" if argument.get("inferred") else "required"


def _head(row: dict[str, Any], width: int) -> str:
    """A row's name, and of a transform the mark that it has a batched form."""
    mark = f"  {'batched' if row['batched'] else '':7}" if "batched" in row else ""
    return f"{padded(row['name'], width)}{mark}"


def _wrapped(head: str, doc: str) -> str:
    """A row; on a terminal its text is broken between words and kept in its column."""
    line, room = f"{head}  {doc}".rstrip(), shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or room < len(head) + _NARROWEST:
        return line
    return textwrap.fill(line, room, subsequent_indent=" " * (len(head) + 2), break_on_hyphens=False)


def cp(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped architecture or recipe.")],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="A file to write, or a folder that is there.")],
) -> None:
    """Copy a shipped architecture or recipe, to edit it."""
    from zoo.assemble.catalogue import copy_shipped

    path = copy_shipped(name, dest)
    session.show({"name": name, "path": str(path)}, str(path))
