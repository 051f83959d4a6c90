"""What a file says of its blocks and layers, before any value is known. Floor 3.

Nodes are sorted into the parts that planning asks for; nothing is evaluated here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Entry, Mapping, Node, Scalar, Sequence, is_null
from zoo.document.evaluation import is_expression
from zoo.graph.names import check_layer_name, check_param_name
from zoo.graph.slips import layers_indented
from zoo.schema.architecture import ANONYMOUS_KEYS, LAYER_KEYS, LayerForm
from zoo.schema.check import close, validate
from zoo.schema.habits import name_help, named_inside


@dataclass(frozen=True, slots=True)
class LayerText:
    """One layer as written. Exactly one of ``op``, ``block`` (an anonymous one) and ``share`` is set."""

    name: str  # "" for an item of a list
    span: Span  # of its name, or of the whole item
    keys: Mapping  # the keys any layer may bear, `op` and `args` left out
    arguments: Mapping  # all others, `args` laid in
    op: str | None = None
    op_span: Span | None = None
    block: BlockText | None = None
    share: Scalar | None = None
    blocks: Blocks | None = None  # in sight where the layer stands
    under_args: tuple[str, ...] = ()  # the arguments that stand under `args`

    @property
    def block_text(self) -> BlockText | None:
        """The block it calls: its own, or the one that its op names."""
        return self.block or (self.blocks.find(self.op) if self.blocks and self.op else None)

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.name or self.op or "this layer"


@dataclass(frozen=True, slots=True)
class BlockText:
    """A block as written: named, anonymous, or the whole network."""

    name: str  # "" for an anonymous one
    span: Span
    layers: tuple[LayerText, ...]
    is_list: bool
    inputs: tuple[str, ...]
    output: Node | None
    params: Mapping | None  # None for an anonymous one, which sees the params around it
    blocks: Blocks


@dataclass(slots=True)
class Blocks:
    """The blocks in sight of a text: its file's (or block's) own, those of the libraries it uses, then those around.

    Libraries are held, not copied: two that use one another are looked into when both are read.
    """

    around: Blocks | None = None
    own: dict[str, BlockText] = field(default_factory=dict)
    used: list[Blocks] = field(default_factory=list)

    def find(self, name: str) -> BlockText | None:
        """The block of this name that is nearest."""
        here = (blocks.own[name] for blocks in (self, *self.used) if name in blocks.own)
        return next(here, None) or (self.around.find(name) if self.around else None)

    def names(self) -> list[str]:
        """All names in sight."""
        here = (name for blocks in (self, *self.used) for name in blocks.own)
        return list(dict.fromkeys([*here, *(self.around.names() if self.around else ())]))


class TextReader:
    """Reads nodes into texts, telling what is wrong with their form."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics

    def blocks(self, node: Node | None, around: Blocks | None) -> Blocks:
        """The definitions under `blocks:`."""
        scope = Blocks(around)
        for entry in node if isinstance(node, Mapping) else ():
            if isinstance(entry.value, Mapping) and self._block_name(entry):
                scope.own[entry.key] = self.block(entry.key, entry.key_span, entry.value, scope)
        return scope

    def _block_name(self, entry: Entry) -> bool:
        if entry.key.isidentifier() and not entry.key.startswith("__"):
            return True
        self._diagnostics.error(
            "bad-name",
            f"{entry.key!r} cannot name a block: its class bears that name",
            entry.key_span,
            help="letters, digits and _ only, a letter first",
        )
        return False

    def block(self, name: str, span: Span, node: Mapping, around: Blocks) -> BlockText:
        """A named block, or the whole network."""
        params = node.get("params")
        inner = self.blocks(node.get("blocks"), around) if "blocks" in node and name else around
        params = params if isinstance(params, Mapping) else Mapping((), span)
        return self._text(name, span, node, params, _some(node.get("output")), inner)

    def _text(
        self, name: str, span: Span, node: Mapping, params: Mapping | None, output: Node | None, blocks: Blocks
    ) -> BlockText:
        layers, inputs = node.get("layers"), self._inputs(node.get("inputs"))
        read = self._layers(layers, blocks, inputs)
        return BlockText(name, span, read, isinstance(layers, Sequence), inputs, output, params, blocks)

    def _inputs(self, node: Node | None) -> tuple[str, ...]:
        names: list[str] = []
        for item in node if isinstance(node, Sequence) else ():
            if not isinstance(item, Scalar):
                continue
            name = str(item.value)
            if name in names:
                self._diagnostics.error("duplicate-name", f"the input {name!r} stands twice", item.span)
            elif check_param_name(name, item.span, self._diagnostics, "an input"):
                names.append(name)
        return tuple(names) or ("input",)

    def _layers(self, node: Node | None, blocks: Blocks, inputs: tuple[str, ...]) -> tuple[LayerText, ...]:
        if isinstance(node, Sequence):
            found = [self._layer("", item.span, item, blocks) for item in node]
        elif isinstance(node, Mapping):
            found = [
                self._layer(entry.key, entry.key_span, entry.value, blocks)
                for entry in layers_indented(node, self._diagnostics)
                if check_layer_name(entry.key, entry.key_span, self._diagnostics, inputs)
            ]
        else:
            found = []
        return tuple(found)

    def _layer(self, name: str, span: Span, node: Node, blocks: Blocks) -> LayerText:
        """The layer; one that cannot be understood has neither op, block nor share."""
        nothing = Mapping((), node.span)
        if isinstance(node, Scalar):
            if isinstance(node.value, str) and self._is_op_name(node):
                return LayerText(name, span, nothing, nothing, node.value, node.span, blocks=blocks)
            if not isinstance(node.value, str):
                self._diagnostics.error(
                    "wrong-type",
                    f"{name or 'layer'}: an op's name or a mapping is expected",
                    node.span,
                    help="for example {op: Conv2d, out_channels: 64, kernel_size: 3}",
                )
            return LayerText(name, span, nothing, nothing)
        if isinstance(node, Sequence):
            if self._has_number(name, node):
                return LayerText(name, span, nothing, nothing)
            node = Mapping((Entry("layers", span, node),), node.span)
        return self._mapping(name, span, node, blocks)

    def _has_number(self, name: str, node: Sequence) -> bool:
        """Whether a number stands in a list of layers, which is told once: ``[-1, 1, Conv, [64, 3, 2]]``."""
        number = next((item for item in node if isinstance(item, Scalar) and type(item.value) in (int, float)), None)
        if number is not None:
            message = f"{name or 'layer'}: a list is a block of layers, and {number.text} is none"
            help = "arguments have names: {op: Conv2d, out_channels: 64, kernel_size: 3}"
            self._diagnostics.error("wrong-type", message, number.span, help=help)
        return number is not None

    def _op_in_a_mapping(self, what: str, node: Mapping) -> bool:
        """Whether a mapping stands in the place of an op's name, which is told: ``op: {type: ReLU}``."""
        value = node.get("op")
        if not isinstance(value, Mapping):
            return False
        help = f"write {{op: {named_inside(value)}, …}}: its arguments stand beside op"
        self._diagnostics.error("wrong-type", f"{what}: op: expected text, got a mapping", value.span, help=help)
        return True

    def _mapping(self, name: str, span: Span, node: Mapping, blocks: Blocks) -> LayerText:
        # A key with nothing behind it says nothing.
        node = Mapping(tuple(e for e in node if e.key not in LAYER_KEYS or not is_null(e.value)), node.span)
        own = [key for key in LAYER_KEYS if "layers" in node or key not in ANONYMOUS_KEYS]
        keys = node.only(own)
        arguments = self._with_args(node.without(own), node.get("args"))
        kinds = [key for key in ("op", "layers", "share") if key in node]
        what = name or str(getattr(node.get("op"), "value", None) or "layer")
        if self._op_in_a_mapping(what, node):
            return LayerText(name, span, Mapping((), span), Mapping((), span))
        if validate(LayerForm, keys, self._diagnostics, what=what) is None:
            return LayerText(name, span, Mapping((), span), arguments)
        if len(kinds) != 1:
            self._which_kind(name, what, kinds, node, span)
            return LayerText(name, span, keys, arguments if kinds else Mapping((), span))  # of what, nobody knows
        args = keys.get("args")
        under_args = args.keys if isinstance(args, Mapping) else ()
        keys = keys.without(["op", "args", "share", "layers", "inputs", "output"])
        value = node.get(kinds[0])
        if kinds[0] == "layers":
            block = self._text("", span, node, None, node.get("output"), blocks)
            return LayerText(name, span, keys, arguments, block=block)
        assert isinstance(value, Scalar)
        if kinds[0] == "share":
            return LayerText(name, span, keys, arguments, share=value)
        op = str(value.value) if self._is_op_name(value) else None
        return LayerText(name, span, keys, arguments, op, value.span, blocks=blocks, under_args=under_args)

    def _which_kind(self, name: str, what: str, kinds: list[str], node: Mapping, span: Span) -> None:
        if kinds:
            self._diagnostics.error(
                "bad-layer",
                f"{what}: {' and '.join(kinds)} exclude one another",
                node.key_span(kinds[1]),
                notes=[Note("the other", node.key_span(kinds[0]))],
            )
            return
        inner = next((entry.key for entry in node if entry.key not in LAYER_KEYS and _is_layer(entry.value)), None)
        if inner is not None and (name or len(node) > 1):
            help = f"write `layers:` around them: {{layers: {{{inner}: …}}}}"
            self._diagnostics.error("missing-key", f"{what}: layers is missing", span, help=help)
            return
        slips = [(key, close(("op", "layers", "share"), key)) for key in node.keys if key not in LAYER_KEYS]
        slip, meant = next(((key, meant) for key, meant in slips if meant), (None, None))
        if inner is None and slip is not None:
            message, help = f"{what}: unknown key {slip!r}", f"did you mean {meant}?"
            self._diagnostics.error("unknown-key", message, node.key_span(slip), help=help)
        else:
            first = node.entries[0].value if len(node) == 1 else None
            stuck = next((key for key in node.keys if key.startswith("op:")), None)
            help = "say what the layer does: {op: Conv2d, …}"
            if (elsewhere := name_help(node, "op")) is not None:
                help = elsewhere
            elif inner is not None:
                help = f"take the dash away: layers that have names, as {inner}, are a mapping"
            elif isinstance(first, Mapping) and node.keys[0] not in LAYER_KEYS:
                help = f"write {{op: {node.keys[0]}, …}}: its arguments stand beside op"
            if stuck is not None:
                span, help = node.key_span(stuck), f"a colon wants a space behind it: op: {stuck[3:].strip()}"
            self._diagnostics.error("missing-key", f"{what}: op is missing", span, help=help)

    def _is_op_name(self, node: Scalar) -> bool:
        if not is_expression(node):
            return True
        self._diagnostics.error(
            "bad-op", "`op` is never an expression", node.span, help="write two layers, each with its `when`"
        )
        return False

    def _with_args(self, arguments: Mapping, args: Node | None) -> Mapping:
        if not isinstance(args, Mapping):
            return arguments
        for entry in args:
            if entry.key in arguments:
                self._diagnostics.error(
                    "duplicate-key",
                    f"the argument {entry.key!r} stands twice",
                    entry.key_span,
                    notes=[Note("also here", arguments.key_span(entry.key))],
                )
        return Mapping((*arguments.without(args.keys).entries, *args.entries), arguments.span)


def _is_layer(node: Node) -> bool:
    """Whether a mapping says what it does, as a layer has to."""
    return isinstance(node, Mapping) and not {"op", "layers", "share"}.isdisjoint(node.keys)


def _some(node: Node | None) -> Node | None:
    """What names something; of a list or mapping that names nothing, or no layers, the form has told."""
    if node is None or isinstance(node, Scalar):
        return None if is_null(node) else node
    items = [entry.value for entry in node] if isinstance(node, Mapping) else list(node)
    return node if items and all(isinstance(item, Scalar) for item in items) else None
