"""The house keeps its own rules: sizes, names, floors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "zoo").rglob("*.py"))
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 40


def long_functions(tree: ast.AST, most: int) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            has_docstring = ast.get_docstring(node) is not None
            first = body[1] if has_docstring and len(body) > 1 else body[0]
            # A docstring is no code: the budget is for what must be understood.
            lines = (node.end_lineno or 0) - first.lineno + 1
            if lines > most:
                yield f"{node.name}: {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_within_its_budget(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_FILE_LINES
    assert list(long_functions(ast.parse(text), MOST_FUNCTION_LINES)) == []


def test_the_budget_notices_a_long_function() -> None:
    source = "def f():\n" + "    x = 1\n" * (MOST_FUNCTION_LINES + 1)
    assert list(long_functions(ast.parse(source), MOST_FUNCTION_LINES)) == [f"f: {MOST_FUNCTION_LINES + 1} lines"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_there_is_no_drawer_for_everything() -> None:
    assert [path for path in MODULES if path.stem in ("utils", "util", "helpers", "misc", "common")] == []


def test_torch_stays_upstairs() -> None:
    modules = ["diagnostics.py", "errors.py", "registry.py", "events.py", "launch.py", "disk.py", "net.py"]
    ground = [*modules, "layout.py", "document", "schema"]
    for name in ground:
        path = ROOT / "zoo" / name
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        assert files, name
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [n for n in names if n.split(".")[0] in ("torch", "torchvision", "timm")], file
