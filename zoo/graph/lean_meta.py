"""Runs torch on the meta device without its compiler. Floor 3.

Many meta kernels are Python functions marked "not for the compiler", and the mark imports ``torch._dynamo``, which
takes more than half as long as importing torch itself (1 to 3 seconds), only to hand the function back unchanged.
For as long as nobody has asked for the compiler, an empty stand-in hands it back at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """Has the one function that meta kernels call."""

    @staticmethod
    def disable(fn: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function as it is: nothing is compiled here."""
        return fn


@contextmanager
def lean_meta() -> Iterator[None]:
    """Keeps meta kernels from importing the compiler; does nothing where it is imported already."""
    if _COMPILER in sys.modules:
        yield
        return
    stand_in = _StandIn(_COMPILER)
    sys.modules[_COMPILER] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]
        vars(sys.modules["torch"]).pop("_dynamo", None)
