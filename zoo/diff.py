"""What differs between two plans, two recipes or two runs. Floor 6."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.columns import in_columns
from zoo.document import Mapping as Document
from zoo.document import Node, Scalar, Sequence, plain
from zoo.document.writer import scalar_text
from zoo.graph.plan import Output, ParameterSpec, Plan, Ref, Step, TensorSpec, Value
from zoo.layers import ops

# One number stands for all of their dimensions.
_PER_DIMENSION = {"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size"}

_FREE = ("Parameter", "Buffer")

_PER_CLASS = ".per_class."
_CLASSES_SHOWN = 3
_LAYERS_SHOWN = 5  # beside results

Part = Literal["setting", "result", "layer"]
_HEADS: dict[Part, str] = {
    "setting": "recipe",
    "result": "results",
    "layer": "network",
}  # in the order that they are told


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: where, and what stands on either side (None: nothing), with places where there are any.

    ``part`` says what it is one of: a recipe's settings, a run's results, a network's layers.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None
    before_place: str = ""
    after_place: str = ""
    part: Part = "setting"

    def as_data(self) -> dict[str, Any]:
        """The change as plain data, for ``--json``."""
        return {
            "path": self.path,
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
            "before_place": self.before_place or None,
            "after_place": self.after_place or None,
        }


def diff_plans(a: Plan, b: Plan) -> list[Change]:
    """Layers added, removed, and changed in anything that makes another network, by dotted path; also the output."""
    return list(_compare(_layers(a), _layers(b), "layer"))


def diff_documents(a: Node, b: Node) -> list[Change]:
    """Values added, removed and changed, by dotted path, each with its place in its file."""
    return list(_compare(dict(_values(a, "")), dict(_values(b, "")), "setting"))


def diff_data(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """The same for plain nested data, such as two ``result.json``."""
    return list(_compare(dict(_flatten(a, "")), dict(_flatten(b, "")), "result"))


_Placed = tuple[Any, str]  # a value, and where it stands


def _compare(a: Mapping[str, _Placed], b: Mapping[str, _Placed], part: Part) -> Iterator[Change]:
    for path in [*a, *(path for path in b if path not in a)]:
        before, before_place = a.get(path, (None, ""))
        after, after_place = b.get(path, (None, ""))
        if path not in b:
            yield Change(path, "removed", before, None, before_place, part=part)
        elif path not in a:
            yield Change(path, "added", None, after, "", after_place, part)
        elif before != after or isinstance(before, bool) != isinstance(after, bool):  # True == 1 in Python
            yield Change(path, "changed", before, after, before_place, after_place, part)


def _layers(plan: Plan) -> dict[str, _Placed]:
    rows: dict[str, _Placed] = {}
    for place, (name, spec) in enumerate(plan.inputs.items()):
        rows[f"input {name}"] = (_shape(spec) + (f", argument {place + 1}" if len(plan.inputs) > 1 else ""), "")
    for path, step in plan.walk():
        rows[path] = (_describe(step), str(step.span))
    rows["network output"] = (_output(plan.root.output), "")  # with a space in it, as no layer's name
    return rows


def _describe(step: Step) -> str:
    """A layer as one line: op, arguments, what it reads, what comes out, its parameters and what is set about them.

    What is left out says nothing new: a block's steps have lines of their own, shapes follow from the arguments.
    """
    count = sum(math.prod(parameter.shape) for parameter in step.parameters if not parameter.is_buffer)
    reads = _reads(step)
    parts = [
        _what(step),
        f"from {reads}" if reads else "",
        f"call({_keywords(step.call)})" if step.call else "",
        f"gives {_output(step.body.output)}" if step.body is not None and not step.body.is_sequential else "",
        f"-> {_shape(step.output)}",
        f"{count:,} parameters" if count else "",
        ", ".join(filter(None, (_setting(parameter, is_free=step.op in _FREE) for parameter in step.parameters))),
    ]
    return " ".join(filter(None, parts))


def _what(step: Step) -> str:
    if step.body is not None:
        return step.op or "block"
    return f"share({step.share})" if step.share is not None else f"{step.op}({_keywords(_telling(step))})"


def _telling(step: Step) -> dict[str, Any]:
    """The arguments that are not as usual, in one form whatever was written: ``3`` for ``(3, 3)``."""
    op = ops.get(step.op)
    usual = {name: _short(name, value) for name, value in (op.complete({}) if op is not None else {}).items()}
    given = {name: _short(name, value) for name, value in step.arguments.items()}
    if "kernel_size" in given and usual.get("stride", 0) is None:  # a pool's
        usual["stride"] = given["kernel_size"]
        given = {name: value for name, value in given.items() if (name, value) != ("stride", None)}
    return {name: value for name, value in given.items() if name not in usual or usual[name] != value}


def _short(name: str, value: Any) -> Any:
    is_alike = isinstance(value, list | tuple) and len(set(map(repr, value))) == 1
    return value[0] if is_alike and name in _PER_DIMENSION else value


def _reads(step: Step) -> str:
    """The values that a step reads, by name where their order does not say what for."""
    names = step.body.inputs if step.body is not None and len(step.inputs) > 1 else ()
    inputs = [f"{name}={_ref(ref)}" for name, ref in zip(names, step.inputs, strict=False)] or map(_ref, step.inputs)
    like = {} if step.batch_like is None else {"batch_like": step.batch_like}
    return ", ".join([*inputs, *(f"{name}={_ref(ref)}" for name, ref in {**step.named_inputs, **like}.items())])


def _setting(parameter: ParameterSpec, *, is_free: bool) -> str:
    """How a parameter or buffer starts, and whether it stays so; nothing where both are usual: a free one is zeros."""
    init = parameter.init
    is_usual = init is None or (is_free and init.name == "zeros")
    said = [] if init is None or is_usual else [f"init {init.name}({_keywords(init.arguments)})"]
    if not (parameter.trainable or parameter.is_buffer):
        said.append("frozen")
    return " ".join(filter(None, [parameter.name, *said])) if said else ""


def _keywords(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in arguments.items())


def _output(output: Output) -> str:
    """What a block or the network gives, in its order and by its names."""
    if isinstance(output, Ref):
        return _ref(output)
    if isinstance(output, Mapping):
        return "{" + ", ".join(f"{name}: {_ref(ref)}" for name, ref in output.items()) + "}"
    return "(" + ", ".join(map(_ref, output)) + ")"


def _ref(ref: Ref) -> str:
    return ".".join([ref.name, *map(str, ref.picks)])


def _shape(value: Value) -> str:
    if isinstance(value, TensorSpec):
        return str(list(value.shape))
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shape(part)}" for key, part in value.items()) + "}"
    return "(" + ", ".join(map(_shape, value)) + ")"


def _values(node: Node, path: str) -> Iterator[tuple[str, _Placed]]:
    """The leaves of a document; an empty mapping or list is a leaf too."""
    if isinstance(node, Document) and len(node):
        for entry in node:
            yield from _values(entry.value, f"{path}.{entry.key}".lstrip("."))
    elif isinstance(node, Sequence) and any(not isinstance(item, Scalar) for item in node):
        for number, item in enumerate(node):
            yield from _values(item, f"{path}.{number}")
    else:
        is_default = node.span.file == "default"  # there is no such file to look into
        yield path, (plain(node), "default" if is_default else str(node.span))


def _flatten(data: Any, path: str) -> Iterator[tuple[str, _Placed]]:
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from _flatten(value, f"{path}.{key}".lstrip("."))
    else:
        yield path, (data, "")


def text(changes: list[Change]) -> str:
    """The changes as lines: ``-`` what went, ``+`` what came, ``~`` what changed, and how; figures in columns.

    Settings come first, then results, then layers, each under its heading where there are several of these. What would
    bury the rest is cut, and counted: the classes' figures, and layers beside results.
    """
    parts = {part: [change for change in changes if change.part == part] for part in _HEADS}
    parts = {part: found for part, found in parts.items() if found}
    blocks = {part: "\n".join(_lines(found)) for part, found in parts.items()}
    layers = parts.get("layer", [])
    if "result" in parts and len(layers) > _LAYERS_SHOWN:
        rest = f"  and {len(layers) - _LAYERS_SHOWN} more of the layers; --json has them all"
        blocks["layer"] = "\n".join([*_lines(layers[:_LAYERS_SHOWN]), rest])
    if len(blocks) == 1:
        return next(iter(blocks.values()))
    return "\n\n".join(f"{_HEADS[part]}\n{block}" for part, block in blocks.items())


def _lines(changes: list[Change]) -> list[str]:
    figures = [change for change in changes if _is_figure(change)]
    others = [change for change in changes if not _is_figure(change)]
    lines = [line for change in others if not _is_of_class(change) for line in _told(change)]
    lines += _table(figures)
    for kind in ("removed", "added"):  # where the runs have other classes
        own = [change for change in others if change.kind == kind and _is_of_class(change)]
        if len(own) <= _CLASSES_SHOWN:
            lines += [line for change in own for line in _told(change)]
            continue
        sign, path = "-" if kind == "removed" else "+", own[0].path.partition(_PER_CLASS)[0] + _PER_CLASS[:-1]
        lines.append(f"{sign} {path}: {len(own)} classes that the other has not; --json has them all")
    return lines


def _told(change: Change) -> list[str]:
    if change.kind == "removed":
        return [f"- {change.path}: {_text(change.before)}{_at(change.before_place)}"]
    if change.kind == "added":
        return [f"+ {change.path}: {_text(change.after)}{_at(change.after_place)}"]
    before, after = (change.before, change.before_place), (change.after, change.after_place)
    sides = [f"    {sign} {_text(value)}{_at(place)}" for sign, (value, place) in (("-", before), ("+", after))]
    return [f"~ {change.path}", *sides]


def _is_of_class(change: Change) -> bool:
    return change.part == "result" and _PER_CLASS in change.path


def _is_figure(change: Change) -> bool:
    """Whether it is a number, or an interval, that came out otherwise: not one that somebody wrote in a file."""
    return change.kind == "changed" and change.part == "result" and all(map(_is_number, (change.before, change.after)))


def _is_number(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return bool(numbers) and all(type(number) in (int, float) for number in numbers)


def _table(figures: list[Change]) -> list[str]:
    """Figures, one a line, with their difference; of those of the classes, the ones that differ most."""
    of_classes = [one for one in figures if _is_of_class(one)]
    of_classes.sort(key=lambda one: -abs(one.after - one.before))
    shown = [one for one in figures if not _is_of_class(one)] + of_classes[:_CLASSES_SHOWN]
    rows = [[f"~ {one.path}", _figure(one.before), "->", _figure(one.after), _step(one)] for one in shown]
    left_out = len(figures) - len(shown)
    rest = f"  and {left_out} more of the classes, by less; --json has them all"
    return [*in_columns(rows), *([rest] if left_out else [])]


def _figure(value: Any) -> str:
    if isinstance(value, list):  # of an interval three digits tell enough, and two of them fit into a line
        return f"[{', '.join(f'{number:.3g}' for number in value)}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _step(figure: Change) -> str:
    if isinstance(figure.before, list) or isinstance(figure.after, list):
        return ""
    step = figure.after - figure.before
    return f"{step:+.4g}" if isinstance(step, float) else ""


def _text(value: Any) -> str:
    """A value as YAML writes it; text, a layer in words too, as it is."""
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return value if isinstance(value, str) else scalar_text(value)


def _at(place: str) -> str:
    return f"   ({place})" if place else ""
