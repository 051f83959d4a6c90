"""Expressions: ``$name`` and ``$(…)`` as the whole of a value, parsed to a small tree. Floor 0.

An own parser instead of Python's: the grammar has paths such as ``halves.0.channels``, and nothing in it can
reach an attribute, a call or a number that is not written down here. Size and depth are bounded before anything
recurses. :mod:`zoo.document.evaluation` gives the trees their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NoReturn

from zoo.document.expression_help import SIGNS_ELSEWHERE, around_help

LONGEST = 1000  # characters of one expression
MOST_TOKENS = 300
DEEPEST = 48  # levels of the tree

SHAPE_WORDS = ("channels", "features", "height", "width", "shape")
_ONE, _ANY = (1, 1), (0, MOST_TOKENS)  # the fewest and most values that a function takes
FUNCTIONS = {
    "min": _ANY, "max": _ANY, "round": (1, 2), "ceil": _ONE, "floor": _ONE, "int": _ONE, "sum": _ANY, "len": _ONE,
}  # fmt: skip
CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
RESERVED = frozenset({"and", "or", "not", "if", "else", "in", *FUNCTIONS, *CONSTANTS})

_SHORT = re.compile(r"\$([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<path>(?:[A-Za-z_]\w*|\d+(?=(?:\.\w+)*\.(?:{"|".join(SHAPE_WORDS)})\b))(?:\.(?:[A-Za-z_]\w*|\d+))*)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<string>'[^'\\]*'|"[^"\\]*")
    | (?P<sign>\*\*|//|==|!=|<=|>=|[-+*/%<>()\[\],:])
    )""",
    re.VERBOSE | re.ASCII,
)
_BINARY = {
    **dict.fromkeys(("or",), 1),
    **dict.fromkeys(("and",), 2),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in", "not in"), 4),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/", "//", "%"), 6),
    "**": 8,
}
_COMPARISON, _NOT, _SIGN = 4, 3, 7


class ExpressionError(Exception):
    """What is wrong with an expression, and where in its text (``start`` < 0: nowhere in particular)."""

    def __init__(
        self, message: str, start: int = -1, end: int = -1, *, help: str | None = None, code: str = "bad-expression"
    ) -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.help, self.code = message, start, end, help, code


