"""Checks names before anything is planned: ops, arguments, params, references. Floor 3.

Every block of the file is checked, called or not, and every layer, skipped or not: what a network happens not to
use today must not be wrong tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import chain

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Mapping, Node, Scalar, scalars
from zoo.document.evaluation import is_expression, report
from zoo.document.expressions import SHAPE_WORDS, ExpressionError, Path, parse, paths
from zoo.graph.context import DEEPEST, MOST_ERRORS
from zoo.graph.order import check_order
from zoo.graph.params import declarations
from zoo.graph.slips import argument_names, key_help, module_meant, refuse_call, unknown_op
from zoo.graph.texts import Blocks, BlockText, LayerText
from zoo.graph.values import not_a_size, unknown_layer, unknown_name
from zoo.layers import ops
from zoo.schema.architecture import ANONYMOUS_KEYS, LAYER_KEYS
from zoo.schema.habits import rest_of_tuples


class NameChecker:
    """Checks a network and all blocks in sight of it, each once."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._heights: dict[int, int] = {}  # of the blocks that were checked: levels of blocks in them, their own too
        self._open: list[tuple[BlockText, Span]] = []
        self._is_too_deep = False
        self.can_plan = True  # false where a block contains itself, or blocks are nested without end in sight

    def network(self, root: BlockText) -> None:
        """Checks the network, its file's blocks, and all that those call."""
        self.block(root, frozenset())
        self.blocks(root.blocks)

    def blocks(self, blocks: Blocks) -> None:
        """Checks a file's own blocks, called or not."""
        for text in blocks.own.values():
            self.block(text, frozenset())

    def block(self, text: BlockText, around: frozenset[str], called: Span | None = None) -> None:
        """Checks a block; ``around`` are the params that an anonymous one sees."""
        self._open.append((text, called or text.span))
        if id(text) not in self._heights:
            self._heights[id(text)] = 1
            params = around if text.params is None else self._params(text)
            tensors = [*text.inputs, *(layer.name for layer in text.layers if layer.name)]
            for layer in text.layers:
                if len(self._diagnostics) < MOST_ERRORS:
                    self._layer(layer, params, tensors)
            called_blocks = filter(None, (layer.block_text for layer in text.layers))
            self._heights[id(text)] += max((self._heights.get(id(each), 0) for each in called_blocks), default=0)
            is_anonymous = text.params is None and len(self._open) > 1
            check_order(text, self._diagnostics, self._open[-2][0] if is_anonymous else None)
            has_blocks = bool(text.name) and text.blocks.own.get(text.name) is not text
            for nested in text.blocks.own.values() if has_blocks else ():
                self.block(nested, frozenset())
        self._open.pop()

    def _params(self, text: BlockText) -> frozenset[str]:
        declared = declarations(text.params, self._diagnostics)
        known: list[str] = []
        for name, declaration in declared.items():
            default = declaration.default
            if default is not None:
                later = frozenset(declared) - {*known, name}
                self._expressions([default], frozenset(known), text.inputs, later=later)
            known.append(name)
        return frozenset(declared)

    def _layer(self, layer: LayerText, params: frozenset[str], tensors: list[str]) -> None:
        visible = params | {"i"} if "repeat" in layer.keys else params
        nodes = [entry.value for entry in chain(layer.keys, layer.arguments)]
        self._expressions(nodes, visible, None, tensors)
        self._keys(layer)
        called = layer.block_text
        if called is None and layer.op is not None:
            self._op(layer, layer.op)
        elif called is not None:
            self._called(layer, called, visible)
        elif layer.share is not None:
            self._arguments(layer, "share", [])

    def _op(self, layer: LayerText, name: str) -> None:
        op = ops.get(name)
        if op is None:
            known = [*ops, *(layer.blocks.names() if layer.blocks else ())]
            self._diagnostics.add(unknown_op(name, known, layer.op_span))
            return
        module = module_meant(op, layer.arguments.keys)
        if module is not None:
            message = f"{name} is the function" + (", whose weights are inputs" if op.min_inputs > 1 else "")
            takes = ", ".join(key for key in layer.arguments.keys if key not in argument_names(op))
            help = f"did you mean {module.name}, which takes {takes}?"
            self._diagnostics.error("unknown-key", message, layer.op_span, help=help)
            return
        self._arguments(layer, name, argument_names(op))
        if op.is_tensor:
            for key in ("repeat", "call", "share"):
                if key in layer.keys:
                    self._diagnostics.error("bad-layer", f"{name} takes no `{key}`", layer.keys.key_span(key))

    def _called(self, layer: LayerText, text: BlockText, visible: frozenset[str]) -> None:
        span = layer.op_span or layer.span
        if any(text is outer for outer, _ in self._open):
            self._loop(text, span)
            return
        if len(self._open) + self._heights.get(id(text), 1) > DEEPEST + 1:
            if not self._is_too_deep:  # each block above is too deep then: the first place is enough
                self._diagnostics.error("too-deep", f"blocks nested more than {DEEPEST} levels deep", span)
            self.can_plan, self._is_too_deep = False, True
            return
        names = [] if text.params is None else list(text.params.keys)
        self._arguments(layer, text.name or "an anonymous block", names)
        refuse_call(layer.keys, self._diagnostics)
        self.block(text, visible if text.params is None else frozenset(), span)

    def _loop(self, text: BlockText, span: Span) -> None:
        self.can_plan = False
        start = next(index for index, (outer, _) in enumerate(self._open) if outer is text)
        members = self._open[start:]
        names = " -> ".join([outer.name or "…" for outer, _ in members] + [text.name])
        notes = [Note(f"{inner.name or 'a block'} is called here", called) for inner, called in members[1:]]
        self._diagnostics.error(
            "block-loop", f"a block contains itself: {names}", span, notes=notes, help="repeat a block with `repeat`"
        )

    def _arguments(self, layer: LayerText, what: str, known: list[str]) -> None:
        first = layer.keys.get("first")
        # what it does, the layer says already
        of_layer = [key for key in LAYER_KEYS if key not in {*ANONYMOUS_KEYS, "op", "layers", "share"}]
        given = [(entry, [] if entry.key in layer.under_args else of_layer) for entry in layer.arguments]
        given += [(entry, []) for entry in first] if isinstance(first, Mapping) else []
        rest = rest_of_tuples(layer.arguments)
        for entry, own in given:
            if entry.key not in known:
                message = f"{what}: unknown key {entry.key!r}"
                begun = layer.arguments.get(rest.get(entry.key, ""))
                is_block = layer.block_text is not None
                help = key_help(what, entry.key, known, own, is_block=is_block, tuple_begun=begun)
                self._diagnostics.error("unknown-key", message, entry.key_span, help=help)

    def _keys(self, layer: LayerText) -> None:
        """Keys that make no sense together."""
        keys = layer.keys
        for key in ("first", "as"):
            if key in keys and "repeat" not in keys:
                self._bad_key(layer, key, f"`{key}` is for repeated layers", "add repeat: 2")
        if "as" in keys and not layer.name:
            self._bad_key(layer, "as", "the layers of a list are named by their numbers", "write a mapping of layers")
        if "else" in keys and not {"when", "repeat"} & set(keys.keys):
            self._bad_key(layer, "else", "`else` is for layers with `when`", "add when: …")
        sources = keys.get("from")
        if "when" in keys and "else" not in keys and not isinstance(sources, Scalar) and sources and len(sources) > 1:
            self._bad_key(
                layer,
                "when",
                f"{layer.shown} has several inputs: which one it passes on is not clear",
                "add else: NAME",
            )
        for key in {"init", "freeze"} & set(keys.keys) if layer.share is not None else ():
            self._bad_key(layer, key, f"`{key}` belongs to the layer whose module is shared", None)

    def _bad_key(self, layer: LayerText, key: str, message: str, help: str | None) -> None:
        self._diagnostics.error("bad-layer", message, layer.keys.key_span(key), help=help)

    def _expressions(
        self,
        nodes: Iterable[Node],
        params: frozenset[str],
        inputs: tuple[str, ...] | None,
        tensors: Iterable[str] = (),
        later: AbstractSet[str] = frozenset(),
    ) -> None:
        """Expressions read, and their params known; ``inputs`` are all the tensors in reach, None: see the order.

        ``tensors`` are the names of all in the block, for the message about one that is taken for a number; ``later``
        the params that are declared further down.
        """
        known = dict.fromkeys(params)
        for scalar in filter(is_expression, chain.from_iterable(map(scalars, nodes))):
            try:
                for path in paths(parse(str(scalar.value))):
                    _check_order(path, later)
                    _check_path(path, known, inputs, tensors or inputs or ("input",))
            except ExpressionError as error:
                report(error, scalar, self._diagnostics)


