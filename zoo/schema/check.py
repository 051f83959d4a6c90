"""Pydantic judges, this module words and places: every error of a model becomes a diagnostic at its span. Floor 1.

A document is data as JSON has it (a list is the only sequence, ``true`` is no number), so it is handed to Pydantic
as JSON in strict mode: lists pass as tuples, ints as floats, and nothing else is converted.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_json

from zoo.diagnostics import Diagnostics, Span, counted
from zoo.document import Mapping, Node, Sequence, plain
from zoo.registry import LIKELY_KEY, did_you_mean, meant, offer
from zoo.schema.advice import advice, share_help
from zoo.schema.habits import decimal_comma_help, key_help, name_help, rest_of_tuples
from zoo.schema.signature import fields_of
from zoo.schema.wording import bare, choices, describe, members, shown

M = TypeVar("M", bound=BaseModel)
Path: TypeAlias = tuple[str | int, ...]

_BOUNDS = {  # Pydantic's error types, and what each says is expected
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
MOST_PARTS = 100  # of one value are told: who has more wrong reads no further, and the way out of each takes its time
_OWN_WORDS = {"value_error", "assertion_error"}  # raised by a validator of ours, in its own words


@dataclass(frozen=True, slots=True)
class _Problem:
    """One of Pydantic's errors, and what is left of its path."""

    error: ErrorDetails
    rest: Path

    @property
    def type(self) -> str:
        return self.error["type"]

    @property
    def lacks_item(self) -> bool:
        """Whether a list is shorter than the tuple that is due (Pydantic says an item is missing)."""
        return self.is_bare("missing") and isinstance(self.rest[0], int)

    @property
    def is_mismatch(self) -> bool:
        """Whether the value is of another kind altogether, so that this alternative was not meant."""
        if self.lacks_item:
            return True
        kinds = ("_type", "literal_error", "enum", "is_instance_of", "too_long", "too_short", "union_tag_not_found")
        return not self.rest and self.type.endswith(kinds)

    def is_bare(self, kind: str) -> bool:
        """Whether this is an error of that type about a key of the mapping at hand."""
        return self.type == kind and len(self.rest) == 1

    def down(self) -> _Problem:
        return _Problem(self.error, self.rest[1:])


def validate(model: type[M], node: Node, diagnostics: Diagnostics, *, what: str) -> M | None:
    """The model's instance for a node, or None after every error was told at its place.

    ``what`` begins each message (``Conv2d``, ``data``). Codes: ``unknown-key``, ``missing-key``, ``wrong-type``,
    ``bad-value``. A validator may raise ``PydanticCustomError(..., {"at": "key"})`` to be placed at a key.
    """
    try:
        return model.model_validate_json(to_json(plain(node), inf_nan_mode="constants"), strict=True)
    except ValidationError as failure:
        problems = [_Problem(error, error["loc"]) for error in failure.errors(include_url=False)]
    except ValueError:  # a lone surrogate, which no encoding holds
        diagnostics.error("bad-value", f"{what}: a text holds half a surrogate pair", node.span)
        return None
    _Teller(diagnostics, what).tell(model, problems, node, ())
    return None


