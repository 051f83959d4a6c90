"""Whether a network fits this machine, asked before a byte of it is allocated. Floor 7.

Linux promises more memory than there is and kills the process that believes it, so a network that is too large by
far has to be refused, not tried.
"""

from __future__ import annotations

import math
import os

from zoo.errors import EnvironmentFault
from zoo.graph import Plan

_BYTES_PER_NUMBER = 4  # fp32


def weight_bytes(plan: Plan) -> int:
    """The bytes of all parameters and buffers in fp32."""
    specs = (spec for _, step in plan.walk() for spec in step.parameters)
    return _BYTES_PER_NUMBER * sum(math.prod(spec.shape) for spec in specs)


def require_memory(plan: Plan) -> None:
    """Raises EnvironmentFault (code ``out-of-memory``) where the weights alone exceed the machine's whole memory."""
    needed, there = weight_bytes(plan), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise EnvironmentFault(
            f"out of memory: the weights of {plan.name} take {needed:,} bytes, this machine has {there:,}",
            code="out-of-memory",
            help=f"a smaller network; `zoo summary` counts the parameters of {plan.name}, layer by layer",
        )
