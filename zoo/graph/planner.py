"""From a document to a plan: names, repeats, references, order and shapes settled before anything is built. Floor 3."""

from __future__ import annotations

from pathlib import Path

from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Scalar, plain
from zoo.document.evaluation import substitute
from zoo.graph.body import Body
from zoo.graph.context import Context, Job
from zoo.graph.params import Call, bind
from zoo.graph.patterns import initialised_by_kind
from zoo.graph.plan import Plan, Ref, TensorSpec
from zoo.graph.texts import TextReader
from zoo.graph.values import Feed, Scope
from zoo.schema.architecture import ArchitectureForm
from zoo.schema.check import validate


def plan_architecture(
    document: Mapping,
    diagnostics: Diagnostics,
    *,
    params: Mapping | None = None,
    input_shape: tuple[int, ...] | None = None,
    folder: Path | None = None,
) -> Plan | None:
    """The plan of an architecture file, or None after all its errors were told.

    ``params`` are a caller's, over the file's defaults. ``input_shape`` (CHW, no batch) takes the place of ``input``.
    ``folder`` is where ``use`` looks.
    """
    validate(ArchitectureForm, document, diagnostics, what="architecture")
    reader = TextReader(diagnostics)
    blocks = reader.blocks(document.get("blocks"), None)
    name = str(plain(document.get("name") or Scalar("network", document.span)))
    root = reader.block("", document.span, document, blocks)
    context = Context()
    inputs = {"input": TensorSpec((-1, *(input_shape or plain(document.get("input")))))}
    feeds = {key: Feed(key, Ref(key), value, document.span) for key, value in inputs.items()}
    given = {entry.key: (entry, substitute(entry.value, Scope({}, {}), diagnostics)) for entry in params or ()}
    bound = bind(context.declared(root), Call(name, document.span, given), feeds, diagnostics, diagnostics)
    planned = Body(context, Job(root, bound, inputs, "")).plan()
    diagnostics.extend(planned.diagnostics)
    if planned.block is None or diagnostics.errors:
        return None
    block = initialised_by_kind(planned.block, document.get("init"), Scope(bound, feeds), diagnostics)
    return Plan(
        name,
        str(plain(document.get("doc") or Scalar("", document.span))),
        inputs,
        block,
        planned.output,
        {key: param.value for key, param in bound.items()},
    )
