"""``init`` and ``freeze``: initialisers and frozen parameters by pattern, and by kind at the top. Floor 3.

Patterns name parameters below the layer (``conv.weight``, ``*.bias``); of several that match, the outermost layer's
wins, and within one mapping the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TypeAlias

from zoo.diagnostics import Diagnostics, Span
from zoo.document import Mapping, Node, Scalar, Sequence
from zoo.document.evaluation import substitute
from zoo.graph.plan import Block, Init, ParameterSpec, Step
from zoo.graph.values import Scope
from zoo.layers import initialisers, ops
from zoo.registry import did_you_mean
from zoo.schema.check import validate
from zoo.schema.signature import given

Change: TypeAlias = Callable[[str, Step, ParameterSpec], ParameterSpec]


def initialiser(node: Node, scope: Scope, diagnostics: Diagnostics) -> Init | None:
    """An initialiser: a name, or a mapping with its name and arguments."""
    value = substitute(node, scope, diagnostics)
    if value is None:
        return None
    name = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, Scalar) or not isinstance(name.value, str):
        diagnostics.error(
            "wrong-type",
            "an initialiser is a name, or a mapping with `name`",
            node.span,
            help="for example {name: normal, std: 0.02}",
        )
        return None
    found = initialisers.get(name.value)
    if found is None:
        diagnostics.error(
            "unknown-initialiser",
            f"there is no initialiser {name.value}",
            name.span,
            help=did_you_mean(name.value, list(initialisers)),
        )
        return None
    arguments = value.without(["name"]) if isinstance(value, Mapping) else Mapping((), value.span)
    model = validate(found.arguments, arguments, diagnostics, what=name.value)
    return None if model is None else Init(name.value, given(model), node.span)


def bare_init(node: Node | None, scope: Scope, diagnostics: Diagnostics) -> Init | None:
    """The initialiser of a `Parameter` or `Buffer`, which has no pattern."""
    return None if node is None else initialiser(node, scope, diagnostics)


def with_patterns(step: Step, keys: Mapping, scope: Scope, diagnostics: Diagnostics) -> Step:
    """The step with its layer's `init` and `freeze` laid over what is inside."""
    init, freeze = keys.get("init"), keys.get("freeze")
    if init is not None:
        step = _initialised(step, init, scope, diagnostics)
    if freeze is not None:
        value = substitute(freeze, scope, diagnostics)
        step = step if value is None else _frozen(step, value, diagnostics)
    return step


def _initialised(step: Step, node: Node, scope: Scope, diagnostics: Diagnostics) -> Step:
    if not isinstance(node, Mapping):
        diagnostics.error(
            "wrong-type",
            f"{step.name}: init goes by parameter pattern here",
            node.span,
            help=f"write {{weight: {getattr(node, 'value', '…')}}}",
        )
        return step
    for entry in node:
        found = initialiser(entry.value, scope, diagnostics)
        if found is not None and _matches(step, entry.key, entry.key_span, diagnostics):
            change = _setter(entry.key, found, diagnostics)
            step = changed(step, change)
    return step


def _setter(pattern: str, init: Init, diagnostics: Diagnostics) -> Change:
    def change(path: str, step: Step, spec: ParameterSpec) -> ParameterSpec:
        if not fnmatchcase(path, pattern) or not fits(init, spec.shape, path, diagnostics):
            return spec
        return replace(spec, init=init)

    return change


def fits(init: Init, shape: tuple[int, ...], path: str, diagnostics: Diagnostics, *, dtype: str = "float32") -> bool:
    """Whether the initialiser can fill such a tensor; says why where it cannot."""
    fault = initialisers[init.name].fault(shape, init.arguments, dtype)
    if fault is not None:
        diagnostics.error("bad-value", f"{path}: {fault}", init.span)
    return fault is None


def _frozen(step: Step, node: Node, diagnostics: Diagnostics) -> Step:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        trains = not node.value
        return changed(step, lambda path, step, spec: spec if spec.is_buffer else replace(spec, trainable=trains))
    for item in node if isinstance(node, Sequence) else (node,):
        pattern = str(item.value) if isinstance(item, Scalar) else ""
        if _matches(step, pattern, item.span, diagnostics):
            step = changed(step, _freezer(pattern))
    return step


