"""The values of expressions, bounded in the size of every number and list on the way. Floor 0.

What names mean is the caller's business: a :class:`Scope` answers for them.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from zoo.diagnostics import Diagnostics, Span
from zoo.document.expression_help import around_help
from zoo.document.expressions import (
    SHAPE_WORDS,
    Binary,
    Call,
    Choice,
    Comparison,
    ExpressionError,
    Index,
    ListOf,
    Literal,
    Path,
    Prefix,
    Tree,
    parse,
    paths,
)
from zoo.document.functions import FUNCTION_VALUES, number_of
from zoo.document.nodes import (
    DEEPEST_NESTING,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    from_data,
    scalars,
    text_of,
    written,
)

ExpressionValue: TypeAlias = "int | float | bool | str | list[Any] | None"

LARGEST = 2**63 - 1
MOST_ITEMS = 10_000  # in a list or text, nested ones counted

_DIGITS_FIRST = rf"\d+(?:\.\d+)*\.[A-Za-z]|\d[\w-]*(?:\.\w+)*\.(?:{'|'.join(SHAPE_WORDS)})\b"  # a layer's, not $5.00
_PIECE = re.compile(rf"\$(?:\$|(?=\()|[A-Za-z_]|{_DIGITS_FIRST})", re.ASCII)


class Scope(Protocol):
    """What the names in an expression stand for."""

    def value(self, name: str, parts: tuple[int | str, ...]) -> ExpressionValue:
        """The value of ``name`` or ``name.0.channels``. Raises ExpressionError, or MutedError."""


class MutedError(Exception):
    """The expression reads something that failed and was told before: no second message is due."""


class NoNames:
    """The scope of a file without params, such as a recipe: arithmetic only."""

    def value(self, name: str, parts: tuple[int | str, ...]) -> ExpressionValue:
        """Raises ExpressionError: there are no names."""
        raise ExpressionError(f"there is no name {name!r} here", help="only numbers and functions are known here")


def is_expression(node: Node) -> bool:
    """Whether a node is ``$name`` or ``$(…)``."""
    text = text_of(node) or ""
    return text.startswith("$") and _PIECE.match(text) is not None and text[1] != "$"


def names_read(node: Node) -> list[tuple[Path, Scalar]]:
    """Every name that the expressions of a node read, with the scalar it stands in; unreadable ones are left out."""
    found: list[tuple[Path, Scalar]] = []
    for scalar in filter(is_expression, scalars(node)):
        with suppress(ExpressionError):
            found += [(path, scalar) for path in paths(parse(str(scalar.value)))]
    return found


def place(scalar: Scalar, start: int, end: int) -> Span:
    """The span of a stretch of a scalar's text; the whole scalar's where its text was folded or escaped."""
    span = scalar.span
    quote = 0 if scalar.plain else 1
    width = span.end_column - span.column - 2 * quote
    if start < 0 or span.line != span.end_line or width != len(str(scalar.value)):
        return span
    column = span.column + quote
    return Span(span.source, span.line, column + start, span.line, column + end)


def substitute(node: Node, scope: Scope, diagnostics: Diagnostics) -> Node | None:
    """The node with every expression in it replaced by its value, which keeps the expression's place.

    Returns None where one has no value; what was wrong is in the diagnostics, or was told before.
    """
    if isinstance(node, Scalar):
        return _scalar(node, scope, diagnostics)
    if isinstance(node, Sequence):
        items = [substitute(item, scope, diagnostics) for item in node]
        return None if None in items else Sequence(tuple(item for item in items if item is not None), node.span)
    values = [(entry, substitute(entry.value, scope, diagnostics)) for entry in node]
    if any(value is None for _, value in values):
        return None
    return Mapping(tuple(Entry(e.key, e.key_span, value) for e, value in values if value is not None), node.span)


def _scalar(node: Scalar, scope: Scope, diagnostics: Diagnostics) -> Node | None:
    if not isinstance(node.value, str) or "$" not in node.value:
        return node
    try:
        if is_expression(node):
            value = evaluate(parse(node.value), scope)
            return _result(value, node)
        return Scalar(_unescaped(node.value), node.span, node.text, node.plain)
    except ExpressionError as error:
        report(error, node, diagnostics)
    except MutedError:
        pass
    return None


def _result(value: ExpressionValue, node: Scalar) -> Node:
    """The value in the expression's place; a single one remembers how it was written."""
    return from_data(value, node.span) if isinstance(value, list) else Scalar(value, node.span, node.text)