def _check_order(path: Path, later: AbstractSet[str]) -> None:
    if not path.parts and path.name in later:
        raise ExpressionError(
            f"{path.name} is declared further down",
            path.start,
            path.end,
            help=f"a default reads the params above it: put {path.name} first",
            code="undefined-name",
        )


def _check_path(path: Path, params: dict[str, None], inputs: tuple[str, ...] | None, tensors: Iterable[str]) -> None:
    error = _path_error(path, params, inputs, tensors)
    if error is not None:
        error.start, error.end = path.start, path.end
        raise error


def _path_error(
    path: Path, params: dict[str, None], inputs: tuple[str, ...] | None, tensors: Iterable[str]
) -> ExpressionError | None:
    if not path.parts:
        return None if path.name in params else unknown_name(path.name, params, dict.fromkeys(tensors))
    if path.parts[-1] not in SHAPE_WORDS:
        return not_a_size(".".join([path.name, *map(str, path.parts)]), path.parts[-1])
    if inputs is not None and path.name not in inputs:
        return unknown_layer(path.name, dict.fromkeys(inputs))
    return None


def warn_of_hidden_ops(blocks: Blocks, diagnostics: Diagnostics) -> None:
    """A block that bears the name of an op hides it."""
    for name, text in blocks.own.items():
        if name in ops:
            diagnostics.warning(
                "hides-op",
                f"the block {name} hides the op of that name",
                text.span,
                help="give the block a name of its own",
            )