class _Teller:
    """Follows annotation, document and Pydantic's paths side by side, so that no path is ever guessed from text."""

    def __init__(self, diagnostics: Diagnostics, what: str) -> None:
        self._diagnostics = diagnostics
        self._what = what

    def tell(self, annotation: Any, problems: list[_Problem], node: Node, path: Path) -> None:
        """Tells the problems of one value."""
        options = members(annotation)
        inside = [problem for problem in problems if problem.rest]
        if len(options) > 1 and inside:
            self._tell_union(annotation, options, inside, node, path)
            inside = []
        for problem in problems:
            # a list whose items fail counts as too short, too
            if not problem.rest and not (inside and problem.type == "too_short"):
                self._tell_here(annotation, problem, node, path)
        if any(problem.lacks_item for problem in inside):
            self._expected(annotation, node, path)
            return
        told, untold = _in_first_parts(inside)
        for part, group in _by_first(_without_echoes(options[0], told, node)).items():
            self._descend(options[0], part, [problem.down() for problem in group], node, path)
        if untold:
            place = node.key_span(str(untold[0])) if isinstance(node, Mapping) else node.span
            message = f"{counted(len(untold), 'more part')} {'is' if len(untold) == 1 else 'are'} wrong, too"
            self._say("too-many", message, place, path, help="mend those above, then check it again")

    def _tell_union(
        self, annotation: Any, options: list[Any], problems: list[_Problem], node: Node, path: Path
    ) -> None:
        """One message for all alternatives, or those of the one alternative that was meant."""
        branches = [list(group) for _, group in groupby(problems, key=lambda problem: problem.rest[0])]
        for index, branch in enumerate(branches):
            below = [problem.down() for problem in branch]
            if not any(problem.is_mismatch for problem in below):
                chosen = options[index] if len(branches) == len(options) else _tagged(options, branch[0].rest[0])
                self.tell(chosen, below, node, path)
                return
        self._expected(annotation, node, path)

    def _descend(self, annotation: Any, part: str | int, problems: list[_Problem], node: Node, path: Path) -> None:
        child = _child_node(node, part)
        first = problems[0]
        if first.type == "extra_forbidden" and not first.rest:
            self._unknown(annotation, str(part), node, path)
        elif child is not None:
            self.tell(_child_annotation(annotation, part), problems, child, (*path, part))
        elif first.type == "missing" and not first.rest:
            self._missing(annotation, str(part), node, path)
        else:  # a part of Pydantic's own making: the tag of a union, the mark of a mapping's key
            self.tell(annotation, problems, node, path)

    def _tell_here(self, annotation: Any, problem: _Problem, node: Node, path: Path) -> None:
        context = problem.error.get("ctx", {})
        if problem.type in _BOUNDS:
            limits = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
            due = _BOUNDS[problem.type].format(**limits)
            self._expected(annotation, node, path, due, share_help(node, context.get("lt", context.get("le"))))
        elif problem.type in ("union_tag_invalid", "union_tag_not_found"):
            self._tag(annotation, str(context["discriminator"]).strip("'"), node, path)
        elif problem.type in _OWN_WORDS or "at" in context:
            message = problem.error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            at = context.get("at")
            place = _child_node(node, at) if at is not None else None
            self._say("bad-value", message, (place or node).span, (*path, at) if at is not None else path)
        else:
            self._expected(annotation, node, path)

    def _expected(
        self, annotation: Any, node: Node, path: Path, text: str | None = None, help: str | None = None
    ) -> None:
        value = plain(node)
        code = "bad-value" if text or (choices(annotation) and isinstance(value, str)) else "wrong-type"
        self._say(
            code,
            f"expected {text or describe(annotation)}, got {shown(value)}",
            node.span,
            path,
            help=help or advice(annotation, node),
        )

    def _missing(self, annotation: Any, key: str, node: Node, path: Path) -> None:
        child = _child_annotation(annotation, key)
        first = next(iter(_fields(child)), None)  # of a section the key that it is there for stands first
        due = describe(child) if first is None else f"{{{first}: …}}"
        self._say("missing-key", f"{key} is missing", node.span, path, help=f"add {key}: {due}")

    def _tag(self, annotation: Any, key: str, node: Node, path: Path) -> None:
        """The key that chooses among the models of a discriminated union is missing or names none of them."""
        fields = [_fields(option)[key] for option in members(annotation)]
        due = reduce(operator.or_, [field.annotation for field in fields])
        value = _child_node(node, key)
        if value is None:
            self._say("missing-key", f"{key} is missing", node.span, path, help=f"add {key}: {describe(due)}")
        else:
            self._expected(due, value, (*path, key))

    def _unknown(self, annotation: Any, key: str, node: Node, path: Path) -> None:
        span = node.key_span(key) if isinstance(node, Mapping) else node.span
        known = list(_fields(annotation))
        help = did_you_mean(key, known, LIKELY_KEY) if known else "it takes no keys"
        help = key_help(key, known) or _inside(annotation, key) or help
        help = (decimal_comma_help(key, node) if isinstance(node, Mapping) else None) or help
        self._say("unknown-key", f"unknown key {shown(key)}", span, path, help=help)

    def _say(self, code: str, message: str, span: Span, path: Path, *, help: str | None = None) -> None:
        parts = (self._what, dotted(path), message)
        self._diagnostics.error(code, ": ".join(part for part in parts if part), span, help=help)


