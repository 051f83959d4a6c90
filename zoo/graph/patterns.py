"""``init`` and ``freeze``: initialisers and frozen parameters by pattern, and by kind at the top. Floor 3.

Patterns name parameters below the layer (``conv.weight``, ``*.bias``); of several that match, the outermost layer's
wins, and within one mapping the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TypeAlias

from zoo.diagnostics import Diagnostics, Span
from zoo.document import Entry, Mapping, Node, Scalar, each_of, plain
from zoo.document.evaluation import is_expression, substitute
from zoo.graph.plan import Block, Init, ParameterSpec, Step
from zoo.graph.values import Scope
from zoo.layers import initialisers, ops
from zoo.registry import did_you_mean
from zoo.schema.check import close, validate
from zoo.schema.signature import given
from zoo.schema.wording import shown

Change: TypeAlias = Callable[[str, Step, ParameterSpec], ParameterSpec]


def initialiser(node: Node, scope: Scope, diagnostics: Diagnostics) -> Init | None:
    """An initialiser: a name, or a mapping with its name and arguments."""
    value = substitute(node, scope, diagnostics)
    if value is None:
        return None
    named = value if isinstance(value, Mapping) else Mapping((Entry("name", value.span, value),), value.span)
    name, arguments = named.get("name"), named.without(["name"])
    slip = next((key for key in arguments.keys if close(["name"], key)), None)
    if name is None and slip is not None:
        place = arguments.key_span(slip)
        diagnostics.error("unknown-key", f"init: unknown key {slip!r}", place, help="did you mean name?")
        return None
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
        diagnostics.add(initialisers.unknown(name.value, name.span))
        return None
    model = validate(found.arguments, arguments, diagnostics, what=name.value)
    return None if model is None else Init(name.value, given(model), node.span)


def bare_init(node: Node | None, scope: Scope, diagnostics: Diagnostics) -> Init | None:
    """The initialiser of a `Parameter` or `Buffer`, which has no pattern."""
    return None if node is None else initialiser(node, scope, diagnostics)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parameter pattern below a layer; ``copy`` is the copy's name where the layer is repeated."""

    text: str
    copy: str | None

    def hits(self, path: str, spec: ParameterSpec) -> bool:
        """Whether it means a parameter, given its path below the copy; buffers of modules are never meant."""
        if spec.is_buffer and spec.name:
            return False
        return fnmatchcase(path, self.text) or (self.copy is not None and fnmatchcase(f"{self.copy}.{path}", self.text))


def with_patterns(step: Step, keys: Mapping, scope: Scope, diagnostics: Diagnostics, copy: str | None = None) -> Step:
    """The step with its layer's `init` and `freeze` laid over what is inside.

    For a copy of a repeated layer, patterns may begin with the copy's name; that each hits one is checked later.
    """
    init, freeze = keys.get("init"), keys.get("freeze")
    if init is not None:
        step = _initialised(step, init, scope, diagnostics, copy)
    if freeze is not None:
        value = substitute(freeze, scope, diagnostics)
        if value is not None and _are_patterns(step, value, diagnostics):
            step = _frozen(step, value, diagnostics, copy)
    return step


def check_copies(step: Step, keys: Mapping, diagnostics: Diagnostics) -> None:
    """Tells of patterns of a repeated layer that hit a parameter in none of its copies; ``step`` holds them all."""
    init, freeze = keys.get("init"), keys.get("freeze")
    patterns = [(entry.key, entry.key_span) for entry in init] if isinstance(init, Mapping) else []
    patterns += [(str(item.value), item.span) for item in _listed(freeze)]
    below = (
        [(inner.name, path, spec) for inner in step.body.steps for path, _, spec in parameters(inner)]
        if step.body
        else []
    )
    for pattern, span in patterns:
        if not any(Pattern(pattern, name).hits(path, spec) for name, path, spec in below):
            _unknown(step, pattern, span, [f"{name}.{path}" for name, path, _ in below], diagnostics)


def _initialised(step: Step, node: Node, scope: Scope, diagnostics: Diagnostics, copy: str | None) -> Step:
    if not isinstance(node, Mapping):
        help = f"write {{weight: {getattr(node, 'value', '…')}}}"
        message = f"{step.name}: init goes by parameter pattern here"
        diagnostics.error("wrong-type", message, node.span, help=help)
        return step
    for entry in node:
        found = initialiser(entry.value, scope, diagnostics)
        pattern = Pattern(entry.key, copy)
        if found is not None and _is_known(step, pattern, entry.key_span, diagnostics):
            step = changed(step, _setter(pattern, found, diagnostics))
    return step


def _setter(pattern: Pattern, init: Init, diagnostics: Diagnostics) -> Change:
    def change(path: str, step: Step, spec: ParameterSpec) -> ParameterSpec:
        if not pattern.hits(path, spec) or not fits(init, spec.shape, path, diagnostics):
            return spec
        return replace(spec, init=init)

    return change


def fits(init: Init, shape: tuple[int, ...], path: str, diagnostics: Diagnostics, *, dtype: str = "float32") -> bool:
    """Whether the initialiser can fill such a tensor; says why where it cannot."""
    fault = initialisers[init.name].fault(shape, init.arguments, dtype)
    if fault is not None:
        diagnostics.error("bad-value", f"{path}: {fault}", init.span)
    return fault is None


