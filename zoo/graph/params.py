"""Params of blocks and networks: their declarations, and the values a caller gives them. Floor 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Entry, Node, Scalar, is_null, plain, text_of
from zoo.document import Mapping as MappingNode
from zoo.document.evaluation import is_expression, substitute
from zoo.graph.names import check_param_name
from zoo.graph.values import UNKNOWN, Feed, Param, Scope
from zoo.registry import did_you_mean, listed
from zoo.schema.advice import bool_help, expression_help
from zoo.schema.architecture import TYPE_NAMES, ParamForm
from zoo.schema.check import close, validate
from zoo.schema.wording import shown

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "text"),
    "list": ((list,), "a list"),
}

_LIKE_TYPES = {"integer", "number", "double", "boolean", "string", "tuple", "dict", *TYPE_NAMES}  # in any case


@dataclass(frozen=True, slots=True)
class Declaration:
    """One param as declared. ``default`` is None where the caller must give it."""

    name: str
    span: Span
    type: str | None = None
    default: Node | None = None
    form: ParamForm | None = None
    is_faulty: bool = False  # its long form is wrong, which was told

    @property
    def takes_null(self) -> bool:
        """Whether null is a value of it: its default is, or one of its choices."""
        return is_null(self.default) or (self.form is not None and None in (self.form.choices or ()))

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if value is None:
            return None if self.takes_null else "no value stands here"
        if self.type is not None and not _is(value, self.type):
            return f"expected {_TYPES[self.type][1]}, got {shown(value)}"
        form = self.form
        if form is None:
            return None
        if form.choices is not None and value not in form.choices:
            return f"expected one of {', '.join(map(shown, form.choices))}, got {shown(value)}"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and form.min is not None and value < form.min:
            return f"expected at least {form.min}, got {value}"
        if number and form.max is not None and value > form.max:
            return f"expected at most {form.max}, got {value}"
        return None


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name][0]) and (name == "bool" or not isinstance(value, bool))


def declarations(node: MappingNode | None, diagnostics: Diagnostics) -> dict[str, Declaration]:
    """The params under ``params:``, in order."""
    found = {}
    for entry in node or ():
        if check_param_name(entry.key, entry.key_span, diagnostics):
            found[entry.key] = _declaration(entry, diagnostics)
    return found


def _declaration(entry: Entry, diagnostics: Diagnostics) -> Declaration:
    node = entry.value
    text = text_of(node)
    if text is not None and text in TYPE_NAMES:
        return Declaration(entry.key, entry.key_span, text)
    if not isinstance(node, MappingNode):
        if isinstance(node, Scalar) and node.plain and str(node.value).lower() in _LIKE_TYPES:
            diagnostics.warning(
                "no-type",
                f"param {entry.key}: {node.value!r} is its default, a text, and no type",
                node.span,
                help=f"the types are {listed(TYPE_NAMES, 'and')}; a text is put in quotes",
            )
        return Declaration(entry.key, entry.key_span, default=node)
    form = validate(ParamForm, node, diagnostics, what=f"param {entry.key}")
    if form is None:
        return Declaration(entry.key, entry.key_span, is_faulty=True)
    declared = Declaration(entry.key, entry.key_span, form.type, node.get("default"), form)
    default = declared.default
    if default is not None and not is_expression(default) and (fault := declared.fault(plain(default))):
        diagnostics.error("bad-value", f"param {entry.key}: {fault}", default.span)
    return declared


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller gives a block: arguments already evaluated (None: one that failed), and where it stands."""

    what: str
    span: Span
    arguments: Mapping[str, tuple[Entry, Node | None]]


def bind(
    declared: Mapping[str, Declaration],
    call: Call,
    feeds: Mapping[str, Feed],
    diagnostics: Diagnostics,
    inner: Diagnostics,
) -> dict[str, Param]:
    """Every param's value, given or by default. Errors of defaults go to ``inner``, all others to ``diagnostics``."""
    params: dict[str, Param] = {}
    mistyped = {close(declared, key) for key in call.arguments if key not in declared}
    for name, declaration in declared.items():
        if name in call.arguments:
            params[name] = _given(declaration, *call.arguments[name], call, diagnostics)
        elif declaration.is_faulty or (declaration.default is None and name in mistyped):
            params[name] = Param(UNKNOWN, call.span)  # the faulty form, or the mistyped key, was told of
        elif declaration.default is None:
            diagnostics.error(
                "missing-key",
                f"{call.what}: {name} is missing",
                call.span,
                notes=[Note("declared here", declaration.span)],
                help=f"add {name}: {_TYPES[declaration.type][1] if declaration.type else '…'}",
            )
            params[name] = Param(UNKNOWN, call.span)
        else:
            # What reads a param further down was told when the names were checked.
            below = {each: Param(UNKNOWN, other.span) for each, other in declared.items() if each not in params}
            params[name] = _default(declaration, declaration.default, Scope({**below, **params}, feeds), inner)
    return params


def _given(declared: Declaration, entry: Entry, node: Node | None, call: Call, diagnostics: Diagnostics) -> Param:
    if node is None:
        return Param(UNKNOWN, entry.value.span)
    fault = declared.fault(plain(node))
    if fault:
        help = whole_help(node) if declared.type == "int" else None
        if declared.type in ("int", "float") and (text := text_of(node)) is not None:
            help = expression_help(text)
        if declared.type == "bool":
            help = bool_help(plain(node))
        if plain(node) is None and declared.default is not None:
            help = f"write one, or leave {declared.name} out: it has a default"
        diagnostics.error(
            "wrong-type",
            f"{call.what}: {declared.name}: {fault}",
            node.span,
            notes=[Note("declared here", declared.span)],
            help=help,
        )
        return Param(UNKNOWN, node.span)
    return Param(plain(node), node.span)


def whole_help(node: Node) -> str | None:
    """The way out where an expression's division gives a float in a whole number's place."""
    if not isinstance(node, Scalar) or not isinstance(node.value, float):
        return None
    return "// divides to a whole number" if node.text.startswith("$") and "/" in node.text else None


def _default(declared: Declaration, default: Node, scope: Scope, diagnostics: Diagnostics) -> Param:
    node = substitute(default, scope, diagnostics)
    if node is None:
        return Param(UNKNOWN, default.span)
    if is_expression(default) and (fault := declared.fault(plain(node))):
        diagnostics.error("bad-value", f"param {declared.name}: {fault}", default.span)
        return Param(UNKNOWN, default.span)
    return Param(plain(node), default.span)


def unknown_params(
    declared: Mapping[str, Declaration], given: MappingNode, what: str, diagnostics: Diagnostics
) -> None:
    """Tells of keys that are no params."""
    for entry in given:
        if entry.key not in declared:
            diagnostics.error(
                "unknown-key",
                f"{what}: unknown key {entry.key!r}",
                entry.key_span,
                help=did_you_mean(entry.key, list(declared)) if declared else f"{what} takes no params",
            )
