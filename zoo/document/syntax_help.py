"""The way out of slips that make a text no YAML. Floor 0."""

from __future__ import annotations

import re

import yaml

from zoo.diagnostics import Source, Span

_NO_SPACE = re.compile(r"\s*(- )?[\w.-]+:[^\s:/\\]")  # `key:value`, which is one text; not `c:/` and the like
_KEY_WITH_VALUE = re.compile(r"\s*(- )?[\w.-]+: +[^\s|>&#]")


def syntax_help(problem: str, context: str, place: Span, context_mark: yaml.Mark | None) -> str | None:
    """The way out of the slips that people make most; the parser's words hardly tell it."""
    source, column = place.source, place.column
    line = source.line(place.line)
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "YAML allows no tab in an indentation: use spaces"
    if "quoted scalar" in context:
        return _quotes_help(problem, context_mark)
    if "scanning an alias" in context:
        return "a text that begins with * wants quotes: '*.bias'"
    if "cannot start any token" in problem and (sign := line[column - 1 : column].strip()):
        return f"a text that begins with {sign} wants quotes"
    if "block mapping" in context and "expected key" in problem and context_mark is not None:
        begins, before = context_mark.column + 1, line[: column - 1].rstrip()
        if before.endswith(("'", '"')):
            return "the text in quotes ends before this: inside them ' is written '' and \" is written \\\""
        if column != begins and not before:
            return (
                f"the keys of a mapping begin in one column: the first in column {begins}, this one in column {column}"
            )
    if line[column - 1 : column] == "[" and (name := re.search(r"\$(\w[\w.-]*)$", line[: column - 1])):
        return f'in flow style an expression with [ ] wants quotes: "$({name[1]}[…])"'
    if name := re.match(r"\{([\w.]+)\}", line[column - 1 :] if line[: column - 1].endswith("$") else ""):
        return f"a param is read without braces: ${name[1]}"
    if "flow node" in context:
        return "a bracket above may not be closed, or a value is missing"
    if "flow" in context and context_mark is not None:
        return f"the bracket opened in line {context_mark.line + 1} may not be closed, or a comma is missing"
    if "unexpected ':'" in problem and line[column : column + 1] in tuple("}],"):
        return "no value stands behind the colon: write one, or null"
    if "mapping values are not allowed" in problem:
        return _colon_help(source, place.line)
    return None


def _quotes_help(problem: str, context_mark: yaml.Mark | None) -> str | None:
    """The way out of a text in quotes that does not end, or has an escape that there is not: a path, a pattern."""
    if "end of stream" in problem and context_mark is not None:
        return f"the quote opened in line {context_mark.line + 1} is not closed"
    is_escape = "escape" in problem or "expected hexdecimal number" in problem
    return r"in double quotes a backslash begins an escape: write \\, or take single quotes" if is_escape else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _colon_help(source: Source, number: int) -> str:
    """Why a key cannot stand in a line: the line above it was read as a value that goes on."""
    before = next((each for each in range(number - 1, 0, -1) if source.line(each).strip()), 0)
    line, above = source.line(number), source.line(before)
    if _NO_SPACE.match(above):
        return f"a space is missing behind the colon in line {before}"
    if _indent(above) < _indent(line) and _KEY_WITH_VALUE.match(above):
        return (
            f"line {number} is indented more than line {before}, which has its value already: begin both in one column"
        )
    return "is a colon missing behind a key, or are quotes missing around a text with a colon in it?"
