"""`train.freeze_statistics`: what it picks, and what is told of it. Floor 7."""

from __future__ import annotations

from torch import nn

from zoo.assemble.networks import Network
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping
from zoo.optim.frozen_statistics import freeze_statistics, layers_with_statistics
from zoo.optim.selection import fits, names_help, parse_selector

WHAT = "train.freeze_statistics"


def freeze_as_said(resolved: Resolved, module: nn.Module) -> None:
    """Marks the layers of a built network whose statistics the recipe has stand still."""
    freeze_statistics(module, resolved.recipe.train.frozen_statistics)


def _brings_weights(network: Network) -> bool:
    """Whether a layer of the graph is another library's model with weights of its own."""
    return network.plan is not None and any(step.arguments.get("pretrained") for _, step in network.plan.walk())


def check_statistics(resolved: Resolved, network: Network, diagnostics: Diagnostics) -> None:
    """Tells of a network without statistics, of patterns that fit none, and of statistics that are a new network's."""
    if not resolved.recipe.train.frozen_statistics:
        return
    section = resolved.section("train")
    span, node = section.key_span("freeze_statistics"), section.get("freeze_statistics")
    names = list(layers_with_statistics(network.build("meta")))
    if not names:
        message = f"{WHAT}: {network.name} has no layer with running statistics"
        diagnostics.error("no-statistics", message, span, help="leave it out: batch norms have some, others have none")
        return
    selector = parse_selector(node, diagnostics, what=WHAT) if isinstance(node, Mapping) else None
    for text, place in selector.patterns if selector is not None else ():
        if not any(fits(name, text) for name in names):
            message = f"{WHAT}: no layer with running statistics fits {text!r}"
            diagnostics.error("unmatched-pattern", message, place, help=names_help(text, names))
    if resolved.recipe.model.weights is None and not _brings_weights(network):
        diagnostics.warning(
            "fresh-statistics",
            f"{WHAT}: no weights are loaded: a new network's means are 0 and its variances 1, and so they stay",
            span,
            help="name model.weights, or leave it out",
        )
