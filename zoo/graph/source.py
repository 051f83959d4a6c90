"""A block's ``forward`` as Python text, in the form a person would have written. Floor 3.

::

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))

Two passes. *Grouping* decides which steps share a line: a value that only the very next step reads may stand inside
that step's expression. *Naming* gives each line's value a variable: the running one (``x``, or ``out`` where the
block's input is wanted later) if only the next line reads it, else the step's own name. Lines keep the order of the
steps, so random numbers are drawn in that order too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from zoo.graph.plan import Block, Ref, Step
from zoo.graph.python_text import attribute, bound, fresh, imported, literal
from zoo.layers import ops

# How an argument of a function, or a keyword of a forward call, is written: (step, name, value, inputs' texts).
ArgumentText: TypeAlias = Callable[[Step, str, Any, Sequence[str]], str]

Conditions: TypeAlias = Mapping[str, tuple[str, Ref]]

LINE_LENGTH = 88
MAX_NESTING = 3
_INDENT = 8
_UNREAD = "_"  # takes what nobody reads
_OPERATORS = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp)


@dataclass(frozen=True, slots=True)
class Forward:
    """A forward method: the names of its parameters after ``self``, and its statements, not indented."""

    parameters: tuple[str, ...]
    statements: tuple[str, ...]

    def method(self) -> str:
        """The method's text, indented as in a class."""
        head = f"    def forward({', '.join(['self', *self.parameters])}):"
        return "\n".join([head, *(f"        {statement}" for statement in self.statements)])


def input_variables(block: Block) -> tuple[str, ...]:
    """The parameters of a block's forward: ``x`` for the input that has no name of its own."""
    taken = imported_names(block)
    return tuple(fresh("x" if name == "input" else name, taken) for name in block.inputs)


def forward_of(
    block: Block, argument_text: ArgumentText | None = None, conditions: Conditions | None = None
) -> Forward:
    """The forward of a block.

    ``argument_text`` may write an argument as something other than its literal; ``conditions`` say of a step when it
    runs, and which value stands in its place when it does not.
    """
    writer = _Writer(block, argument_text or (lambda step, name, value, inputs: literal(value)), conditions or {})
    return Forward(input_variables(block), tuple(writer.statements()))


def import_lines(block: Block) -> list[str]:
    """The imports by which the block's functions are called, in order."""
    return sorted({line for step in block.steps if step.kind == "function" for line in ops[step.op].imports})


def imported_names(block: Block) -> set[str]:
    """The names by which the block's functions are called: a variable of such a name would hide the function."""
    return {bound(alias) for line in import_lines(block) for alias in imported(line)}


def _is_plain_attribute(step: Step) -> bool:
    """A free parameter or buffer that is read as it stands."""
    return step.is_tensor and step.batch_like is None


