"""Trainings in processes of their own, to be stopped and killed; and servers that nobody should wait for."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONG = ("--set", "train.epochs=100000", "--set", "schedule=null", "--set", "eval.every=100000", "--quiet")


@contextmanager
def training(recipe: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A training that takes for ever."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", "run", str(recipe), *LONG, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, float, str]:
    """Sends a signal; gives the exit status, the seconds that it took, and what was said on stderr."""
    begun = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    return process.returncode, time.monotonic() - begun, said


def until(is_so: Callable[[], object], seconds: float = 40.0) -> None:
    """Waits for something to be so."""
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < seconds, is_so
        time.sleep(0.1)


def is_training(folder: Path) -> bool:
    return (folder / "steps.jsonl").is_file()


def below(parent: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    found = {int(stat.parent.name): stat for stat in Path("/proc").glob("[0-9]*/stat")}
    parents = {}
    for pid, stat in found.items():
        try:
            parents[pid] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {parent}
    while more := {pid for pid, above in parents.items() if above in family} - family:
        family |= more
    return family - {parent}


def are_alive(pids: set[int]) -> set[int]:
    """Those that still do something."""
    alive = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            alive.add(pid)
    return alive


@contextmanager
def deaf_server() -> Iterator[str]:
    """The address of a server that takes a call and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