def dotted(path: Iterable[str | int]) -> str:
    """A path as text: ``train[0].p``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def close(names: Iterable[str], name: str) -> str | None:
    """The key among some that this is most likely a slip of: the first that help offers; None where nothing is near."""
    return next(iter(meant(name, names, LIKELY_KEY)), None)


def _in_first_parts(problems: list[_Problem]) -> tuple[list[_Problem], list[str | int]]:
    """The problems of as many parts as are told, and the parts that are not.

    Pydantic has a model's own keys before those that it does not know.
    """
    parts = list(dict.fromkeys(problem.rest[0] for problem in problems))
    first = set(parts[:MOST_PARTS])
    return [problem for problem in problems if problem.rest[0] in first], parts[MOST_PARTS:]


def _without_echoes(annotation: Any, problems: list[_Problem], node: Node) -> list[_Problem]:
    """The problems, less the keys that are missing only because they are mistyped: the mistyped key says it.

    Nor are the rest of a tuple any keys: in flow style its commas begin new ones.
    """
    wrong, rest = {problem.rest[0] for problem in problems}, rest_of_tuples(node)
    problems = [problem for problem in problems if rest.get(str(problem.rest[0])) not in wrong]
    unknown = {str(problem.rest[0]) for problem in problems if problem.is_bare("extra_forbidden")}
    mistyped = {close(_fields(annotation), key) for key in unknown}
    return [problem for problem in problems if not (problem.is_bare("missing") and problem.rest[0] in mistyped)]


def _by_first(problems: list[_Problem]) -> dict[str | int, list[_Problem]]:
    groups: defaultdict[str | int, list[_Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.rest[0]].append(problem)
    return groups


def _child_node(node: Node, part: str | int) -> Node | None:
    if isinstance(node, Mapping) and isinstance(part, str):
        return node.get(part)
    if isinstance(node, Sequence) and isinstance(part, int) and part < len(node):
        return node.items[part]
    return None


def _child_annotation(annotation: Any, part: str | int) -> Any:
    """The annotation of a model's field, a list's or tuple's item, or a mapping's value."""
    field = _fields(annotation).get(str(part))
    if field is not None:
        return field.annotation
    inside = get_args(bare(annotation))
    if get_origin(bare(annotation)) is tuple and isinstance(part, int) and inside[-1:] != (Ellipsis,):
        return inside[part] if part < len(inside) else Any
    if not inside:
        return Any
    return inside[0] if isinstance(part, int) else inside[-1]


def _fields(annotation: Any) -> AbstractMapping[str, FieldInfo]:
    """A model's fields under the names that a document uses."""
    model = bare(annotation)
    return fields_of(model) if hasattr(model, "model_fields") else {}


def _inside(annotation: Any, key: str) -> str | None:
    """The way out where a key stands beside the mapping that it belongs into: ``patience`` of ``early_stopping``."""
    homes = [
        f"{name}.{key}"
        for name, field in _fields(annotation).items()
        if any(key in _fields(option) for option in members(field.annotation))
    ]
    return offer(homes) if homes else None


def _tagged(options: list[Any], tag: str | int) -> Any:
    """The alternative that a discriminated union's tag names."""
    for option in options:
        if any(tag in choices(field.annotation) for field in _fields(option).values()):
            return option
    return Any


def tell_missing(
    key: str, node: Mapping, diagnostics: Diagnostics, *, what: str, help: str, names: Iterable[str] = ()
) -> None:
    """Tells that a key is missing, or of another that nearly bears its name, that this one was meant.

    ``names`` are what may stand under it.
    """
    if not tell_mistyped(key, node, diagnostics, what=what):
        elsewhere = name_help(node, key, names)
        help = help if elsewhere is None else f"{elsewhere}; {help}" if f"{key}: …" in elsewhere else elsewhere
        diagnostics.error("missing-key", f"{what}: {key} is missing", node.span, help=help)


def tell_mistyped(key: str, node: Mapping, diagnostics: Diagnostics, *, what: str) -> bool:
    """Whether a mapping that lacks a key has one that nearly bears its name, which is told."""
    nearly = [entry for entry in node if close([key], entry.key)]
    for entry in nearly:
        message = f"{what}: unknown key {entry.key!r}"
        diagnostics.error("unknown-key", message, entry.key_span, help=f"did you mean {key}?")
    return bool(nearly)
