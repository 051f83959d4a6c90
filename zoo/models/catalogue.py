"""The architectures that travel with zoo, and how a name or a path becomes a plan. Floor 4."""

from __future__ import annotations

from pathlib import Path

from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, load
from zoo.errors import UsageError
from zoo.graph import Plan, plan_architecture
from zoo.registry import did_you_mean

_FOLDER = Path(__file__).resolve().parent.parent / "architectures"


def architecture_names() -> list[str]:
    """The shipped architectures' names, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def architecture_path(name: str) -> Path | None:
    """The file of a shipped architecture, or None."""
    return _FOLDER / f"{name}.yaml" if name in architecture_names() else None


def read_architecture(name_or_path: str | Path, diagnostics: Diagnostics) -> tuple[Mapping | None, Path]:
    """An architecture's document, what it ``extends`` laid under it, and the file it came from.

    An existing path comes before a shipped name. Raises UsageError where there is neither.
    """
    path = Path(name_or_path)
    if not path.is_file():
        shipped = architecture_path(str(name_or_path))
        if shipped is None:
            raise UsageError(
                f"there is no architecture {path.name!r}, neither shipped nor in {path.parent.resolve()}",
                code="no-such-architecture",
                help=did_you_mean(path.stem, architecture_names()),
            )
        return load(shipped, diagnostics, find_parent=_find_parent, name=f"zoo/architectures/{shipped.name}"), shipped
    return load(path, diagnostics, find_parent=_find_parent), path


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
    document, path = read_architecture(name_or_path, diagnostics)
    if document is None:
        return None
    return plan_architecture(document, diagnostics, params=params, input_shape=input_shape, folder=path.parent)


def _find_parent(written: str, folder: Path) -> Path | None:
    """What stands behind an architecture's ``extends``: a path relative to the file, or a shipped name."""
    path = folder / written
    return path if path.is_file() else architecture_path(written)
