"""zoo: networks, data, transforms, optimizers and reports declared in YAML, trained by PyTorch.

What stands here is the public surface; each name is imported at its first use, so ``import zoo`` costs nothing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing takes longer than all of this: Ctrl-C would find Python in the midst of it
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from zoo.api import check, explain, load_model, predict, run, summary
    from zoo.assemble.extending import op, source, transform
    from zoo.data import ArraySplit, Dataset
    from zoo.errors import ConfigError, DataError, ZooError
else:
    ModuleType = type(sys)

__version__ = "0.1.0"

_HOMES = {
    "check": "zoo.api",
    "explain": "zoo.api",
    "load_model": "zoo.api",
    "predict": "zoo.api",
    "run": "zoo.api",
    "summary": "zoo.api",
    "op": "zoo.assemble.extending",
    "source": "zoo.assemble.extending",
    "transform": "zoo.assemble.extending",
    "ArraySplit": "zoo.data",
    "Dataset": "zoo.data",
    "ConfigError": "zoo.errors",
    "DataError": "zoo.errors",
    "ZooError": "zoo.errors",
}

__all__ = [
    "ArraySplit",
    "ConfigError",
    "DataError",
    "Dataset",
    "ZooError",
    "check",
    "explain",
    "load_model",
    "op",
    "predict",
    "run",
    "source",
    "summary",
    "transform",
]


class _Package(ModuleType):
    """The package as a module whose functions keep their names.

    `summary` and `explain` are also the names of rooms; Python would bind those here when they are first imported.
    So `import zoo.explain.cams as c`, which goes by these names, fails; `from zoo.explain.cams import cams` does not.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    from importlib import import_module

    from zoo.errors import refuse_windows

    refuse_windows()
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