def _freezer(pattern: str) -> Change:
    def change(path: str, step: Step, spec: ParameterSpec) -> ParameterSpec:
        return replace(spec, trainable=False) if fnmatchcase(path, pattern) and not spec.is_buffer else spec

    return change


def _matches(step: Step, pattern: str, span: Span, diagnostics: Diagnostics) -> bool:
    paths = [path for path, _, spec in parameters(step) if not spec.is_buffer or spec.name == ""]
    if any(fnmatchcase(path, pattern) for path in paths):
        return True
    help = did_you_mean(pattern, paths) if paths else "it has no parameters"
    diagnostics.error("unknown-parameter", f"{step.name} has no parameter {pattern}", span, help=help)
    return False


def parameters(step: Step, prefix: str = "") -> Iterator[tuple[str, Step, ParameterSpec]]:
    """Every parameter below a step: its path there, the step that holds it, its spec."""
    for spec in step.parameters:
        yield f"{prefix}{spec.name}".rstrip("."), step, spec
    for inner in step.body.steps if step.body else ():
        yield from parameters(inner, f"{prefix}{inner.name}.")


def changed(step: Step, change: Change, prefix: str = "") -> Step:
    """The step with every parameter in it as ``change`` gives it for its path; itself where nothing changes."""
    specs = tuple(change(f"{prefix}{spec.name}".rstrip("."), step, spec) for spec in step.parameters)
    if step.body is not None:
        body = changed_block(step.body, change, prefix)
        return step if body is step.body else replace(step, body=body)
    return step if specs == step.parameters else replace(step, parameters=specs)


def changed_block(block: Block, change: Change, prefix: str = "") -> Block:
    """The block with every parameter in it as ``change`` gives it."""
    steps = tuple(changed(step, change, f"{prefix}{step.name}.") for step in block.steps)
    same = all(new is old for new, old in zip(steps, block.steps, strict=True))
    return block if same else replace(block, steps=steps)


def initialised_by_kind(block: Block, node: Node | None, scope: Scope, diagnostics: Diagnostics) -> Block:
    """The network with the top-level `init` given to every parameter of a kind that has none of its own."""
    for entry in node if isinstance(node, Mapping) else ():
        found = initialiser(entry.value, scope, diagnostics)
        if found is None or not _known_kind(entry.key, entry.key_span, diagnostics):
            continue
        reached: list[str] = []
        block = changed_block(block, _by_kind(entry.key, found, reached, diagnostics))
        if not reached:
            diagnostics.warning("unused-init", f"no parameter here is a {entry.key}", entry.key_span)
    return block


def _known_kind(pattern: str, span: Span, diagnostics: Diagnostics) -> bool:
    kind = pattern.partition(".")[0]
    if "." in pattern and (kind in ops or any(sign in kind for sign in "*?[")):
        return True
    if "." not in pattern:
        diagnostics.error("bad-value", f"{pattern} is no kind of parameter", span, help="for example Conv2d.weight")
    else:
        diagnostics.error("unknown-op", f"there is no op {kind}", span, help=did_you_mean(kind, list(ops)))
    return False


def _by_kind(pattern: str, init: Init, reached: list[str], diagnostics: Diagnostics) -> Change:
    def change(path: str, step: Step, spec: ParameterSpec) -> ParameterSpec:
        if not any(fnmatchcase(kind, pattern) for kind in _kinds(step, spec)):
            return spec
        reached.append(path)
        if spec.init is not None or not fits(init, spec.shape, path, diagnostics):
            return spec
        return replace(spec, init=init)

    return change


def _kinds(step: Step, spec: ParameterSpec) -> Iterable[str]:
    """What a kind may call a parameter: by its layer's op, or by the class that holds it within a whole model."""
    return f"{step.op}.{spec.name}".rstrip("."), f"{spec.owner}.{spec.name.rpartition('.')[2]}"