def _unescaped(text: str) -> str:
    for match in _PIECE.finditer(text):
        if match[0] != "$$":
            help = around_help(text) or "write $$ for a dollar sign"
            raise ExpressionError("an expression is the whole of a value", match.start(), len(text), help=help)
    return text.replace("$$", "$")


def fill_in(node: Scalar, scope: Scope, diagnostics: Diagnostics) -> str | None:
    """Text with expressions in it, ``denselayer$(i + 1)``, as text. None where one has no value."""
    try:
        return "".join(text if at is None else _filled(text, at, scope) for at, text in _pieces(str(node.value)))
    except ExpressionError as error:
        report(error, node, diagnostics)
    except MutedError:
        pass
    return None


def _filled(text: str, at: int, scope: Scope) -> str:
    """The value of an expression that begins at this place of a scalar, which its error is told by."""
    try:
        return str(_printed(evaluate(parse(text), scope)))
    except ExpressionError as error:
        error.start, error.end = (at + max(0, error.start), at + (error.end if error.start >= 0 else len(text)))
        raise


def _printed(value: ExpressionValue) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ExpressionError(f"a whole number or text is expected in a name, the value is {written(value)}")
    return value


def _pieces(text: str) -> list[tuple[int | None, str]]:
    """Splits at expressions; each of them with the place where it begins, plain text with None."""
    pieces: list[tuple[int | None, str]] = []
    at = 0
    while match := _PIECE.search(text, at):
        pieces.append((None, text[at : match.start()]))
        if match[0] == "$$":
            pieces.append((None, "$"))
            at = match.end()
            continue
        end = _closing(text, match.start() + 1) if match[0] == "$" else _name_end(text, match.start() + 1)
        pieces.append((match.start(), text[match.start() : end]))
        at = end
    return [*pieces, (None, text[at:])]


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    raise ExpressionError("a closing parenthesis is missing", start, len(text))


def _name_end(text: str, start: int) -> int:
    match = re.compile(r"\w+(\.\w+)*", re.ASCII).match(text, start)
    return match.end() if match else start


def report(error: ExpressionError, node: Scalar, diagnostics: Diagnostics) -> None:
    """Tells an expression's error at its place within the scalar."""
    diagnostics.error(error.code, error.message, place(node, error.start, error.end), help=error.help)


def evaluate(tree: Tree, scope: Scope) -> ExpressionValue:
    """The value of an expression. Raises ExpressionError with the place of the part that has none, or MutedError."""
    try:
        return _bounded(_value(tree, scope))
    except ExpressionError as error:
        if error.start < 0:
            error.start, error.end = tree.start, tree.end
        raise
    except ZeroDivisionError:
        raise ExpressionError("a division by zero", tree.start, tree.end) from None
    except OverflowError:
        raise ExpressionError("a number beyond all bounds", tree.start, tree.end, code="number-too-large") from None
    except (TypeError, ValueError, IndexError) as error:
        raise ExpressionError(str(error), tree.start, tree.end) from None


def _value(tree: Tree, scope: Scope) -> ExpressionValue:
    match tree:
        case Literal(value=value):
            return value
        case Path(name=name, parts=parts):
            return scope.value(name, parts)
        case ListOf(items=items):
            return [evaluate(item, scope) for item in items]
        case Prefix(sign="not", operand=operand):
            return not _truth(operand, scope)
        case Prefix(sign=sign, operand=operand):
            number = number_of(evaluate(operand, scope), sign)
            return -number if sign == "-" else number
        case Binary(sign="and" | "or" as sign, left=left, right=right):
            first = _truth(left, scope)
            return first if first == (sign == "or") else _truth(right, scope)
        case Binary(sign=sign, left=left, right=right):
            return _arithmetic(sign, evaluate(left, scope), evaluate(right, scope))
        case Comparison(first=first, rest=rest):
            return _comparison(evaluate(first, scope), rest, scope)
        case Choice(test=test, then=then, otherwise=otherwise):
            return evaluate(then if _truth(test, scope) else otherwise, scope)
        case Call(function=function, arguments=arguments):
            return FUNCTION_VALUES[function](*[evaluate(argument, scope) for argument in arguments])
        case Index(target=target, parts=parts):
            return _indexed(
                evaluate(target, scope), [None if part is None else evaluate(part, scope) for part in parts]
            )
    raise AssertionError(tree)


