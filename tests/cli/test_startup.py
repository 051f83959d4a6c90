"""What the quick commands import: no library that their answer does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Runs a command and says on the last line which of the libraries it imported.
COMMAND = """
import sys
from zoo.cli import main
status = main(sys.argv[2:])
print(status, *sorted(set(sys.argv[1].split()) & set(sys.modules)))
"""
TORCH = "torch numpy yaml"
COMPILER = "torch._dynamo torch._inductor torch.fx.experimental.symbolic_shapes sympy"
NETWORKS = "torchvision timm"
DATA = "albumentations cv2 scipy pyarrow sklearn PIL.Image"
TRAINING = "lightning_fabric matplotlib pytorch_grad_cam jinja2 safetensors tensorboard"
PRINTING = "pydantic rich pygments"
ALL = " ".join((TORCH, COMPILER, NETWORKS, DATA, TRAINING, PRINTING))


def imported(*arguments: str, status: int = 0, said: str = "") -> set[str]:
    """Which of the libraries a command imports in a process of its own; how it ends, and a part of what it says."""
    done = subprocess.run([sys.executable, "-c", COMMAND, ALL, *arguments], capture_output=True, text=True, check=True)
    ended, *found = done.stdout.splitlines()[-1].split()
    assert int(ended) == status, done.stderr
    assert said in done.stderr
    return set(found)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], ""),
        (["run", "--help"], "pydantic"),
        (["ls"], "pydantic yaml"),
        (["ls", "recipes"], "pydantic yaml"),
        (["schema", "architecture"], f"{TORCH} pydantic"),
        (["check", "custom_resnet"], f"{TORCH} pydantic"),
        (["check", "convnext_atto"], f"{TORCH} pydantic torchvision PIL.Image"),
        (["summary", "custom_resnet", "--json"], f"{TORCH} pydantic"),
        (["summary", "s8_custom_resnet"], f"{TORCH} pydantic rich"),
        (["check", "s8_custom_resnet"], f"{TORCH} pydantic albumentations cv2 scipy"),
        (["config", "quickstart"], f"{TORCH} pydantic albumentations cv2 scipy"),
        (["diff", "custom_resnet", "resnet18"], f"{TORCH} pydantic"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value or "nothing",
)
def test_a_command_imports_what_it_needs(arguments: list[str], needed: str) -> None:
    assert imported(*arguments) == set(needed.split())


@pytest.mark.parametrize("command", ["run", "run --devices 2", "find-lr", "bench engine", "config"])
def test_a_mistyped_recipe_is_told_before_torch_is_imported(command: str) -> None:
    assert "torch" not in imported(*command.split(), "quikstart", status=2, said="did you mean quickstart?")


@pytest.mark.parametrize("command", ["draw", "eject"])
def test_a_file_is_written_without_what_training_needs(command: str, tmp_path: Path) -> None:
    assert not imported(command, "custom_resnet", "-o", str(tmp_path / "out")) & set(TRAINING.split())
    assert (tmp_path / "out").stat().st_size


def test_nothing_but_the_package_is_imported_before_ctrl_c_is_caught() -> None:
    """Until then it would end in a traceback: each import more is a longer while for it."""
    script = "import os, sys; before = {*sys.modules}; import zoo.cli; print(*sorted({*sys.modules} - before))"
    words = [sys.executable, "-S", "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert set(done.stdout.split()) <= {"__future__", "zoo", "zoo.cli"}
