"""Whether a network fits this machine, asked before a byte of it is allocated. Floor 7.

Linux promises more memory than there is and kills the process that believes it, so a network that is too large by
far has to be refused, not tried.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from zoo.errors import EnvironmentFault
from zoo.graph import Plan

_BYTES_PER_NUMBER = 4  # fp32
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def weight_bytes(plan: Plan) -> int:
    """The bytes of all parameters and buffers in fp32."""
    specs = (spec for _, step in plan.walk() for spec in step.parameters)
    return _BYTES_PER_NUMBER * sum(math.prod(spec.shape) for spec in specs)


def memory_bytes() -> int:
    """The machine's whole memory, or what a container (cgroup v2 or v1) may have of it."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *(int(text) for text in map(_text, _LIMITS) if text.isdecimal())])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def require_memory(plan: Plan) -> None:
    """Raises EnvironmentFault (code ``out-of-memory``) where the weights alone exceed the machine's whole memory."""
    needed, there = weight_bytes(plan), memory_bytes()
    if needed > there:
        raise EnvironmentFault(
            f"out of memory: the weights of {plan.name} take {needed:,} bytes, this machine has {there:,}",
            code="out-of-memory",
            help=f"a smaller network; `zoo summary` counts the parameters of {plan.name}, layer by layer",
        )
