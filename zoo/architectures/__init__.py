"""The architectures that ship, a YAML file each, by name. Floor 0; no torch."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def architecture_names() -> list[str]:
    """The shipped architectures' names, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def architecture_path(name: str) -> Path | None:
    """The file of a shipped architecture, or None."""
    return FOLDER / f"{name}.yaml" if name in architecture_names() else None
