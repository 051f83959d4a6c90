"""Long lines of generated Python, broken as a formatter breaks them: one item a line. Floor 6."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from zoo.graph.source import LINE_LENGTH

_SHAPE = re.compile(r"\[[^\[\]]{1,60}\]")  # a longer one does not fit into any line
_NO_BREAK = "\0"


def statement(text: str, indent: int) -> str:
    """A one-line statement laid out at this depth of indentation (in spaces)."""
    line = " " * indent + text
    if len(line) <= LINE_LENGTH:
        return line
    node = ast.parse(text).body[0]
    value = getattr(node, "value", None)
    if not isinstance(value, ast.expr):
        return line
    start, end = _place(text, value)
    return " " * indent + text[:start] + _broken(text[start:end], indent, start) + text[end:]


def signature(name: str, parameters: list[str], returns: str, indent: int) -> str:
    """A method's first line, or lines."""
    line = f"{' ' * indent}def {name}({', '.join(parameters)}) -> {returns}:"
    if len(line) <= LINE_LENGTH:
        return line
    pad = " " * (indent + 4)
    inner = "\n".join(f"{pad}{parameter}," for parameter in parameters)
    return f"{' ' * indent}def {name}(\n{inner}\n{' ' * indent}) -> {returns}:"


def docstring(paragraphs: list[str], indent: int) -> str:
    """A docstring, wrapped; its closing quotes stand alone where it has several lines."""
    pad = " " * indent
    width = LINE_LENGTH - indent
    parts = [paragraph.replace("\\", "\\\\").replace('"""', "'''").strip() for paragraph in paragraphs if paragraph]
    if len(parts) == 1:
        line = parts[0] + (" " if parts[0].endswith('"') else "")
        if len(line) + 6 <= width:
            return f'{pad}"""{line}"""'
    blocks = [_filled(part, width - 3 if index == 0 else width) for index, part in enumerate(parts)]
    if len(blocks) == 1 and "\n" not in blocks[0]:  # the quotes alone are too much: formatters would not part with them
        blocks = [_filled(parts[0], width - 7)]
    return textwrap.indent('"""' + "\n\n".join(blocks) + '\n"""', pad)


def _filled(text: str, width: int) -> str:
    """Wrapped text in which a shape, ``[B, 2 * channels]``, stays in one line."""
    together = _SHAPE.sub(lambda match: match[0].replace(" ", _NO_BREAK), text)
    return textwrap.fill(together, width).replace(_NO_BREAK, " ")


def _broken(text: str, indent: int, used: int, after: int = 0) -> str:
    """An expression, broken at its outermost brackets if what stands before and behind it leaves no room."""
    if indent + used + len(text) + after <= LINE_LENGTH:
        return text
    node = ast.parse(text, mode="eval").body
    if isinstance(node, ast.ListComp):
        return _broken_loop(text, node, indent)
    items = _items(text, node)
    if not items:
        return text
    opening, closing = text[: items[0].start].rstrip(), text[items[-1].end :].lstrip(", ")
    if isinstance(node, ast.Tuple) and not opening:  # the values that a forward returns
        opening, closing = "(", ")"
    inner = indent + 4
    lines = []
    for item in items:
        head, value = text[item.start : item.value], text[item.value : item.end]
        lines.append(" " * inner + head + _broken(value, inner, len(head), after=1) + ",")
    return "\n".join([opening, *lines, " " * indent + closing])


def _broken_loop(text: str, node: ast.ListComp, indent: int) -> str:
    """A list comprehension: its element, then its loop, each on a line of its own."""
    inner = indent + 4
    start, end = _place(text, node.elt)
    element = _broken(text[start:end], inner, 0)
    return "\n".join(["[", " " * inner + element, " " * inner + text[end:-1].strip(), " " * indent + "]"])


class _Item(NamedTuple):
    """Where in a line an item begins, where its value does (behind a keyword, key or star), and where it ends."""

    start: int
    value: int
    end: int


def _items(text: str, node: ast.expr) -> list[_Item]:
    """The items of a call, list, tuple or dict."""
    whole: Sequence[ast.expr | ast.keyword | None]
    if isinstance(node, ast.Call):
        whole, values = [*node.args, *node.keywords], [*node.args, *(keyword.value for keyword in node.keywords)]
    elif isinstance(node, ast.Dict):
        whole, values = node.keys, node.values
    elif isinstance(node, ast.List | ast.Tuple):
        whole, values = node.elts, node.elts
    else:
        return []
    bare = [value.value if isinstance(value, ast.Starred) else value for value in values]
    pairs = zip(whole, bare, strict=True)
    return [_Item(_place(text, one or value)[0], *_place(text, value)) for one, value in pairs]


def _place(text: str, node: ast.expr | ast.keyword) -> tuple[int, int]:
    """Where a part of a line begins and ends. Python counts the bytes, of which a letter may take several."""
    line = text.encode()
    return len(line[: node.col_offset].decode()), len(line[: node.end_col_offset].decode())
