"""`train.freeze_statistics`: what it picks, and what is told of it. Floor 7."""

from __future__ import annotations

from itertools import takewhile

from torch import nn

from zoo.assemble.networks import Network
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics, first_of
from zoo.document import Mapping
from zoo.optim import OptimizationSpec
from zoo.optim.frozen_statistics import freeze_statistics, layers_with_statistics
from zoo.optim.selection import parse_selector, told_unmatched

WHAT = "train.freeze_statistics"
_MOST_NAMED = 4  # layers that a message lists


def freeze_as_said(resolved: Resolved, module: nn.Module) -> None:
    """Marks the layers of a built network whose statistics the recipe has stand still."""
    freeze_statistics(module, resolved.recipe.train.frozen_statistics)


def _begins_with_weights(resolved: Resolved, network: Network) -> bool:
    """Whether it loads some, or a layer of the graph is another library's model with weights of its own."""
    brings = network.plan is not None and any(step.arguments.get("pretrained") for _, step in network.plan.walk())
    return brings or resolved.recipe.model.weights is not None


def _warn_of_moving(optimization: OptimizationSpec, model: nn.Module, diagnostics: Diagnostics) -> None:
    """Warns of statistics that move in front of all that trains: nothing that is learnt there wants others.

    In front is what comes first among the parameters. Where norms alone are frozen, what stands before them trains, and
    their statistics have to follow it.
    """
    frozen = optimization.frozen_for_good(model)
    still = takewhile(lambda each: each[0] in frozen or not each[1].requires_grad, model.named_parameters())
    owners = {name.rpartition(".")[0]: frozen[name] for name, _ in still if name in frozen}
    moving = [name for name in layers_with_statistics(model) if name in owners]
    if moving:
        group, names = owners[moving[0]], first_of(moving[:_MOST_NAMED], len(moving))
        diagnostics.warning(
            "moving-statistics",
            f"{group.selector} is frozen, but the running statistics of {names} still move",
            group.node.span,
            help="train: {freeze_statistics: true} keeps those that came with the weights; false lets them move",
        )


def check_statistics(
    resolved: Resolved, network: Network, optimization: OptimizationSpec | None, diagnostics: Diagnostics
) -> None:
    """Tells of a network without statistics, of patterns that fit none, and of statistics that are a new network's.

    And of statistics that move in a frozen part of a network with weights, where nothing says whether they shall.
    """
    if not resolved.recipe.train.frozen_statistics:
        is_said = "freeze_statistics" in resolved.section("train")
        if optimization is not None and not is_said and _begins_with_weights(resolved, network):
            _warn_of_moving(optimization, network.build("meta"), diagnostics)
        return
    section = resolved.section("train")
    span, node = section.key_span("freeze_statistics"), section.get("freeze_statistics")
    names = list(layers_with_statistics(network.build("meta")))
    if not names:
        message = f"{WHAT}: {network.name} has no layer with running statistics"
        diagnostics.error("no-statistics", message, span, help="leave it out: batch norms have some, others have none")
        return
    if isinstance(node, Mapping):
        selector = parse_selector(node, diagnostics, what=WHAT)
        told_unmatched(selector, names, diagnostics, what=WHAT, of="layer with running statistics")
    if not _begins_with_weights(resolved, network):
        diagnostics.warning(
            "fresh-statistics",
            f"{WHAT}: no weights are loaded: a new network's means are 0 and its variances 1, and so they stay",
            span,
            help="name model.weights, or leave it out",
        )
