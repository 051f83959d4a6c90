"""Which values a layer reads: ``from``, ``else``, ``output``, and how they are found by name. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from zoo.diagnostics import Diagnostics, Span
from zoo.document import Mapping as MappingNode
from zoo.document import Node, Scalar
from zoo.document import Sequence as SequenceNode
from zoo.document.expressions import ExpressionError
from zoo.graph.plan import Output, Ref
from zoo.graph.values import UNKNOWN, Feed, MaybeValue, Scope, Unknown, unknown_layer

_NUMBER = re.compile(r"[0-9]{1,9}")  # of an output


@dataclass(frozen=True, slots=True)
class Wire:
    """One value that a layer reads, and the place that says so."""

    feed: Feed
    span: Span


@dataclass(frozen=True, slots=True)
class Wires:
    """All that a layer reads: by position, and by the name of an argument."""

    positional: tuple[Wire, ...] = ()
    named: Mapping[str, Wire] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Wire, ...]:
        """Both kinds, in order."""
        return (*self.positional, *self.named.values())

    @property
    def first(self) -> Feed | None:
        """The value that sizes are filled in from."""
        return self.all[0].feed if self.all else None

    def in_order(self, names: Sequence[str]) -> Wires:
        """The named ones in the order of these inputs: the order in which they were written says nothing."""
        known = {name: self.named[name] for name in names if name in self.named}
        return replace(self, named={**known, **self.named})

    def after(self, feed: Feed, names: Sequence[str] = ()) -> Wires:
        """The wires of the next copy: the first one reads the copy before.

        ``names`` are its inputs: where outputs of the copy before bear them, each input reads the one of its name.
        """
        if isinstance(feed.value, dict) and not feed.value.keys().isdisjoint(names):
            given = {name: feed.pick(name) for name in names if name in feed.value}
            inputs = zip(names, self.positional, strict=False)
            positional = tuple(replace(wire, feed=given.get(name, wire.feed)) for name, wire in inputs)
            named = {name: replace(wire, feed=given.get(name, wire.feed)) for name, wire in self.named.items()}
            return Wires((*positional, *self.positional[len(names) :]), named)
        if self.positional:
            head, *rest = self.positional
            return Wires((replace(head, feed=feed), *rest), self.named)
        name = next(iter(self.named), None)
        if name is None:  # `from: {}` reads nothing, which the layer's op refuses
            return self
        return Wires((), {**self.named, name: replace(self.named[name], feed=feed)})


def reference_text(node: Scalar) -> str:
    """A reference as written: YAML reads ``0.1`` as a number, here it is output 1 of layer 0."""
    return node.text if node.plain and not isinstance(node.value, str) else str(node.value)


def look_up(node: Scalar, scope: Scope, diagnostics: Diagnostics) -> Feed:
    """The value a reference names; an unknown one where there is none, which is told unless it was before."""
    name, *picks = reference_text(node).split(".")
    feed = scope.feeds.get(name)
    nothing = Feed(name, Ref(name), UNKNOWN, node.span)
    if feed is None and name in scope.later:
        return nothing
    try:
        if feed is None:
            raise unknown_layer(name, scope.feeds)
        for pick in picks:
            feed = feed.pick(int(pick) if _NUMBER.fullmatch(pick) else pick)
    except ExpressionError as error:
        diagnostics.error(error.code, error.message, node.span, help=error.help)
        return nothing
    return feed


def wires(node: Node | None, before: Feed | None, span: Span, scope: Scope, diagnostics: Diagnostics) -> Wires:
    """What ``from`` names; the layer before where it is left out."""
    if node is None:
        return Wires((Wire(before, span),) if before is not None else ())
    if isinstance(node, SequenceNode):
        return Wires(tuple(_wire(item, scope, diagnostics) for item in node))
    if isinstance(node, MappingNode):
        return Wires((), {entry.key: _wire(entry.value, scope, diagnostics) for entry in node})
    return Wires((_wire(node, scope, diagnostics),))


def _wire(node: Node, scope: Scope, diagnostics: Diagnostics) -> Wire:
    assert isinstance(node, Scalar)  # the form of `from` was checked
    return Wire(look_up(node, scope, diagnostics), node.span)


def outputs(node: Node | None, last: Feed, scope: Scope, diagnostics: Diagnostics) -> tuple[Output, MaybeValue]:
    """What ``output`` names, as references and as a value; the last layer where it is left out."""
    if node is None:
        return last.ref, last.value
    if isinstance(node, SequenceNode):
        feeds = [_wire(item, scope, diagnostics).feed for item in node]
        known = [feed.value for feed in feeds if not isinstance(feed.value, Unknown)]
        return tuple(feed.ref for feed in feeds), tuple(known) if len(known) == len(feeds) else UNKNOWN
    if isinstance(node, MappingNode):
        named = {entry.key: _wire(entry.value, scope, diagnostics).feed for entry in node}
        values = {key: feed.value for key, feed in named.items() if not isinstance(feed.value, Unknown)}
        return {key: feed.ref for key, feed in named.items()}, values if len(values) == len(named) else UNKNOWN
    feed = _wire(node, scope, diagnostics).feed
    return feed.ref, feed.value
