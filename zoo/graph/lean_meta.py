"""Runs torch on the meta device without its compiler. Floor 3.

Meta kernels that are written in Python ask torch's compiler for very little: ``torch._dynamo`` to hand a function back
unchanged, ``torch.fx.experimental.symbolic_shapes`` whether a plain size or truth value is one, and sympy whether a
number is one of its expressions. The first takes more than half as long to import as torch, the other two a quarter.
torchvision imports the first, too, for a question that it asks on a GPU.

For as long as nobody has asked for the compiler, stand-ins answer these few questions for plain values, as the real
functions do (a test holds each against its original). Whoever asks for anything else, or of a symbolic value, then or
later, gets the real module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]

COMPILER = "torch._dynamo"
COMPILER_PART = "torch._dynamo.utils"
SYMBOLS = "torch.fx.experimental.symbolic_shapes"
ALGEBRA = "sympy"


class _StandIn(ModuleType):
    """A module by its name with a few of its functions; anything else is the real one's."""

    def __init__(self, name: str, functions: dict[str, Function], *, is_package: bool = True) -> None:
        super().__init__(name)
        vars(self).update(functions)
        if is_package:
            self.__path__ = []  # so that its parts are asked of _Parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)

    def step_aside(self) -> None:
        """Makes room for the real module."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        package, _, name = self.__name__.rpartition(".")
        attributes = vars(sys.modules.get(package, self))
        if attributes.get(name) is self:
            del attributes[name]


class _Expression:
    """In place of ``sympy.Basic``, of which there is no instance before sympy is imported."""


class _Algebra(_StandIn):
    """sympy, until the real one is there."""

    def __getattr__(self, name: str) -> Any:
        if name == "Basic" and sys.modules.get(ALGEBRA, self) is self:
            return _Expression
        return super().__getattr__(name)


def _real(module: str) -> ModuleType:
    """The real module. It imports those that stand behind it among the stand-ins, so they make room, too."""
    names = list(_STAND_INS)
    for name in names[names.index(module) :]:
        _STAND_INS[name].step_aside()
    return import_module(module)


def _original(module: str, name: str) -> Function:
    """A function of the real module, which is imported when it is called."""
    return lambda *arguments, **keywords: getattr(_real(module), name)(*arguments, **keywords)


def _unchanged(fn: Function, *_: Any, **__: Any) -> Function:
    """``disable``: the function as it is, for nothing is compiled here."""
    return fn


def _itself(name: str, *plain: type) -> Function:
    """A question that symbols may leave open; a value of a plain type is its own answer."""
    ask = _original(SYMBOLS, name)
    return lambda value, *rest, **keywords: value if type(value) in plain else ask(value, *rest, **keywords)


def _settled(name: str, answer: bool) -> Function:
    """A question about a size, with one answer for all plain ones."""
    ask = _original(SYMBOLS, name)
    return lambda size: answer if type(size) is int else ask(size)


def _joined(name: str, join: Callable[[Iterable[bool]], bool]) -> Function:
    """Truth values joined by ``all`` or ``any``."""
    ask = _original(SYMBOLS, name)
    return lambda *values: join(values) if all(type(value) is bool for value in values) else ask(*values)


def _same_sizes(first: Any, second: Any) -> Any:
    """``sym_eq``: whether two sizes, or two shapes, are equal."""
    if type(first) is int and type(second) is int:
        return first == second
    if all(isinstance(shape, tuple | list) and all(type(size) is int for size in shape) for shape in (first, second)):
        return tuple(first) == tuple(second)
    return _original(SYMBOLS, "sym_eq")(first, second)


_TRUTHS = ("expect_true", "guard_or_false", "guard_or_true", "guard_size_oblivious", "statically_known_true")
_OF_SYMBOLS = {
    **{name: _itself(name, bool) for name in _TRUTHS},
    "guarding_hint_or_throw": _itself("guarding_hint_or_throw", bool, int),
    "size_hint": _itself("size_hint", int),  # what these two were called up to torch 2.11
    "has_guarding_hint": _settled("has_guarding_hint", True),
    "has_hint": _settled("has_hint", True),
    "is_nested_int": _settled("is_nested_int", False),
    "sym_and": _joined("sym_and", all),
    "sym_or": _joined("sym_or", any),
    "sym_eq": _same_sizes,
}
_STAND_INS = {
    stand_in.__name__: stand_in
    for stand_in in (
        _StandIn(COMPILER_PART, {"is_compile_supported": _original(COMPILER_PART, "is_compile_supported")}),
        _StandIn(COMPILER, {"disable": _unchanged}),
        _StandIn(SYMBOLS, _OF_SYMBOLS, is_package=False),
        _Algebra(ALGEBRA, {}),
    )
}


class _Parts(MetaPathFinder, Loader):
    """Imports the real module when a part of it is imported, and hands out that part."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        package = fullname.rpartition(".")[0]
        if not isinstance(sys.modules.get(package), _StandIn):
            return None
        _real(package)
        self._specs[fullname] = import_module(fullname).__spec__
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[module.__name__]  # it has run already; Python put ours there


@contextmanager
def lean_meta() -> Iterator[None]:
    """Keeps meta kernels and torchvision from importing the compiler; does nothing where it is imported already."""
    lent = {} if COMPILER in sys.modules else {n: s for n, s in _STAND_INS.items() if n not in sys.modules}
    if not lent:
        yield
        return
    parts = _Parts()
    sys.modules.update(lent)
    sys.meta_path.insert(0, parts)
    try:
        yield
    finally:
        sys.meta_path.remove(parts)
        for stand_in in lent.values():
            stand_in.step_aside()
