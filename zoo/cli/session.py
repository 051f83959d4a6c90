"""The options that every command takes, and what they set for the length of the command. Roof."""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from zoo.cli.output import print_json, print_messages, print_note, print_text
from zoo.diagnostics import Diagnostics
from zoo.errors import raise_if_errors

Body = Callable[..., Any]


@dataclass
class Session:
    """What the common options say."""

    strict: bool = False
    quiet: bool = False
    debug: bool = False
    as_json: bool = False
    plugins: list[Path] = field(default_factory=list)
    speaks: bool = True  # of several ranks that train together the first alone

    def note(self, text: str) -> None:
        """A line for people on stderr; under ``--quiet`` a warning alone."""
        if self.speaks and (not self.quiet or text.startswith("warning: ")):
            print_note(text)

    def show(self, data: Any, text: str | Callable[[], str]) -> None:
        """The result, to stdout: as data under ``--json``, else as text, or as what makes the text."""
        if self.as_json and self.speaks:
            print_json(data)
        elif self.speaks:
            print_text(text if isinstance(text, str) else text())

    def settle(self, diagnostics: Diagnostics) -> None:
        """Raises ConfigError where there is an error (or, under ``--strict``, a warning); else shows the warnings."""
        raise_if_errors(diagnostics, strict=self.strict)
        if self.speaks:
            print_messages(diagnostics.warnings)


_FILES = (
    ("strict", bool, False, typer.Option("--strict", help="Treat warnings as errors.")),
    ("plugin", list[Path], None, typer.Option("--plugin", metavar="FILE.py", help="Own ops, transforms, sources.")),
)
_ALL = (
    (
        "quiet",
        bool,
        False,
        typer.Option("--quiet", "-q", help="No progress, no notes; warnings and results stay."),
    ),
    ("debug", bool, False, typer.Option("--debug", help="Show our own tracebacks.")),
)
_JSON = (("as_json", bool, False, typer.Option("--json", help="One JSON document on stdout.")),)


class _Command(TyperCommand):
    """A command whose help lists its arguments by name alone: the Python types behind them tell people nothing.

    Nor do braces around a name in the line of usage; around a choice (``{transforms|engine}``) they stay. An option
    with dots behind its value (``--images PATH...``) takes all that follow it, as a shell gives them for ``*.png``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        gathers = {name for param in self.params if str(param.metavar).endswith("...") for name in param.opts}
        return super().parse_args(ctx, _one_each(args, gathers))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [re.sub(r"\{([^|{}]+)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        found = [(param.param_type_name, param.get_help_record(ctx)) for param in self.get_params(ctx)]
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [record for name, record in found if name == kind and record is not None]
            if kind == "argument":
                records = [(name.partition(" <")[0], text) for name, text in records]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _one_each(words: Sequence[str], gathers: Container[str]) -> list[str]:
    """``--images a b`` as ``--images a --images b``, the form that the parser knows; an option or ``--`` ends it."""
    found: list[str] = []
    option = None
    for word in words:
        if word.startswith("-"):
            option = word if word in gathers else None
        elif option is not None and found[-1] != option:
            found.append(option)
        found.append(word)
    return found


def add_command(app: typer.Typer, name: str, body: Body, *, json: bool) -> None:
    """Adds a command whose body takes a :class:`Session` first, then the arguments and options it declares."""
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    common = [_parameter(*option) for option in (*_FILES, *(_JSON if json else ()), *_ALL)]

    def run(**values: Any) -> None:
        session = _session({option.name: values.pop(option.name) for option in common})
        _prepare(session)
        body(session, **values)

    run.__doc__, run.__name__ = body.__doc__, body.__name__
    run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *common)}
    app.command(name, cls=_Command)(run)


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _session(values: dict[str, Any]) -> Session:
    plugins = values.pop("plugin") or []
    return Session(plugins=list(plugins), **values)


def _prepare(session: Session) -> None:
    """Quietens the libraries, whose warnings are about their insides, and brings the plugins in."""
    if not session.debug:
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)
    from zoo.assemble.plugins import load_plugins

    load_plugins(session.plugins)
