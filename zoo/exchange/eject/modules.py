"""How a class builds its modules, as one-line texts. Floor 6."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from zoo.exchange.eject.classes import EjectedClass
from zoo.exchange.eject.forms import Chain, Construct, Fixed, Items, Run, Slot, StepForm
from zoo.exchange.eject.solving import Parameter
from zoo.graph.python_text import fresh, literal
from zoo.layers import ops

MOST_POSITIONAL = 3
FEWEST_IN_A_LOOP = 3

Texts = Mapping[Slot, str]


def ordered_parameters(cls: EjectedClass) -> list[Parameter]:
    """A class's constructor parameters, those with defaults last."""
    return sorted(cls.solution.parameters, key=lambda parameter: parameter.default is not None)


def module_text(form: Any, texts: Texts) -> str:
    """The text that builds a module."""
    if isinstance(form, Chain):
        return f"nn.Sequential({', '.join(chain_items(form, texts))})"
    assert isinstance(form, Construct)
    arguments = {name: value_text(value, texts) for name, value in form.arguments}
    if isinstance(form.target, EjectedClass):
        return _class_call(form.target, arguments)
    op = ops[form.target]
    defaults = {name: literal(value) for name, value in op.complete({}).items()}
    return op.constructor({name: text for name, text in arguments.items() if defaults.get(name) != text})


def value_text(value: Any, texts: Texts) -> str:
    """An argument's text."""
    if isinstance(value, Fixed):
        return value.text
    if isinstance(value, Items):
        inner = [value_text(item, texts) for item in value.items]
        if not value.is_tuple:
            return f"[{', '.join(inner)}]"
        return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
    return texts[value]


def chain_items(chain: Chain, texts: Texts) -> list[str]:
    """The items of an ``nn.Sequential``: like ones in a row as a comprehension."""
    items: list[str] = []
    for run in chain.runs:
        count = texts[run.count]
        if count.isdigit() and int(count) < FEWEST_IN_A_LOOP:
            items += [module_text(run.item, texts)] * int(count)
        else:
            items.append(_loop(run, count, texts))
    return items


def _loop(run: Run, count: str, texts: Texts) -> str:
    """``*[Bottleneck(64 + 32 * i) for i in range(6)]``."""
    index = _index(texts) if run.growing else "_"
    grown = dict(texts)
    for slot, increment in run.growing:
        grown[slot] = _grown(texts[slot], texts[increment], index)
    return f"*[{module_text(run.item, grown)} for {index} in range({count})]"


def _index(texts: Texts) -> str:
    """A loop's index: a name that nothing inside reads, be it a parameter or the index of a loop around it."""
    read = set(re.findall(r"\w+", " ".join(texts.values())))
    return next((name for name in "ijkmn" if name not in read), None) or fresh("i", read)


def _grown(start: str, by: str, index: str) -> str:
    """``64 + 32 * i``; an increment that itself grows in a loop around this one stands in parentheses."""
    if by == "1":
        return f"{start} + {index}"
    if by.startswith("-") and by[1:].isdigit():
        return f"{start} - {by[1:]} * {index}"
    node = ast.parse(by, mode="eval").body
    is_sum = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    return f"{start} + {f'({by})' if is_sum else by} * {index}"


def _class_call(cls: EjectedClass, arguments: Mapping[str, str]) -> str:
    """A call that gives the required parameters by position, if they are few, and leaves defaults out."""
    texts = []
    parameters = ordered_parameters(cls)
    required = [parameter for parameter in parameters if parameter.default is None]
    for parameter in parameters:
        text = arguments[parameter.name]
        if parameter.default is None:
            texts.append(text if len(required) <= MOST_POSITIONAL else f"{parameter.name}={text}")
        elif text != literal(parameter.default[0]):
            texts.append(f"{parameter.name}={text}")
    return f"{cls.name}({', '.join(texts)})"


def free_tensor_text(step: StepForm, texts: Texts) -> str:
    """A parameter's or buffer's tensor; zeros, until it is initialised."""
    given = dict(step.built)
    shape = given["shape"]
    sizes = ", ".join(value_text(item, texts) for item in shape.items) if isinstance(shape, Items) else texts[shape]
    dtype = texts[given["dtype"]] if "dtype" in given else '"float32"'
    named = f"torch.{dtype[1:-1]}" if dtype.startswith('"') else f"getattr(torch, {dtype})"
    return f"torch.zeros({sizes or '()'}{'' if named == 'torch.float32' else f', dtype={named}'})"