class _Writer:
    """Writes one block's statements. ``_texts`` says how each value is read at this point."""

    def __init__(self, block: Block, argument_text: ArgumentText, conditions: Conditions) -> None:
        self._block = block
        self._conditions = conditions
        self._argument_text = argument_text
        self._texts: dict[str, str] = dict(zip(block.inputs, input_variables(block), strict=True))
        self._readers: dict[str, list[str]] = {}  # value: the steps that read it, "" for the block's output
        for step in block.steps:
            for ref in step.refs:
                self._readers.setdefault(ref.name, []).append(step.name)
        for ref in block.output_refs:
            self._readers.setdefault(ref.name, []).append("")
        self._picked = {ref.name for step in block.steps for ref in step.refs if ref.picks}  # not one tensor
        self._bodies = {step.name: step.body for step in block.steps}
        self._imported = imported_names(block)
        taken = {*self._texts.values(), *self._imported, "x", "out", _UNREAD}
        self._own = {step.name: fresh(step.name, taken) for step in block.steps}
        self._texts |= {step.name: attribute(step.name) for step in block.steps if _is_plain_attribute(step)}

    def statements(self) -> list[str]:
        """The lines, a ``return`` last."""
        groups = self._groups()
        last_line = self._last_lines(groups)
        running = self._running_variable(last_line)
        held_until = last_line.get(self._block.inputs[0], -1) if running == self._texts[self._block.inputs[0]] else -1
        lines: list[str] = []
        for index, group in enumerate(groups):
            name, text = group[-1].name, self._nested(group, self._texts)
            if index == len(groups) - 1 and self._block.output == Ref(name) and self._readers[name] == [""]:
                return [*lines, f"return {text}"]
            if name not in last_line:
                lines.append(f"{_UNREAD} = {text}")
                continue
            if held_until <= index and last_line[name] == index + 1 and name not in self._picked:
                variable, held_until = running, last_line[name]
            else:
                variable = self._own[name]
            self._texts[name] = variable
            lines.append(f"{variable} = {text}")
        return [*lines, f"return {self._output()}"]

    def _groups(self) -> list[list[Step]]:
        """Steps that share a line, in order."""
        groups: list[list[Step]] = []
        for step in self._block.steps:
            if _is_plain_attribute(step):
                continue
            if groups and self._joins(groups[-1], step):
                groups[-1].append(step)
            else:
                groups.append([step])
        return groups

    def _joins(self, group: list[Step], step: Step) -> bool:
        """Whether a line may go on into this step. Its length is judged with the longest names it could bear."""
        inner = group[-1]
        if self._readers.get(inner.name) != [step.name] or len(group) >= MAX_NESTING or not _reads_well(inner, step):
            return False
        if len(group) > 1 and len(step.inputs) > 1 and inner.kind == "module":
            return False  # `out = bn(conv(out))`, then `relu(out + x)`: values meet on a fresh line
        texts = self._own | self._texts
        inside, text = self._nested(group, texts), self._nested([*group, step], texts)
        longest = max(len(f"{self._own[step.name]} = "), len("return "))
        return text.count(inside) == 1 and _INDENT + longest + len(text) <= LINE_LENGTH

    def _last_lines(self, groups: list[list[Step]]) -> dict[str, int]:
        """The last line that reads each value; one past the end for the block's output."""
        lines = {step.name: index for index, group in enumerate(groups) for step in group} | {"": len(groups)}
        return {
            name: max(lines[reader] for reader in readers if reader in lines)
            for name, readers in self._readers.items()
            if any(reader in lines for reader in readers)
        }

    def _running_variable(self, last_line: Mapping[str, int]) -> str:
        inputs = [self._texts[name] for name in self._block.inputs]
        if inputs[0] == "x" and last_line.get(self._block.inputs[0], -1) <= 0:
            return "x"
        taken = {*inputs, *self._own.values(), *self._imported}
        return next((name for name in ("out", "x", "h", "y") if name not in taken), fresh("out", set(taken)))

    def _output(self) -> str:
        output = self._block.output
        if isinstance(output, Ref):
            return self._read(output, self._texts)
        if isinstance(output, Mapping):
            return "{" + ", ".join(f"{literal(k)}: {self._read(ref, self._texts)}" for k, ref in output.items()) + "}"
        texts = [self._read(ref, self._texts) for ref in output]
        return ", ".join(texts) if len(texts) > 1 else f"({texts[0]},)"

    def _nested(self, group: Sequence[Step], texts: Mapping[str, str]) -> str:
        """One expression for several steps, each but the first holding the one before."""
        text = self._expression(group[0], texts)
        for inner, step in pairwise(group):
            plain = self._expression(step, {**texts, inner.name: text})
            if _is_operator(text):
                bracketed = self._expression(step, {**texts, inner.name: f"({text})"})
                plain = plain if _means_the_same(plain, bracketed) else bracketed
            text = plain
        return text

    def _read(self, ref: Ref, texts: Mapping[str, str]) -> str:
        return texts[ref.name] + "".join(f"[{literal(pick)}]" for pick in ref.picks)

    def _expression(self, step: Step, texts: Mapping[str, str]) -> str:
        """A step's call, and its condition if it has one."""
        call = self._call(step, texts)
        if step.name not in self._conditions:
            return call
        condition, otherwise = self._conditions[step.name]
        return f"{call} if {condition} else {self._read(otherwise, texts)}"

    def _call(self, step: Step, texts: Mapping[str, str]) -> str:
        inputs = [self._read(ref, texts) for ref in step.inputs]
        named = {name: self._read(ref, texts) for name, ref in step.named_inputs.items()}
        if step.batch_like is not None:
            kept = ", -1" * (len(step.parameters[0].shape) - 1)
            return f"{attribute(step.name)}.expand({self._read(step.batch_like, texts)}.shape[0]{kept})"
        body = self._bodies[step.share or step.name]
        if body is not None:  # a block's inputs go by position: their names may not be Python's
            inputs, named = [*inputs, *(named[name] for name in body.inputs if name in named)], {}
        given = {**step.arguments, **step.call} if step.kind == "function" else step.call
        keywords = named | {name: self._argument_text(step, name, value, inputs) for name, value in given.items()}
        if step.kind == "function":
            op = ops[step.op]
            return op.expression(inputs, keywords, "self.training" if op.follows_training else None)
        arguments = [*inputs, *(f"{name}={text}" for name, text in keywords.items())]
        return f"{attribute(step.share or step.name)}({', '.join(arguments)})"


def _reads_well(inner: Step, outer: Step) -> bool:
    """Whether a person would write the one call inside the other.

    A layer or function stands well inside a function, a block where values meet (``x + self.block(x)``), and a layer
    with weights inside a layer (``self.norm(self.conv(x))``); anything else begins a line of its own.
    """
    if inner.batch_like is not None:
        return False
    if outer.kind == "function":
        return inner.kind != "block" or len(outer.inputs) > 1
    return inner.kind == "module" and (bool(inner.parameters) or (outer.kind == "module" and not outer.parameters))


def _is_operator(text: str) -> bool:
    return isinstance(ast.parse(text, mode="eval").body, _OPERATORS)


def _means_the_same(plain: str, bracketed: str) -> bool:
    """Whether a text needs no brackets: ``x + 2.expand(…)`` is no Python without them."""
    try:
        return ast.dump(ast.parse(plain)) == ast.dump(ast.parse(bracketed))
    except SyntaxError:
        return False