def _truth(tree: Tree, scope: Scope) -> bool:
    value = evaluate(tree, scope)
    if not isinstance(value, bool):
        message = f"true or false is expected, the value is {written(value)}"
        raise ExpressionError(message, tree.start, tree.end, help="compare it with something")
    return value


def _arithmetic(sign: str, left: ExpressionValue, right: ExpressionValue) -> ExpressionValue:
    if sign == "+" and isinstance(left, list) and isinstance(right, list):
        return left + right
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if sign == "*" and isinstance(left, list) and isinstance(right, int) and not isinstance(right, bool):
        if len(left) * right > MOST_ITEMS:
            raise ExpressionError(f"a list of more than {MOST_ITEMS:,} items", code="number-too-large")
        return left * right
    first, second = number_of(left, sign), number_of(right, sign)
    if sign == "**":
        return _power(first, second)
    result: int | float = _OPERATORS[sign](first, second)
    return result


def _power(base: int | float, exponent: int | float) -> int | float:
    if abs(base) > 1 and exponent * math.log2(abs(base)) > 64:
        raise OverflowError
    result = base**exponent
    if isinstance(result, complex):
        raise ExpressionError("a power that is no real number")
    return float(result) if isinstance(result, float) else int(result)


def _comparison(left: ExpressionValue, rest: Iterable[tuple[str, Tree]], scope: Scope) -> bool:
    for sign, tree in rest:
        right = evaluate(tree, scope)
        if sign not in ("==", "!=", "in", "not in") and not _ordered(left, right):
            raise ExpressionError(f"{written(left)} and {written(right)} have no order")
        if not _COMPARISONS[sign](left, right):
            return False
        left = right
    return True


def _ordered(left: ExpressionValue, right: ExpressionValue) -> bool:
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))
    return numbers or (isinstance(left, str) and isinstance(right, str))


def _indexed(target: ExpressionValue, parts: list[ExpressionValue]) -> ExpressionValue:
    if not isinstance(target, list | str):
        raise ExpressionError(f"only a list can be indexed, the value is {written(target)}")
    places = [_index(part) for part in parts]
    if len(places) == 3:
        return target[places[0] : places[1] : places[2]]
    index = places[0]
    if index is None:
        raise ExpressionError("an index is a whole number, not null")
    if not -len(target) <= index < len(target):
        raise ExpressionError(f"there is no item {index}: the list has {len(target)}")
    item: ExpressionValue = target[index]
    return item


def _index(value: ExpressionValue) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | None):
        raise ExpressionError(f"an index is a whole number, not {written(value)}", help="use // for a whole number")
    return value


def _bounded(value: ExpressionValue) -> ExpressionValue:
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ExpressionError("a number beyond 2**63", code="number-too-large")
    if isinstance(value, float) and not math.isfinite(value):
        fault = "not a number" if math.isnan(value) else "a number beyond all bounds"
        raise ExpressionError(fault, code="number-too-large")
    if isinstance(value, list | str) and _size(value, MOST_ITEMS) > MOST_ITEMS:
        raise ExpressionError(f"a list of more than {MOST_ITEMS:,} items", code="number-too-large")
    if isinstance(value, list) and _depth(value) > DEEPEST_NESTING:
        raise ExpressionError(f"lists nested more than {DEEPEST_NESTING} levels deep", code="too-deep")
    return value


def _depth(value: Any) -> int:
    """Levels of lists, and of mappings where a file's list holds some."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)


def _size(value: ExpressionValue, limit: int) -> int:
    if not isinstance(value, list):
        return len(value) if isinstance(value, str) else 1
    size = 1
    for item in value:
        size += _size(item, limit - size)
        if size > limit:
            break
    return size


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda left, right: _contained(left, right),
    "not in": lambda left, right: not _contained(left, right),
}


def _contained(left: ExpressionValue, right: ExpressionValue) -> bool:
    if isinstance(right, list):
        return left in right
    if isinstance(right, str) and isinstance(left, str):
        return left in right
    raise ExpressionError(f"`in` wants a list, the value is {written(right)}")
