"""Reads YAML into the document tree, from PyYAML's raw events. Floor 0.

Building from events keeps every place, bounds depth before anything recurses (libyaml's composer crashes the
process at 100,000 levels), and leaves no construct unchecked: tags, several documents, duplicate keys and
non-text keys are errors; nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml

from zoo.diagnostics import Diagnostics, Note, Source, Span
from zoo.document.nodes import DEEPEST_NESTING, Entry, Mapping, Node, Scalar, Sequence, each_of, is_null
from zoo.document.scalars import resolve
from zoo.document.syntax_help import syntax_help

LARGEST_FILE = 1 << 20  # bytes
MOST_NODES = 200_000  # after aliases are followed

_NO_TEXT = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)  # what YAML 1.2 calls not printable
_BYTE_ORDER_MARK = "\ufeff"  # Windows' editors begin files of UTF-8 with one
_STRING = re.compile(r"""'[^']*(?:'|$)|"[^"]*(?:"|$)""")  # in an expression; the last one may be cut short
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _ReadError(Exception):
    """Ends the reading of one text; what was wrong is in the diagnostics."""


def read_file(path: Path, diagnostics: Diagnostics, *, name: str | None = None) -> Mapping | None:
    """Reads a YAML file whose top is a mapping. Returns None where that failed; the diagnostics say why."""
    shown = name or str(path)
    start = _point(Source(shown), 1, 1)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        diagnostics.error("no-such-file", f"no such file: {shown}")
        return None
    except OSError as error:
        diagnostics.error("unreadable-file", f"cannot read {shown}: {error.strerror or error}")
        return None
    if len(data) > LARGEST_FILE:
        diagnostics.error(
            "file-too-large", f"{shown} is larger than 1 MiB", start, help="split it, or move data out of the YAML"
        )
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().removeprefix(_BYTE_ORDER_MARK)
        place = _at(Source(shown, before), len(before))
        diagnostics.error(
            "not-utf8",
            f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            place,
            help="save the file as UTF-8",
        )
        return None
    return read_text(text, diagnostics, name=shown)


def read_text(text: str, diagnostics: Diagnostics, *, name: str = "<text>") -> Mapping | None:
    """Reads YAML text whose top is a mapping."""
    source = Source(name, text.removeprefix(_BYTE_ORDER_MARK))  # which takes no column
    node = _read(source, diagnostics)
    if node is None:
        return None
    if not isinstance(node, Mapping):
        found = "a list" if isinstance(node, Sequence) else "a single value"
        diagnostics.error("not-a-mapping", f"a mapping is expected at the top of {name}, {found} was found", node.span)
        return None
    return node


def read_value(text: str, diagnostics: Diagnostics, *, name: str, option: str) -> Node | None:
    """Reads YAML text that may be any one value, as an option of the command line gives one: ``--set a.b=VALUE``."""
    source = Source(name, text, option)
    if not text.strip():
        return Scalar(None, _point(source, 1, 1))
    return _read(source, diagnostics)


def _read(source: Source, diagnostics: Diagnostics) -> Node | None:
    odd = _NO_TEXT.search(source.text)
    if odd is not None:
        what = "a NUL character" if odd[0] == "\0" else f"a character that no text has (#x{ord(odd[0]):04x})"
        diagnostics.error("not-text", f"{what} at offset {odd.start()}", _at(source, odd.start()))
        return None
    builder = _Builder(source, diagnostics)
    try:
        return builder.build()
    except _ReadError:
        return None
    except yaml.YAMLError as error:
        builder.syntax_error(error)
        return None


def _parse(text: str, loader_class: Any) -> Iterator[yaml.events.Event]:
    loader = loader_class(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _at(source: Source, offset: int) -> Span:
    lines = (source.text[:offset] + "|").splitlines()  # as the source counts them, whatever ends a line
    return _point(source, len(lines), len(lines[-1]))


def _point(source: Source, line: int, column: int) -> Span:
    return Span(source, line, column, line, column + 1)


@dataclass(slots=True)
class _Frame:
    """A collection that is being read."""

    start: yaml.events.Event
    is_mapping: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)  # of all keys that stand here, `<<` too
    key: Scalar | None = None
    count: int = 1

    @property
    def awaits_key(self) -> bool:
        return self.is_mapping and self.key is None


class _Builder:
    """Turns one text's events into a tree, without recursion."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self._source = source
        self._diagnostics = diagnostics
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._open_anchors: set[str] = set()
        self._stack: list[_Frame] = []
        self._root: Node | None = None
        self._failed = False

    def build(self) -> Node | None:
        documents = 0
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fail(
                        "several-documents",
                        "a second document begins here",
                        self._span(event),
                        help="one file holds one document; remove the '---'",
                    )
                self._check_directives(event)
            else:
                self._take(event)
        if self._failed:
            return None
        if self._root is None:
            self._fail("empty-file", f"{self._source.name} is empty", _point(self._source, 1, 1))
        return self._root

    def _check_directives(self, event: yaml.events.DocumentStartEvent) -> None:
        if event.version not in (None, (1, 2)):
            version = ".".join(map(str, event.version))
            self._fail("directive", f"YAML {version} is not read, YAML 1.2 is", self._span(event), help="remove %YAML")
        if event.tags:
            self._fail("directive", "%TAG names tags, which are not allowed", self._span(event), help="remove %TAG")

    def _events(self) -> Iterator[yaml.events.Event]:
        given = 0
        try:
            for event in _parse(self._source.text, _Loader):
                yield event
                given += 1
        except yaml.YAMLError as error:
            # PyYAML 6.0.4's C scanner ends at 1,000 levels, up to a kilobyte ahead of its events; the one in Python
            # goes on, slowly, and is left at our own limit.
            if "nesting depth" not in str(error):
                raise
            yield from islice(_parse(self._source.text, yaml.SafeLoader), given, None)

    def _take(self, event: yaml.events.Event) -> None:
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            self._fail(
                "tag",
                f"tags are not allowed: {event.tag}",
                self._span(event),
                help="remove the tag; a file holds plain data only",
            )
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event), 1, event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._put(*self._alias(event), None)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)

    def _open(self, event: yaml.events.CollectionStartEvent) -> None:
        if len(self._stack) >= DEEPEST_NESTING:
            self._fail("too-deep", f"nested more than {DEEPEST_NESTING} levels deep", self._span(event))
        if self._stack and self._stack[-1].awaits_key:
            self._fail("key-not-text", "a key must be text", self._span(event))
        if event.anchor:
            self._open_anchors.add(event.anchor)
        self._stack.append(_Frame(event, isinstance(event, yaml.MappingStartEvent), event.anchor))

    def _close(self, event: yaml.events.Event) -> None:
        frame = self._stack.pop()
        span = self._span(frame.start, event)
        node: Node = (
            Mapping(tuple(frame.entries.values()), span) if frame.is_mapping else Sequence(tuple(frame.items), span)
        )
        if frame.anchor:
            self._open_anchors.discard(frame.anchor)
        self._put(node, frame.count, frame.anchor)

    def _put(self, node: Node, count: int, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = (node, count)
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        frame.count += count
        if frame.count > MOST_NODES:
            self._fail(
                "too-large",
                f"more than {MOST_NODES:,} values once aliases are followed",
                node.span,
                help="write the repetition with `repeat`, not with aliases",
            )
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is None:
            self._take_key(frame, node)
        else:
            key, frame.key = frame.key, None
            self._take_entry(frame, key, node)

    def _take_key(self, frame: _Frame, node: Node) -> None:
        if not isinstance(node, Scalar):
            self._fail("key-not-text", "a key must be text", node.span)
        if node.plain and node.text == "":
            self._fail("key-not-text", "a key is missing in front of the colon", node.span)
        frame.key = node

    def _take_entry(self, frame: _Frame, key: Scalar, value: Node) -> None:
        first = frame.places.get(key.text)
        frame.places.setdefault(key.text, key.span)
        if first is not None:
            self._failed = True
            help = "give `<<` a list: <<: [*a, *b]" if key.text == "<<" else "remove one of the two"
            before = next(reversed(frame.entries.values()), None)
            if before is not None and is_null(before.value) and before.key_span.line < key.span.line:
                help = f"nothing stands under {before.key}: indent what belongs to it, or {help}"
            notes = [Note("first here", first)]
            self._diagnostics.error(
                "duplicate-key", f"the key {key.text!r} stands twice", key.span, notes=notes, help=help
            )
        elif key.plain and key.text == "<<":
            self._merge(frame, key, value)
        else:
            frame.entries[key.text] = Entry(key.text, key.span, value)

    def _merge(self, frame: _Frame, key: Scalar, value: Node) -> None:
        for node in each_of(value):
            if not isinstance(node, Mapping):
                is_alias = (node.span.line, node.span.column) < (key.span.line, key.span.column)
                span = key.span if is_alias else node.span  # not what is right where it stands
                self._fail("bad-merge", "`<<` takes a mapping or a list of mappings", span)
            for entry in node.entries:
                frame.entries.setdefault(entry.key, entry)

    def _alias(self, event: yaml.events.AliasEvent) -> tuple[Node, int]:
        name = event.anchor or ""
        if name in self._open_anchors:
            self._fail("alias-loop", f"the alias *{name} stands inside its own anchor", self._span(event))
        if name not in self._anchors:
            self._fail("unknown-alias", f"no anchor &{name} above this alias", self._span(event))
        node, count = self._anchors[name]
        if len(self._stack) + node.depth > DEEPEST_NESTING:
            message = f"nested more than {DEEPEST_NESTING} levels deep once aliases are followed"
            self._fail("too-deep", message, self._span(event))
        is_key = bool(self._stack) and self._stack[-1].awaits_key
        if is_key and not isinstance(node, Scalar):
            self._fail("key-not-text", f"a key must be text, and *{name} is none", self._span(event))
        if is_key:
            node = replace(node, span=self._span(event))  # a key stands here, whatever gave it its text
        return node, count

    def _scalar(self, event: yaml.events.ScalarEvent) -> Scalar:
        span = self._span(event)
        is_plain = not event.style and event.implicit[0]  # libyaml says "", PyYAML None
        try:
            value = resolve(event.value) if is_plain else event.value
        except ValueError as error:
            self._fail("number-too-long", str(error), span)
        scalar = Scalar(value, span, event.value, is_plain)
        if is_plain and self._in_flow() and _is_cut_expression(event.value):
            self._fail_unquoted(scalar)
        return scalar

    def _in_flow(self) -> bool:
        return bool(self._stack) and bool(getattr(self._stack[-1].start, "flow_style", False))

    def syntax_error(self, error: yaml.YAMLError) -> None:
        """Says what PyYAML found wrong, in the one form all messages have."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None:
            self._diagnostics.error("syntax", f"not YAML: {error}", _point(self._source, 1, 1))
            return
        place = _point(self._source, mark.line + 1, mark.column + 1)
        problem = getattr(error, "problem", None) or str(error)
        context, context_mark = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
        help = syntax_help(problem, context, place, context_mark)
        notes = []
        if context and context_mark is not None:
            begins = _point(self._source, context_mark.line + 1, context_mark.column + 1)
            if self._source.line(place.line):
                notes = [Note(context, begins)]
            else:  # the text is over: there is nothing to show but what is still open
                place = begins
        self._diagnostics.error("syntax", f"not YAML: {problem}", place, notes=notes, help=help)

    def _fail_unquoted(self, scalar: Scalar) -> None:
        self._fail(
            "unquoted-expression",
            f"YAML cuts this expression short after {scalar.text}",
            scalar.span,
            help='close its parentheses; in flow style an expression with [ ] { } or , wants quotes: "$(…)"',
        )

    def _fail(self, code: str, message: str, span: Span, *, help: str | None = None) -> NoReturn:
        self._diagnostics.error(code, message, span, help=help)
        raise _ReadError

    def _span(self, event: yaml.events.Event, end: yaml.events.Event | None = None) -> Span:
        start_mark, end_mark = event.start_mark, (end or event).end_mark
        assert start_mark is not None  # PyYAML's stubs allow for events made by hand
        assert end_mark is not None
        return Span(self._source, start_mark.line + 1, start_mark.column + 1, end_mark.line + 1, end_mark.column + 1)


def _is_cut_expression(text: str) -> bool:
    """Whether a plain scalar begins an expression that does not close: its parentheses do not balance."""
    bare = _STRING.sub("", text)
    return text.startswith("$(") and bare.count("(") > bare.count(")")
