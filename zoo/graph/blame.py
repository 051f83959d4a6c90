"""Errors that a caller's params bring about, told where the caller wrote them. Floor 3."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from zoo.diagnostics import Diagnostic, Note, Span
from zoo.document import Entry, Mapping, plain
from zoo.schema.architecture import TYPE_NAMES
from zoo.schema.wording import shown

PlanAgain = Callable[[Mapping], Iterable[Diagnostic]]


def blamed_on_params(
    found: Iterable[Diagnostic], given: Mapping, declared: Mapping, name: str, plan_again: PlanAgain
) -> list[Diagnostic]:
    """What was found, one message in place of all the errors that a given param brings about.

    A param brings about the errors that are gone when the network is planned again with its default. What a param
    without a default does cannot be told in this way: its errors stay where they were found.

    Args:
        found: Everything that was told of the network with its given params.
        given: The params as the caller wrote them.
        declared: The network's own `params`.
        name: The network's, for messages.
        plan_again: Tells what is found with other given params.
    """
    left = list(found)
    told: list[Diagnostic] = []
    at_caller = {given.span, *(span for entry in given for span in (entry.key_span, entry.value.span))}
    for entry in given:
        suspects = [item for item in left if item.severity == "error" and item.span not in at_caller]
        if not suspects or not _has_default(declared, entry.key):
            continue
        stay = {_place(item) for item in plan_again(given.without([entry.key]))}
        gone = [item for item in suspects if _place(item) not in stay]
        if gone:
            told.append(_at_param(entry, gone, name, declared.key_span(entry.key)))
            left = [item for item in left if item not in gone]
    return [*told, *left]


def _has_default(declared: Mapping, key: str) -> bool:
    node = declared.get(key)
    if isinstance(node, Mapping):
        return "default" in node
    return node is not None and plain(node) not in TYPE_NAMES


def _place(item: Diagnostic) -> tuple[str, Span | None]:
    """The same for one error in two plannings, though the message may bear other numbers."""
    return item.code, item.span


def _at_param(entry: Entry, errors: list[Diagnostic], name: str, declared: Span) -> Diagnostic:
    """The plainest of a param's errors, told at its value."""
    # each block around a place adds a note; what an expression made of a wrong value says little of the value
    plainest = min(errors, key=lambda item: (item.code == "bad-expression", len(item.notes)))
    value = entry.value
    notes = [Note("found here", plainest.span), *(note for note in plainest.notes if note.span != value.span)]
    notes.append(Note(f"{entry.key} is declared here", declared))
    if errors[1:]:
        others = "another error comes" if len(errors) == 2 else f"{len(errors) - 1} more errors come"
        notes.append(Note(f"{others} of the same value"))
    message = f"{name}: {entry.key}: {shown(plain(value))} does not fit: {plainest.message}"
    return replace(plainest, message=message, span=value.span, label="", notes=tuple(notes))
