"""Networks of 1e12 parameters, under a limit on the process's memory: row 8 of the acceptance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Zoo

HUGE = """name: huge
input: [1, 8, 8]
layers:
  f: {op: flatten, start_dim: 1}
  a: {op: Linear, out_features: 1000000}
  b: {op: Linear, out_features: 1000000}
  c: {op: Linear, out_features: 10}
"""
RECIPE = (
    "model: {architecture: huge.yaml}\ndata: {source: digits}\noptimizer: {name: SGD, lr: 0.1}\ntrain: {epochs: 1}\n"
)
PARAMETERS = 65 * 10**6 + 10**12 + 10**6 + 10 * 10**6 + 10

# Runs `zoo` in a process whose address space may grow by so much, torch being imported; tells its processor seconds.
LIMITED = """
import resource, sys, time
import torch
from zoo.cli import main
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
began = time.process_time()
status = main(sys.argv[2:])
print(status, time.process_time() - began, file=sys.stderr)
"""


def limited(folder: Path, mebibytes: int, *arguments: str) -> tuple[int, float, str, str]:
    """The exit status, the processor seconds and the output of a command with so much memory beyond torch's."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(mebibytes), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    status, seconds = done.stderr.splitlines()[-1].split()
    return int(status), float(seconds), done.stdout, done.stderr


@pytest.fixture
def huge(here: Path) -> Path:
    (here / "huge.yaml").write_text(HUGE)
    (here / "mine.yaml").write_text(RECIPE)
    return here


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the process's size is read from Linux's /proc")
def test_a_summary_of_1e12_parameters_in_2_seconds_and_500_mb(huge: Path) -> None:
    status, seconds, out, _ = limited(huge, 500, "summary", "huge.yaml", "--json")
    assert status == 0
    assert json.loads(out)["params"] == {"total": PARAMETERS, "trainable": PARAMETERS}
    assert seconds < 2


def test_check_is_right_about_it_and_a_billion_copies_are_over_the_bound(huge: Path, zoo: Zoo) -> None:
    assert zoo("check", "huge.yaml", "mine.yaml").status == 0
    (huge / "huge.yaml").write_text(HUGE + "  d: {op: ReLU, repeat: 1000000000}\n")
    for command in ("check", "summary"):
        outcome = zoo(command, "huge.yaml")
        assert outcome.status == 2
        assert "at most 20,000 layers" in outcome.err


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_run_of_it_says_how_many_bytes_it_would_need(options: tuple[str, ...], huge: Path, zoo: Zoo) -> None:
    before = sorted(huge.iterdir())
    outcome = zoo("run", "mine.yaml", *options)
    assert outcome.status == 6
    assert f"{4 * PARAMETERS:,} bytes" in outcome.err
    assert sorted(huge.iterdir()) == before
