"""How the name of a shipped architecture or a path becomes a plan. Floor 4."""

from __future__ import annotations

from pathlib import Path

from zoo.architectures import architecture_names, architecture_path
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, load
from zoo.errors import UsageError
from zoo.graph import Plan, check_library, check_over, find_parent, is_library, plan_architecture
from zoo.layout import is_file
from zoo.registry import did_you_mean


def read_architecture(name_or_path: str | Path, diagnostics: Diagnostics) -> tuple[Mapping | None, Path]:
    """An architecture's document, what it ``extends`` laid under it, and the file it came from.

    An existing path comes before a shipped name. Raises UsageError where there is neither.
    """
    path = Path(name_or_path)
    if not is_file(path):
        shipped = architecture_path(str(name_or_path))
        if shipped is None:
            raise UsageError(
                f"there is no architecture {path.name!r}, neither shipped nor in {path.parent.resolve()}",
                code="no-such-architecture",
                help=did_you_mean(path.stem, architecture_names()),
            )
        return _load(shipped, diagnostics, name=f"zoo/architectures/{shipped.name}"), shipped
    return _load(path, diagnostics), path


def _load(path: Path, diagnostics: Diagnostics, name: str | None = None) -> Mapping | None:
    shipped = architecture_names()
    return load(path, diagnostics, find_parent=find_parent, name=name, shipped=shipped, check_over=check_over)


def load_plan(
    name_or_path: str | Path,
    diagnostics: Diagnostics,
    params: Mapping | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Plan | None:
    """The plan of an architecture given by path or shipped name; None where the diagnostics hold errors.

    ``params`` replace the architecture's defaults, ``input_shape`` (channels, height, width) its ``input``.
    Raises UsageError where there is no such architecture.
    """
    before = len(diagnostics.errors)
    document, path = read_architecture(name_or_path, diagnostics)
    if document is None:
        return None
    plan = plan_architecture(document, diagnostics, params=params, input_shape=input_shape, folder=path.parent)
    return plan if len(diagnostics.errors) == before else None


def checked_plan(path: Path, diagnostics: Diagnostics) -> Plan | None:
    """The plan of an architecture file; of a library of blocks, which has none, the blocks are checked."""
    found = Diagnostics()
    document, _ = read_architecture(path, found)
    if document is None or not is_library(document):
        return load_plan(path, diagnostics)
    diagnostics.extend(found)
    check_library(document, diagnostics, folder=path.parent)
    return None
