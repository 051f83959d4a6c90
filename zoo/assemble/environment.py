"""What a run's numbers depend on beside the recipe: env.json. Floor 7."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from zoo import __version__
from zoo.assemble.plugins import plugin_files
from zoo.diagnostics import Diagnostic
from zoo.disk import read_mapping
from zoo.layout import ENVIRONMENT

PACKAGES = (
    "torch",
    "torchvision",
    "lightning-fabric",
    "timm",
    "albumentations",
    "numpy",
    "pydantic",
    "safetensors",
    "grad-cam",
)


def environment(*, device: torch.device, seed: int, fingerprint: str) -> dict[str, Any]:
    """Versions, device, threads, seed, git commits, plugins and the data's fingerprint.

    ``git`` is zoo's own checkout, None where zoo is installed; ``git_of_working_folder`` is that of the user's own
    repository, None where the command did not run in one.
    """
    own, here = _checkout_of(Path(__file__)), _git(Path.cwd(), "rev-parse", "--show-toplevel")
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "device": {"type": device.type, "name": device_name(device)},
        "threads": {"torch": torch.get_num_threads(), "cpus": os.cpu_count()},
        "seed": seed,
        "git": git_state(Path(own)) if own is not None else None,
        "git_of_working_folder": git_state(Path(here)) if here is not None and here != own else None,
        "plugins": [str(path) for path in plugin_files()],
        "data_fingerprint": fingerprint,
        "command": sys.argv,
    }


def read_environment(folder: Path) -> dict[str, Any]:
    """What a run's env.json says; nothing where there is none, or it is damaged: no number of the run depends on it."""
    return read_mapping(folder / ENVIRONMENT)


def with_plugins_of(run: Path, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The messages; of a name that nobody knows, the way out is a plugin that the run had and this call has not."""
    had = read_environment(run).get("plugins")
    named = [path for path in had if isinstance(path, str)] if isinstance(had, list) else []
    lacking = [path for path in named if Path(path) not in plugin_files()]
    help = f"the run was made with {' '.join(f'--plugin {path}' for path in lacking)}"
    is_lost = {"unknown-op", "unknown-transform", "unknown-source"} if lacking else set()
    return tuple(replace(item, help=help) if item.code in is_lost else item for item in diagnostics)


def data_folder(run: Path) -> Path | None:
    """Where the run in a folder found its data, as its env.json says; None where it does not."""
    data = read_environment(run).get("data")
    folder = data.get("folder") if isinstance(data, dict) else None
    return Path(folder) if isinstance(folder, str) else None


def versions() -> dict[str, str | None]:
    """Python's version and those of the packages that have a say in the numbers."""
    return {"python": platform.python_version(), "zoo": __version__, **{name: _version(name) for name in PACKAGES}}


def device_name(device: torch.device) -> str:
    """The device's name as its maker says it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _cpu_name()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _checkout_of(file: Path) -> str | None:
    """The top of the checkout that a file belongs to; None for one that only lies in there, as installed ones may."""
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "rev-parse", "--show-toplevel")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in a folder, and whether tracked files differ from it, None where git does not
    say; None outside of git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, errors="replace", timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
