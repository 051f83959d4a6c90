"""The Python functions do what the commands do; what a command says on stderr goes to ``note``."""

from __future__ import annotations

from pathlib import Path

import zoo
from tests.cli.conftest import TINY


def test_a_run_from_python_notes_the_warnings_of_its_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.format(epochs=5, reports="[]"))
    notes: list[str] = []
    result = zoo.run(recipe, epochs=1, run_dir=tmp_path / "run", device="cpu", note=notes.append)
    assert result["epochs"] == 1
    assert any(note.startswith(f"warning: {recipe}:5:") and "lr" in note for note in notes), notes


def test_a_check_from_python_takes_sets() -> None:
    assert zoo.check("quickstart", sets={"optimizer.momentum": 0.8, "schedule": {"name": "CosineAnnealingLR"}}) == []
    (told,) = zoo.check("quickstart", sets={"optimizer.momentum": "much"})
    assert told.span is not None
    assert told.span.file == "--set optimizer.momentum"
