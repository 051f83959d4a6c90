"""What differs between two architectures, two recipes or two runs. Floor 7."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.assemble.check import check_recipe
from zoo.assemble.complete import complete
from zoo.assemble.layout import RESOLVED, RESULT
from zoo.assemble.resolve import resolve
from zoo.assemble.shipped import shipped_recipe
from zoo.assemble.targets import FOREIGN, planned
from zoo.diagnostics import Diagnostics
from zoo.diff import Change, diff_data, diff_documents, diff_plans
from zoo.document import Mapping, read_file
from zoo.errors import UsageError
from zoo.models import architecture_names
from zoo.schema.recipe import is_recipe


def differences(a: str, b: str, diagnostics: Diagnostics) -> list[Change]:
    """What differs between two architectures, two recipes or two runs. Raises UsageError for two kinds."""
    kinds = (_kind(a), _kind(b))
    if kinds[0] != kinds[1]:
        raise UsageError(f"{a} is {_ARTICLE[kinds[0]]} and {b} is {_ARTICLE[kinds[1]]}: only like can be compared")
    if kinds[0] == "architecture":
        first, second = (planned(target, diagnostics) for target in (a, b))
        return diff_plans(first, second) if first is not None and second is not None else []
    if kinds[0] == "run":
        documents = [_recipe(str(Path(target) / RESOLVED), diagnostics) for target in (a, b)]
        results = [_result(Path(target)) for target in (a, b)]
        return [*_compared(documents), *diff_data(*results)]
    return _compared([_recipe(target, diagnostics) for target in (a, b)])


_ARTICLE = {"architecture": "an architecture", "recipe": "a recipe", "run": "a run"}


def _kind(target: str) -> str:
    path = Path(target)
    if path.is_dir():
        return "run"
    if path.is_file():
        document = read_file(path, Diagnostics())
        return "recipe" if document is not None and is_recipe(document.keys) else "architecture"
    is_known_recipe = shipped_recipe(target) is not None and target not in architecture_names()
    return "recipe" if is_known_recipe and not target.startswith(FOREIGN) else "architecture"


def _compared(documents: list[Mapping | None]) -> list[Change]:
    first, second = documents
    return diff_documents(first, second) if first is not None and second is not None else []


def _recipe(name: str, diagnostics: Diagnostics) -> Mapping | None:
    resolved = resolve(name, (), diagnostics)
    parts = check_recipe(resolved, diagnostics) if resolved is not None else None
    return complete(resolved, parts) if resolved is not None and parts is not None else None


def _result(run: Path) -> dict[str, object]:
    try:
        result: dict[str, object] = json.loads((run / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {f"result.{key}": value for key, value in result.items() if key != "run_dir"}
