"""Long lines of generated Python, broken as a formatter breaks them: one item a line. Floor 6."""

from __future__ import annotations

import ast
import re
import textwrap

LINE_LENGTH = 88
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
    if len(parts) == 1 and len(parts[0]) + 6 <= width and not parts[0].endswith('"'):
        return f'{pad}"""{parts[0]}"""'
    blocks = [_filled(part, width - 3 if index == 0 else width) for index, part in enumerate(parts)]
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
    items = [_place(text, item) for item in _items(node)]
    if not items:
        return text
    first, last = items[0], items[-1]
    opening, closing = text[: first[0]].rstrip(), text[last[1] :].lstrip(", ")
    inner = indent + 4
    lines = []
    for start, end in items:
        item = text[start:end]
        head = len(item) - len(_bare(item))
        lines.append(" " * inner + item[:head] + _broken(item[head:], inner, head, after=1) + ",")
    return "\n".join([opening, *lines, " " * indent + closing])


def _broken_loop(text: str, node: ast.ListComp, indent: int) -> str:
    """A list comprehension: its element, then its loop, each on a line of its own."""
    inner = indent + 4
    start, end = _place(text, node.elt)
    element = _broken(text[start:end], inner, 0)
    return "\n".join(["[", " " * inner + element, " " * inner + text[end:-1].strip(), " " * indent + "]"])


def _bare(item: str) -> str:
    """An argument without its keyword or star."""
    if item.startswith("*"):
        return item.lstrip("*")
    name, equals, value = item.partition("=")
    return value if equals and name.isidentifier() and not value.startswith("=") else item


def _items(node: ast.expr) -> list[ast.expr | ast.keyword]:
    """The items of a call, list or tuple."""
    if isinstance(node, ast.Call):
        return [*node.args, *node.keywords]
    return list(node.elts) if isinstance(node, ast.List | ast.Tuple) else []


def _place(text: str, node: ast.expr | ast.keyword) -> tuple[int, int]:
    """Where a part of a line begins and ends. Python counts the bytes, of which a letter may take several."""
    line = text.encode()
    return len(line[: node.col_offset].decode()), len(line[: node.end_col_offset].decode())