@dataclass(frozen=True, slots=True)
class Tree:
    """Base of the tree's nodes: the stretch of text each was read from, and how many levels it has."""

    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Literal(Tree):
    """A number, a string, true, false or null."""

    value: int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Path(Tree):
    """``name`` alone, or ``name.0.channels``."""

    name: str
    parts: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class ListOf(Tree):
    """``[a, b]``."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Prefix(Tree):
    """``-a``, ``+a``, ``not a``."""

    sign: str
    operand: Tree


@dataclass(frozen=True, slots=True)
class Binary(Tree):
    """``a + b``, ``a and b``."""

    sign: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Comparison(Tree):
    """``a < b <= c``."""

    first: Tree
    rest: tuple[tuple[str, Tree], ...]


@dataclass(frozen=True, slots=True)
class Choice(Tree):
    """``a if test else b``."""

    test: Tree
    then: Tree
    otherwise: Tree


@dataclass(frozen=True, slots=True)
class Call(Tree):
    """``max(a, b)``."""

    function: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Index(Tree):
    """``a[i]``, or ``a[i:j:k]`` with ``parts`` of three (None where left out)."""

    target: Tree
    parts: tuple[Tree | None, ...]


def children(tree: Tree) -> Iterator[Tree]:
    """The nodes directly below this one."""
    match tree:
        case ListOf(items=items):
            yield from items
        case Prefix(operand=operand):
            yield operand
        case Binary(left=left, right=right):
            yield from (left, right)
        case Comparison(first=first, rest=rest):
            yield first
            yield from (item for _, item in rest)
        case Choice(test=test, then=then, otherwise=otherwise):
            yield from (test, then, otherwise)
        case Call(arguments=arguments):
            yield from arguments
        case Index(target=target, parts=parts):
            yield target
            yield from (part for part in parts if part is not None)


def paths(tree: Tree) -> Iterator[Path]:
    """Every name the expression reads, from left to right."""
    if isinstance(tree, Path):
        yield tree
    for below in children(tree):
        yield from paths(below)


@lru_cache(maxsize=4096)
def parse(text: str) -> Tree:
    """Reads ``$name`` or ``$(…)``. Raises ExpressionError; places count from the dollar sign."""
    text = text.rstrip("\n")  # a block scalar ends in one
    if len(text) > LONGEST:
        raise ExpressionError(
            f"an expression of {len(text):,} characters (at most {LONGEST:,} are read)", code="expression-too-large"
        )
    short = _SHORT.fullmatch(text)
    if short:
        name, *parts = short[1].split(".")
        if name in RESERVED:
            raise ExpressionError(f"{name!r} is a word of the language, not a name", 1, len(text))
        return Path(1, len(text), 1, name, tuple(int(part) if part.isdigit() else part for part in parts))
    help = around_help(text)
    if help or not text.startswith("$(") or not text.endswith(")"):
        help = help or "write $name or $(expression); $$ writes a dollar sign"
        raise ExpressionError(f"{text!r} is no expression", help=help)
    return _Parser(text).parse()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # path, number, string, sign, end
    text: str
    start: int
    end: int


def _tokens(text: str, start: int, end: int) -> list[_Token]:
    found: list[_Token] = []
    while start < end and text[start:end].strip():
        match = _TOKEN.match(text, start, end)
        if match is None or match.lastgroup is None:
            at = start + len(text[start:end]) - len(text[start:end].lstrip())
            help = SIGNS_ELSEWHERE.get(text[at])
            raise ExpressionError(f"unexpected {text[at]!r} in an expression", at, at + 1, help=help)
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup), match.end()))
        if len(found) > MOST_TOKENS:
            raise ExpressionError(f"an expression of more than {MOST_TOKENS} words", code="expression-too-large")
        start = match.end()
    return [*found, _Token("end", "", end, end)]


class _Parser:
    """Precedence climbing: one method for all binary signs keeps the recursion shallow."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text, 2, len(text) - 1)
        self._at = 0
        self._open = 0

    def parse(self) -> Tree:
        tree = self._choice()
        if self._token.kind != "end":
            self._unexpected()
        return tree

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._token
        self._at += token.kind != "end"
        return token

    def _takes(self, *texts: str) -> bool:
        if self._token.kind in ("sign", "path") and self._token.text in texts:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> _Token:
        if self._token.text != text:
            self._unexpected(f"{text!r} is missing")
        return self._next()

    def _unexpected(self, what: str = "") -> NoReturn:
        token = self._token
        found = "the expression ends" if token.kind == "end" else f"unexpected {token.text!r}"
        before = self._tokens[self._at - 1] if self._at else token
        help = None
        name = before.text + token.text
        is_whole = token.kind == "path" and before.kind == "number" and before.end == token.start
        if is_whole and name.rpartition(".")[2] in SHAPE_WORDS:
            help = f"a layer's name that begins with a digit is read as a whole value alone: ${name}"
        message = f"{found}: {what}" if what else found
        raise ExpressionError(message, token.start, max(token.end, token.start + 1), help=help)

    def _choice(self) -> Tree:
        then = self._binary(1)
        if not self._takes("if"):
            return then
        test = self._binary(1)
        self._expect("else")
        otherwise = self._choice()
        return Choice(then.start, otherwise.end, _above(test, then, otherwise), test, then, otherwise)

    def _binary(self, weakest: int) -> Tree:
        left = self._prefix()
        while (sign := self._sign()) and _BINARY[sign] >= weakest:
            if _BINARY[sign] == _COMPARISON:
                left = self._comparison(left)
                continue
            self._at += 1
            least = _SIGN if sign == "**" else _BINARY[sign] + 1
            right = self._deeper(partial(self._binary, least))
            left = Binary(left.start, right.end, _above(left, right), sign, left, right)
        return left

    def _comparison(self, first: Tree) -> Tree:
        rest: list[tuple[str, Tree]] = []
        while (sign := self._sign()) and _BINARY[sign] == _COMPARISON:
            self._at += 2 if sign == "not in" else 1
            rest.append((sign, self._binary(_COMPARISON + 1)))
        depth = _above(first, *(tree for _, tree in rest))
        return Comparison(first.start, rest[-1][1].end, depth, first, tuple(rest))

    def _sign(self) -> str | None:
        token = self._token
        if token.text == "not" and self._tokens[min(self._at + 1, len(self._tokens) - 1)].text == "in":
            return "not in"
        return token.text if token.kind in ("sign", "path") and token.text in _BINARY else None

    def _prefix(self) -> Tree:
        token = self._token
        if token.kind in ("sign", "path") and token.text in ("-", "+", "not"):
            self._at += 1
            operand = self._deeper(lambda: self._binary(_NOT if token.text == "not" else _SIGN))
            return Prefix(token.start, operand.end, _above(operand), token.text, operand)
        return self._indexed(self._atom())

    def _indexed(self, target: Tree) -> Tree:
        while self._token.text == "[" and self._token.kind == "sign":
            self._at += 1
            parts: list[Tree | None] = [None if self._token.text in (":", "]") else self._deeper(self._choice)]
            while self._takes(":") and len(parts) < 3:
                parts.append(None if self._token.text in (":", "]") else self._deeper(self._choice))
            close = self._expect("]")
            if len(parts) == 1 and parts[0] is None:
                raise ExpressionError("an index is missing", close.start, close.end)
            parts += [None] * (3 - len(parts)) if len(parts) > 1 else []
            depth = _above(target, *(part for part in parts if part is not None))
            target = Index(target.start, close.end, depth, target, tuple(parts))
        return target

    def _atom(self) -> Tree:
        token = self._next()
        if token.kind == "number":
            return Literal(token.start, token.end, 1, _number(token))
        if token.kind == "string":
            return Literal(token.start, token.end, 1, token.text[1:-1])
        if token.kind == "path":
            return self._named(token)
        if token.text == "(":
            inner = self._deeper(self._choice)
            self._expect(")")
            return inner
        if token.text == "[":
            items = self._several("]")
            return ListOf(token.start, self._tokens[self._at - 1].end, _above(*items), items)
        self._at -= token.kind != "end"
        self._unexpected("a value is expected here")

    def _named(self, token: _Token) -> Tree:
        name, *parts = token.text.split(".")
        if token.text in CONSTANTS:
            return Literal(token.start, token.end, 1, CONSTANTS[token.text])
        if self._token.text == "(":
            if token.text not in FUNCTIONS:
                known = f"there are {', '.join(FUNCTIONS)}"
                raise ExpressionError(f"there is no function {token.text}", token.start, token.end, help=known)
            self._at += 1
            arguments = self._several(")")
            fewest, most = FUNCTIONS[token.text]
            if not fewest <= len(arguments) <= most:
                due = "one value" if most == 1 else "a value, and perhaps a number of digits"
                raise ExpressionError(f"{token.text} takes {due}, here {len(arguments)}", token.start, token.end)
            return Call(token.start, self._tokens[self._at - 1].end, _above(*arguments), token.text, arguments)
        if name in RESERVED:
            self._at -= 1
            self._unexpected("a value is expected here")
        return Path(token.start, token.end, 1, name, tuple(int(part) if part.isdigit() else part for part in parts))

    def _several(self, close: str) -> tuple[Tree, ...]:
        items: list[Tree] = []
        while not self._takes(close):
            items.append(self._deeper(self._choice))
            if self._token.text != close:
                self._expect(",")
        return tuple(items)

    def _deeper(self, read: Callable[[], Tree]) -> Tree:
        self._open = _require_levels(self._open + 1)
        tree = read()
        self._open -= 1
        return tree


def _above(*trees: Tree) -> int:
    """The depth of a node over these; raises ExpressionError where it is too deep to walk."""
    return _require_levels(1 + max((tree.depth for tree in trees), default=0))


def _require_levels(levels: int) -> int:
    if levels > DEEPEST:
        raise ExpressionError(f"an expression nested more than {DEEPEST} levels deep", code="expression-too-large")
    return levels


def _number(token: _Token) -> int | float:
    if len(token.text) > 40:
        raise ExpressionError("a number of more than 40 digits", token.start, token.end, code="expression-too-large")
    return int(token.text) if token.text.isdigit() else float(token.text)
