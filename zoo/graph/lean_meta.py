"""Runs torch on the meta device without its compiler. Floor 3.

Many meta kernels are Python functions marked "not for the compiler", and the mark imports ``torch._dynamo``, which
takes more than half as long as importing torch itself (1 to 3 seconds), only to hand the function back unchanged.
For as long as nobody has asked for the compiler, an empty stand-in hands it back at once. Who asks for any more of
the compiler meanwhile (torchvision does, when it is imported) gets the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """Has the one function that meta kernels call; anything else is the real compiler's."""

    def __init__(self) -> None:
        super().__init__(_COMPILER)
        self.__path__ = []  # a package, so that its parts are asked of _Parts

    @staticmethod
    def disable(fn: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function as it is: nothing is compiled here."""
        return fn

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.step_aside()
        return getattr(import_module(_COMPILER), name)

    def step_aside(self) -> None:
        """Makes room for the real compiler."""
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        attributes = vars(sys.modules["torch"])
        if attributes.get("_dynamo") is self:
            del attributes["_dynamo"]


class _Parts(MetaPathFinder, Loader):
    """Imports the real compiler when a part of it is imported, and hands out that part."""

    def __init__(self, stand_in: _StandIn) -> None:
        self._stand_in = stand_in
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{_COMPILER}.") or sys.modules.get(_COMPILER) is not self._stand_in:
            return None
        self._stand_in.step_aside()
        self._specs[fullname] = import_module(fullname).__spec__
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[module.__name__]  # it has run already; Python put ours there


@contextmanager
def lean_meta() -> Iterator[None]:
    """Keeps meta kernels from importing the compiler; does nothing where it is imported already."""
    if _COMPILER in sys.modules:
        yield
        return
    stand_in = _StandIn()
    parts = _Parts(stand_in)
    sys.modules[_COMPILER] = stand_in
    sys.meta_path.insert(0, parts)
    try:
        yield
    finally:
        sys.meta_path.remove(parts)
        stand_in.step_aside()
