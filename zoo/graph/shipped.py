"""The architectures that travel with zoo, by name. Floor 3."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "architectures"


def architecture_names() -> list[str]:
    """The shipped architectures' names, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def architecture_path(name: str) -> Path | None:
    """The file of a shipped architecture, or None."""
    return SHIPPED / f"{name}.yaml" if name in architecture_names() else None
