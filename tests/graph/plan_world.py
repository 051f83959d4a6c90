"""What the tests of planning share: texts to plans, plans to messages."""

from __future__ import annotations

import math
from pathlib import Path

from zoo.diagnostics import Diagnostics, count_line, render
from zoo.document import Mapping, from_data, read_text
from zoo.graph import Plan, plan_architecture

HEAD = "name: net\ninput: [3, 32, 32]\n"
ARCHITECTURES = Path(__file__).parents[2] / "zoo" / "architectures"


def planned(text: str, *, params: dict[str, object] | None = None, **more: object) -> tuple[Plan | None, Diagnostics]:
    """The plan of a text, and what was said of it."""
    diagnostics = Diagnostics()
    document = read_text(text, diagnostics, name="my_net.yaml")
    if document is None:
        return None, diagnostics
    given = from_data(params, document.span) if params is not None else None
    assert given is None or isinstance(given, Mapping)
    return plan_architecture(document, diagnostics, params=given, **more), diagnostics  # type: ignore[arg-type]


def plan_of_text(text: str, **more: object) -> Plan:
    """The plan of a text in which nothing is wrong."""
    plan, diagnostics = planned(text, **more)  # type: ignore[arg-type]
    assert plan is not None, "\n".join(map(render, diagnostics))
    return plan


def messages(text: str) -> str:
    """All that is said of a text, as a command would print it."""
    plan, diagnostics = planned(text)
    assert (plan is None) == bool(diagnostics.errors)
    return "\n".join([*map(render, diagnostics), count_line(diagnostics)]) + "\n"


def codes(text: str) -> list[str]:
    """The codes of all messages."""
    return [item.code for item in planned(text)[1]]


def parameter_count(plan: Plan) -> int:
    """How many numbers the plan's parameters hold."""
    specs = [spec for _, step in plan.walk() for spec in step.parameters]
    return sum(math.prod(spec.shape) for spec in specs if not spec.is_buffer)


def trainable_count(plan: Plan) -> int:
    """How many of them train."""
    specs = [spec for _, step in plan.walk() for spec in step.parameters]
    return sum(math.prod(spec.shape) for spec in specs if spec.trainable)
