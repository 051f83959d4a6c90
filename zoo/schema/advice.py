"""The way out of the commonest slips in a value: what was meant, as it is written here. Floor 1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from zoo.document import Node, Scalar, Sequence, expressions, is_null, plain
from zoo.document.scalars import resolve
from zoo.registry import LIKELY_KEY, meant
from zoo.schema.habits import tuple_help
from zoo.schema.signature import fields_of
from zoo.schema.wording import bare, choices, describe, members, shown, takes_none

_TUPLE = re.compile(r"\(\s*-?\d")  # Python's, which YAML reads as text
_OTHER_BOOLS = {"no": "false", "off": "false", "yes": "true", "on": "true"}  # of YAML 1.1, text in 1.2
_NOTHING = ("none", "nil", "nothing")  # null elsewhere
_PRECISIONS = {  # torch's and Lightning's names
    **dict.fromkeys(("float16", "half", "16-mixed", "amp"), "fp16"),
    **dict.fromkeys(("bfloat16", "bf16-mixed"), "bf16"),
    **dict.fromkeys(("float32", "float", "full", "32-true"), "fp32"),
}
_AMOUNT = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*(%|[A-Za-zµ]+)")
_COMMA = re.compile(r"[-+]?\d+,\d+")
_UNDERSCORES = re.compile(r"[-+]?\d{1,3}(?:_\d{3})+")
_NUMBERS = {int, float}


def advice(annotation: Any, node: Node) -> str | None:
    """The way out where a value is not what its annotation asks for, if the slip is a common one."""
    options = members(annotation)
    if isinstance(node, Scalar):
        return _of_scalar(annotation, options, node)
    return _of_brackets(options, node) if isinstance(node, Sequence) else None


def share_help(node: Node, most: Any) -> str | None:
    """The way out where per cent stand for a share."""
    value = node.value if isinstance(node, Scalar) else None
    if most != 1 or not isinstance(value, int | float) or not 5 <= value <= 100:  # 2 is hardly 2 per cent
        return None
    return f"a share is written {value / 100:g}"


def quotes_help(node: Scalar) -> str | None:
    """The way out where quotes make a text of a number."""
    is_text = node.plain or not isinstance(node.value, str) or type(resolve(node.value)) is str
    return None if is_text else f"without quotes: {node.value}"


def bool_help(value: Any) -> str | None:
    """The way out where a word of YAML 1.1 stands for true or false."""
    meant_by_it = _OTHER_BOOLS.get(str(value).lower())
    return f"write {meant_by_it}" if meant_by_it else None


def expression_help(text: str) -> str | None:
    """The way out where a text stands for a number: how it is written if it was meant to be worked out."""
    try:
        tree = expressions.parse(f"$({text})")
    except expressions.ExpressionError:
        return None
    is_single = isinstance(tree, expressions.Path | expressions.Literal)  # a name or a number alone
    return None if is_single else f"an expression is written $({text})"


def _of_scalar(annotation: Any, options: list[Any], node: Scalar) -> str | None:
    value = node.value
    if value is None and "a mapping" in describe(annotation):
        return "what belongs to it stands below it, indented"
    section = next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)
    if section is not None and (help := _of_section(section, node)):
        return help
    if isinstance(value, str):
        return _of_text(annotation, options, node, value) or _listed(options, node)
    if isinstance(value, int | float) and _is_text_due(annotation) and not node.text.startswith("$"):
        return f'in quotes it is a text: "{node.text}"'
    if isinstance(value, float) and float not in options and int in options:
        if node.text.startswith("$"):
            return "// divides to a whole number"
        return f"write {int(value)}" if value.is_integer() else None
    return None if is_null(node) else _listed(options, node)


def _of_section(section: type[BaseModel], node: Scalar) -> str | None:
    """The way out where a single value stands for a mapping: ``early_stopping: 3``, ``tracking: wandb``."""
    fields = fields_of(section)
    due = [key for key, field in fields.items() if field.is_required()]
    if node.value is True:
        return f"write {{{', '.join(f'{key}: …' for key in due)}}}" if due else "{} takes its defaults"
    named = fields.get(str(node.value))
    if named is not None and bool in _kinds(named.annotation):
        return f"write {{{node.value}: true}}"
    first = next(iter(due or fields), None)
    is_number = type(node.value) in _NUMBERS and first is not None and _NUMBERS & _kinds(fields[first].annotation)
    return f"write {{{first}: {node.text}}}" if is_number and len(due) < 2 else None


def _of_text(annotation: Any, options: list[Any], node: Scalar, value: str) -> str | None:
    """The way out where a text stands for something else."""
    words = [choice for choice in choices(annotation) if isinstance(choice, str)]
    likely = next(iter(meant(value, words, LIKELY_KEY)), None)
    precision = _PRECISIONS.get(value.lower())
    if likely or precision in words:
        return f"did you mean {precision if precision in words else likely}?"
    if bool in options and (help := bool_help(value)):
        return help
    if value.lower() in _NOTHING:
        return "nothing is written null" if takes_none(annotation) else "leave the key out"
    kinds = _kinds(annotation)
    if (_NUMBERS | {bool}) & kinds and (help := quotes_help(node)):
        return help
    if _TUPLE.match(value) and any(isinstance(get_origin(option), type) for option in options):
        return tuple_help(node)
    return (_number_in(value) or expression_help(value)) if _NUMBERS & kinds else None


def _number_in(text: str) -> str | None:
    """The number that a text holds with a unit, per cent, a decimal comma or underscores, as it is written here."""
    if _COMMA.fullmatch(text):
        return f"a number has a decimal point: {text.replace(',', '.')}"
    if _UNDERSCORES.fullmatch(text):
        return f"without underscores: {text.replace('_', '')}"
    amount = _AMOUNT.fullmatch(text)
    if amount is None:
        return None
    return f"a share is written {float(amount[1]) / 100:g}" if amount[2] == "%" else f"the number alone: {amount[1]}"


def _listed(options: list[Any], node: Scalar) -> str | None:
    """The way out where one value stands for a list, of whatever length."""
    are_lists = [get_origin(each) is list or (get_origin(each) is tuple and ... in get_args(each)) for each in options]
    return f"write [{node.text}]" if all(are_lists) else None


def _of_brackets(options: list[Any], node: Sequence) -> str | None:
    """The way out where a list of one stands for its item."""
    item = node.items[0] if len(node) == 1 else None
    is_due = isinstance(item, Scalar) and type(item.value) in {bare(option) for option in options} | (
        {int} if float in options else set()
    )
    return f"without brackets: {shown(plain(item))}" if is_due and item is not None else None


def _is_text_due(annotation: Any) -> bool:
    """Whether a text or a path is asked for, and no number might be meant."""
    kinds = _kinds(annotation)
    return bool({str, Path} & kinds) and not (_NUMBERS | {bool}) & kinds


def _kinds(annotation: Any) -> set[Any]:
    return {bare(option) for option in members(annotation)}
