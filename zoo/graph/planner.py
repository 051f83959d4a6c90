"""From a document to a plan: names, repeats, references, order and shapes settled before anything is built. Floor 3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.diagnostics import Diagnostic, Diagnostics, Span
from zoo.document import Mapping, Node, Scalar, Sequence, plain, text_of
from zoo.document.evaluation import substitute
from zoo.graph.arguments import BATCH_GONE
from zoo.graph.blame import blamed_on_params
from zoo.graph.body import Body
from zoo.graph.checks import NameChecker, warn_of_hidden_ops
from zoo.graph.context import Context, Job, Planned
from zoo.graph.inplace import check_inplace
from zoo.graph.libraries import Libraries
from zoo.graph.params import Call, bind, unknown_params
from zoo.graph.patterns import initialised_by_kind
from zoo.graph.plan import Plan, Ref, TensorSpec, Value, specs_in
from zoo.graph.slips import refuse_input, warn_of_channels_last, with_layers_indented
from zoo.graph.texts import BlockText, TextReader
from zoo.graph.unused import warn_of_unread
from zoo.graph.values import Feed, Param, Scope, Unknown, shown_sizes
from zoo.graph.whitening import check_images_reach
from zoo.schema.architecture import ArchitectureForm, LibraryForm
from zoo.schema.check import close, validate


def plan_architecture(
    document: Mapping,
    diagnostics: Diagnostics,
    *,
    params: Mapping | None = None,
    input_shape: tuple[int, ...] | None = None,
    folder: Path | None = None,
) -> Plan | None:
    """The plan of an architecture file, or None after all its errors were told.

    ``params`` are a caller's, over the file's defaults. ``input_shape`` (CHW, no batch) takes the place of ``input``'s
    first. ``folder`` is where ``use`` looks for what is not beside the file.

    Raises RuntimeError where there is neither plan nor error: a file that cannot be planned must not pass a check.
    """
    found = Diagnostics()
    network = _Network(with_layers_indented(document, found), found, params, input_shape, folder)
    plan = network.plan()
    told = Diagnostics()
    _tell_once(found, told)
    diagnostics.extend(network.at_caller(told))
    if plan is None and not found.errors:
        raise RuntimeError(f"{document.span.file} cannot be planned, and nobody said why")
    return None if found.errors else plan


def is_library(document: Mapping) -> bool:
    """Whether a file has blocks for others to `use`, and no network of its own."""
    return "blocks" in document and not {"layers", "input"} & set(document.keys)


def check_library(document: Mapping, diagnostics: Diagnostics, *, folder: Path | None = None) -> None:
    """Checks a file of blocks without a network: its form, names, and what no block reads."""
    found = Diagnostics()
    validate(LibraryForm, document, found, what="library")
    blocks = Libraries(found).blocks(document, folder)
    NameChecker(found).blocks(blocks)
    warn_of_hidden_ops(blocks, found)
    if not found.errors:
        warn_of_unread(document, found)
    _tell_once(found, diagnostics)


def _tell_once(found: Diagnostics, diagnostics: Diagnostics) -> None:
    """Passes messages on in order; what copies and several callers repeat is said once."""
    seen = set()
    for item in found:
        same = item.code if item.code == "shape-mismatch" else item.message
        key = (item.severity, same, item.span)
        if key not in seen or item.span is None:
            diagnostics.add(item)
        seen.add(key)


@dataclass(frozen=True, slots=True)
class _Network:
    """One planning: the document, where messages go, and what the caller sets."""

    document: Mapping
    diagnostics: Diagnostics
    params: Mapping | None
    input_shape: tuple[int, ...] | None
    folder: Path | None

    def plan(self) -> Plan | None:
        given = self.document.get("input")
        known = self.document.without(["input"]) if refuse_input(given, self.diagnostics) else self.document
        form = validate(ArchitectureForm, known, self.diagnostics, what="architecture")
        if self.input_shape is None:
            warn_of_channels_last(given, self.diagnostics)
        root = self._root()
        checker = NameChecker(self.diagnostics)
        checker.network(root)
        warn_of_hidden_ops(root.blocks, self.diagnostics)
        inputs = self._inputs()
        if not checker.can_plan or inputs is None:
            return None
        feeds = {name: Feed(name, Ref(name), spec, self._span("input")) for name, spec in inputs.items()}
        context = Context()
        bound = self._bound(context, root, feeds)
        planned = Body(context, Job(root, bound, feeds, "")).plan()
        self.diagnostics.extend(planned.diagnostics)
        if planned.block is None or isinstance(planned.output, Unknown) or form is None:
            return None
        check_inplace(planned.block, inputs, context.shapes, self.diagnostics)
        self._check_batch(planned.output)
        if not self.diagnostics.errors:  # what a mistyped name does not read is no news
            warn_of_unread(self.document, self.diagnostics)
        return self._finished(planned, inputs, bound, feeds)

    def at_caller(self, told: Diagnostics) -> Iterable[Diagnostic]:
        """What was told of this network, what its given params are to blame for at the params."""
        declared = self.document.get("params")
        if self.params is None or not told.errors or not isinstance(declared, Mapping):
            return told

        def plan_again(params: Mapping) -> Diagnostics:
            found = Diagnostics()
            replace(self, diagnostics=found, params=params).plan()
            return found

        return blamed_on_params(told, self.params, declared, self._name(), plan_again)

    def _root(self) -> BlockText:
        blocks = Libraries(self.diagnostics).blocks(self.document, self.folder)
        document = self.document.without(["inputs"])  # a block's key: the form has told that `input` was meant
        if self._given_inputs() != ["input"]:
            given = self.document.get("input")
            assert isinstance(given, Mapping)  # one shape has no name of its own
            names = tuple(Scalar(entry.key, entry.key_span, entry.key) for entry in given)
            document = document.replacing("inputs", Sequence(names, given.span))
        return TextReader(self.diagnostics).block("", document.span, document.without(["blocks"]), blocks)

    def _span(self, key: str) -> Span:
        return self.document.key_span(key)

    def _given_inputs(self) -> list[str]:
        node = self.document.get("input")
        return list(node.keys) if isinstance(node, Mapping) and node.keys else ["input"]

    def _inputs(self) -> dict[str, TensorSpec] | None:
        """The shapes that come in; None after telling that there are none."""
        node = self.document.get("input")
        shapes = {
            name: self._shape(node.get(name) if isinstance(node, Mapping) else node) for name in self._given_inputs()
        }
        if self.input_shape is not None:
            shapes[next(iter(shapes))] = self.input_shape
        known = {name: TensorSpec((-1, *shape)) for name, shape in shapes.items() if shape is not None}
        empty = node is None or plain(node) is None
        if empty and not known and not self._is_mistyped("input"):
            self.diagnostics.error(
                "missing-key",
                "input is missing",
                self.document.span,
                help="add input: [3, 32, 32] (channels, height, width)",
            )
        return known if known and len(known) == len(shapes) else None

    def _is_mistyped(self, key: str) -> bool:
        """Whether an unknown key, which was told, nearly bears this name."""
        return any(close([key], other) for other in self.document.keys if other not in ArchitectureForm.model_fields)

    def _shape(self, node: Node | None) -> tuple[int, ...] | None:
        """A shape, or None where it is none; its form was checked."""
        value = None if node is None else plain(node)
        fits = isinstance(value, list) and all(type(size) is int and size > 0 for size in value)
        return tuple(value) if fits and value else None

    def _bound(self, context: Context, root: BlockText, feeds: dict[str, Feed]) -> dict[str, Param]:
        declared = context.declared(root)
        given = self.params if self.params is not None else Mapping((), self.document.span)
        name = self._name()
        unknown_params(declared, given, name, self.diagnostics)
        values = {entry.key: (entry, substitute(entry.value, Scope({}, {}), self.diagnostics)) for entry in given}
        return bind(declared, Call(name, given.span, values), feeds, self.diagnostics, self.diagnostics)

    def _name(self) -> str:
        name = text_of(self.document.get("name"))
        return name if name is not None else Path(self.document.span.file).stem or "network"

    def _check_batch(self, output: Value) -> None:
        """Every tensor that leaves the network has the batch in dimension 0."""
        for shape in (spec.shape for spec in specs_in(output) if spec.shape[:1] != (-1,)):
            node = self.document.get("output") or self.document.get("layers")
            span = (
                node.entries[-1].key_span if isinstance(node, Mapping) else node.span if node else self._span("layers")
            )
            is_row = len(shape) == 1 and shape[0] < 0
            self.diagnostics.error(
                "batch-mixed",
                f"dimension 0 of the output, {shown_sizes(shape)}, is not the batch",
                span,
                help=BATCH_GONE if is_row else "a layer above has moved the batch or folded something into it",
            )

    def _finished(
        self, planned: Planned, inputs: dict[str, TensorSpec], bound: dict[str, Param], feeds: dict[str, Feed]
    ) -> Plan:
        assert planned.block is not None
        assert not isinstance(planned.output, Unknown)
        block = initialised_by_kind(planned.block, self.document.get("init"), Scope(bound, feeds), self.diagnostics)
        doc, source = (plain(self.document.get(key) or Scalar(None, block.span)) for key in ("doc", "source"))
        values = {name: param.value for name, param in bound.items()}
        plan = Plan(self._name(), str(doc or ""), inputs, block, planned.output, values, source or {})
        check_images_reach(plan, self.diagnostics)
        return plan
