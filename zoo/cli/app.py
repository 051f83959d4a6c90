"""The `zoo` command: all that there are. Roof."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from zoo.cli import bench, catalogue, check, export, inspect, train, trained
from zoo.cli.session import Body, add_command

app = typer.Typer(
    name="zoo",
    help="A declarative, YAML-driven model zoo for image classification on PyTorch.",
    epilog="A recipe is a file or a shipped recipe's name: try `zoo run quickstart`.",
    no_args_is_help=True,
    add_completion=False,
    # rich's help costs more than typer itself, and our own messages replace its tracebacks.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from zoo import __version__

        typer.echo(f"zoo {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


_COMMANDS: dict[str, Body] = {  # in the order in which `zoo --help` lists them
    "run": train.run,
    "find-lr": train.find_lr,
    "summary": inspect.summary,
    "draw": inspect.draw,
    "eject": inspect.eject,
    "diff": inspect.diff,
    "export": export.export,
    "eval": trained.evaluate,
    "predict": trained.predict,
    "explain": trained.explain,
    "report": trained.report,
    "check": check.check,
    "config": check.config,
    "schema": check.schema,
    "ls": catalogue.ls,
    "cp": catalogue.cp,
    "bench": bench.bench,
}
_PRINT_A_FILE = ("draw", "eject")  # not a result that has a form as data

for _name, _body in _COMMANDS.items():
    add_command(app, _name, _body, json=_name not in _PRINT_A_FILE)


@cache
def _parser() -> Any:  # of a class that typer keeps to itself
    return get_command(app)


def invoke(arguments: list[str]) -> int:
    """Runs the command that the arguments name; its exit status where it ends well, else whatever it raises.

    The parser's own way would turn Ctrl-C and a closed stdout into an exit without a word.
    """
    root = _parser()
    try:
        with root.make_context("zoo", arguments) as context:
            root.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
