"""What parsing optimizers and schedules has in common: names in their several forms, `find`. Floor 2."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.diagnostics import Diagnostics, Span
from zoo.document import Entry, Mapping, Node, Scalar, is_null, plain, text_of
from zoo.optim.settings import FindSettings
from zoo.schema import shown, validate
from zoo.schema.advice import expression_help, quotes_help
from zoo.schema.check import close, tell_missing


@dataclass(frozen=True, slots=True)
class FindMark:
    """Where `find` stands for a number, and how it is to look."""

    span: Span
    settings: FindSettings


def named(node: Node, what: str, diagnostics: Diagnostics) -> Mapping | None:
    """A mapping with ``name`` in it, whichever way it was written: ``NAME``, ``{NAME: {…}}``, ``{name: NAME, …}``."""
    if text_of(node) is not None:
        return Mapping((Entry("name", node.span, node),), node.span)
    if not isinstance(node, Mapping):
        diagnostics.error("wrong-type", f"{what}: expected a mapping, got {shown(plain(node))}", node.span)
        return None
    if "name" in node:
        if isinstance(node.get("name"), Scalar):
            return node
        diagnostics.error("wrong-type", f"{what}: name: expected text", node.key_span("name"))
        return None
    if len(node) == 1:
        (entry,) = node.entries
        name = Entry("name", entry.key_span, Scalar(entry.key, entry.key_span, entry.key))
        if isinstance(entry.value, Mapping) and "name" in entry.value:
            message = f"{what}: its name is {entry.key} already"
            diagnostics.error("name-twice", message, entry.value.key_span("name"), help="leave one of them out")
            return None
        if isinstance(entry.value, Mapping):
            return Mapping((name, *entry.value.entries), node.span)
        if is_null(entry.value):
            return Mapping((name,), node.span)
    tell_missing("name", node, diagnostics, what=what, help="add name: text")
    return None


def take_find(node: Mapping, key: str, diagnostics: Diagnostics, *, what: str) -> tuple[Mapping, FindMark | None]:
    """The mapping with a number where ``key: find`` or ``key: {find: {…}}`` stood, and the mark of it."""
    value = node.get(key)
    if not isinstance(value, Mapping) and not (isinstance(value, Scalar) and isinstance(value.value, str | bool)):
        return node, None  # a number, or nothing that could mean find
    settings = _find_settings(value, diagnostics, what=f"{what}: {key}")
    if settings is None:
        return node.replacing(key, Scalar(1.0, value.span, "")), None  # told once
    return node.replacing(key, Scalar(1.0, value.span, "find")), FindMark(value.span, settings)


def _find_settings(value: Scalar | Mapping, diagnostics: Diagnostics, *, what: str) -> FindSettings | None:
    """How a rate is to be found; None after telling that something else stands there."""
    if isinstance(value, Scalar):
        if value.value == "find":
            return FindSettings()
        is_slip = close(["find"], str(value.value)) is not None
        help = "did you mean find?" if is_slip else quotes_help(value) or expression_help(str(value.value))
        message = f"{what}: expected a number or find, got {shown(value.value)}"
        diagnostics.error("wrong-type", message, value.span, help=help)
        return None
    inside = value.get("find")
    if inside is not None and len(value) == 1:
        return validate(FindSettings, inside, diagnostics, what=f"{what}: find") or FindSettings()
    slip = next((each for each in value.keys if close(["find"], each)), None)
    message = f"{what}: expected a number, find, or {{find: {{…}}}}, got a mapping of something else"
    if slip is not None and len(value) == 1:
        message = f"{what}: unknown key {slip!r}"
    place = value.key_span(slip) if slip is not None else value.span
    help = "did you mean find?" if slip is not None and slip != "find" else "write {find: {rule: minimum}}"
    diagnostics.error("unknown-key", message, place, help=help)
    return None