def _frozen(step: Step, node: Node, diagnostics: Diagnostics, copy: str | None) -> Step:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        trains = not node.value
        if not trains and all(spec.is_buffer for _, _, spec in parameters(step)):
            message = "freeze: there is nothing to freeze, the layer has no parameters"
            diagnostics.warning("idle-freeze", message, node.span, help="leave it out")
        return changed(step, lambda path, step, spec: spec if spec.is_buffer else replace(spec, trainable=trains))
    for item in _listed(node):
        pattern = Pattern(str(item.value), copy)
        if _is_known(step, pattern, item.span, diagnostics):
            step = changed(step, _freezer(pattern))
    return step


def _are_patterns(step: Step, node: Node, diagnostics: Diagnostics) -> bool:
    """Whether a `freeze` says true, false or patterns; tells where an expression gave something else."""
    for item in each_of(node):
        value = item.value if isinstance(item, Scalar) else None
        if not isinstance(value, str) and not (isinstance(value, bool) and item is node):
            message = f"{step.name}: freeze: expected true, false or patterns, got {shown(plain(item))}"
            diagnostics.error("wrong-type", message, item.span, help="for example freeze: '*.bias'")
            return False
    return True


def _listed(node: Node | None) -> list[Scalar]:
    """The patterns of a `freeze`, one or several; what is still to be computed is none."""
    texts = [item for item in each_of(node) if isinstance(item, Scalar) and isinstance(item.value, str)]
    return [item for item in texts if not is_expression(item)]


def _freezer(pattern: Pattern) -> Change:
    def change(path: str, step: Step, spec: ParameterSpec) -> ParameterSpec:
        return replace(spec, trainable=False) if pattern.hits(path, spec) and not spec.is_buffer else spec

    return change


def _is_known(step: Step, pattern: Pattern, span: Span, diagnostics: Diagnostics) -> bool:
    found = [(path, spec) for path, _, spec in parameters(step)]
    if pattern.copy is not None or any(pattern.hits(path, spec) for path, spec in found):
        return True
    _unknown(step, pattern.text, span, [path for path, spec in found if not spec.is_buffer], diagnostics)
    return False


def _unknown(step: Step, pattern: str, span: Span, paths: list[str], diagnostics: Diagnostics) -> None:
    help = did_you_mean(pattern, paths) if paths else "it has no parameters"
    diagnostics.error("unknown-parameter", f"{step.name} has no parameter {pattern!r}", span, help=help)


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
    """The network with the top-level `init` given to every parameter of a kind that has none of its own.

    Of several kinds that a parameter is of, the last wins, as of patterns: so the last is the first that gives.
    """
    for entry in reversed(node.entries) if isinstance(node, Mapping) else ():
        found = initialiser(entry.value, scope, diagnostics)
        if found is None or not _known_kind(entry.key, entry.key_span, diagnostics):
            continue
        reached: list[str] = []
        before, block = block, changed_block(block, _by_kind(entry.key, found, reached, diagnostics))
        if not reached:
            _unreached(before, entry.key, entry.key_span, diagnostics)
    return block


def _unreached(block: Block, pattern: str, span: Span, diagnostics: Diagnostics) -> None:
    """A kind that is not here: a warning where there is no such layer, an error where it has no such parameter."""
    message = f"there is no {pattern} here"
    kinds = [kind for step in block.steps for _, holder, spec in parameters(step) for kind in _kinds(holder, spec)]
    if any(kind.partition(".")[0] == pattern.partition(".")[0] for kind in kinds):
        diagnostics.error("unknown-parameter", message, span, help=did_you_mean(pattern, kinds))
    else:
        diagnostics.warning("unused-init", message, span)


def _known_kind(pattern: str, span: Span, diagnostics: Diagnostics) -> bool:
    kind = pattern.partition(".")[0]
    if "." in pattern and (kind in ops or any(sign in kind for sign in "*?[")):
        return True
    if "." not in pattern:
        diagnostics.error("bad-value", f"{pattern} is no kind of parameter", span, help="for example Conv2d.weight")
    else:
        diagnostics.add(ops.unknown(kind, span))
    return False


def _by_kind(pattern: str, init: Init, reached: list[str], diagnostics: Diagnostics) -> Change:
    def change(path: str, step: Step, spec: ParameterSpec) -> ParameterSpec:
        is_module_buffer = spec.is_buffer and spec.name  # what a layer counts is not to be initialised
        if is_module_buffer or not any(fnmatchcase(kind, pattern) for kind in _kinds(step, spec)):
            return spec
        reached.append(path)
        if spec.init is not None or not fits(init, spec.shape, path, diagnostics):
            return spec
        return replace(spec, init=init)

    return change


def _kinds(step: Step, spec: ParameterSpec) -> Iterable[str]:
    """What a kind may call a parameter: by its layer's op, or by the class that holds it within a whole model."""
    return f"{step.op}.{spec.name}".rstrip("."), f"{spec.owner}.{spec.name.rpartition('.')[2]}"
