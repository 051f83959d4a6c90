"""Summaries of TARGETs. Floor 7."""

from __future__ import annotations

from zoo.architectures import architecture_names
from zoo.assemble.networks import Network, Shape, architecture_network
from zoo.assemble.targets import network
from zoo.diagnostics import Diagnostics
from zoo.errors import raise_if_errors
from zoo.graph.lean_meta import lean_meta
from zoo.summary import Summary, summarize


def summarize_target(target: str, diagnostics: Diagnostics, *, input_shape: Shape | None = None) -> Summary | None:
    """A TARGET's layers and figures; nothing is allocated. None where the diagnostics hold errors."""
    found = network(target, diagnostics, input_shape=input_shape)
    return _summary(found) if found is not None else None


def summarize_zoo() -> list[Summary]:
    """Every shipped architecture in figures."""
    diagnostics = Diagnostics()
    networks = [architecture_network(name, diagnostics) for name in architecture_names()]
    raise_if_errors(diagnostics)
    return [_summary(found) for found in networks if found is not None]


def _summary(found: Network) -> Summary:
    with lean_meta(), found.fitting():
        return summarize(found.build("meta"), found.inputs, name=found.name)
