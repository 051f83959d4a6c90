"""Gives the turns: every form lives in a process of its own, and one of them works at a time. Imports no zoo.

A process each, because a library's settings (threads, cuDNN's search, what it patches) are a process's; one process
for all rounds, so that start and warm-up are paid once and a round is short: what else the machine does changes
slowly beside it. In every round another form begins.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Self

from loops import FORMS
from loops.task import SkippedError, Task
from loops.turns import Turn, Turns


@dataclass
class Runner:
    """A form in its process. ``turns`` are those that count; ``skipped`` says why there are none."""

    name: str
    process: BaseProcess
    line: Connection
    turns: list[Turn] = field(default_factory=list)
    skipped: str = ""

    def turn(self) -> Turn | None:
        """Lets it train for a turn; None where it cannot run here. Raises RuntimeError where it fails."""
        self.line.send("go")
        try:
            answer: Turn | Exception = self.line.recv()
        except EOFError:
            raise RuntimeError(f"{self.name} died") from None
        if isinstance(answer, SkippedError):
            self.skipped = str(answer)
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Relay:
    """All forms of a task. A task of n turns has n - 1 rounds that count: the first turn is to warm up."""

    def __init__(self, task: Task, names: Sequence[str]) -> None:
        self.runners: list[Runner] = []
        self._task, self._names = task, names
        self._rounds = 0

    def __enter__(self) -> Self:
        """Starts the forms one after the other; each warms up before the next one starts."""
        try:
            for name in self._names:
                self.runners.append(_start(self._task, name))
                self.runners[-1].turn()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def round(self) -> None:
        """A turn of every form; another one is first every time."""
        able = [runner for runner in self.runners if not runner.skipped]
        first = self._rounds % max(1, len(able))
        for runner in [*able[first:], *able[:first]]:
            turn = runner.turn()
            assert turn is not None
            runner.turns.append(turn)
        self._rounds += 1

    def _end(self) -> None:
        for runner in self.runners:
            runner.line.close()
            runner.process.join(10)
            if runner.process.is_alive():
                runner.process.kill()


def _start(task: Task, name: str) -> Runner:
    context = multiprocessing.get_context("spawn")  # a fresh interpreter, without what this one has imported
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(name, task, theirs))
    process.start()
    theirs.close()
    return Runner(name, process, ours)


def _serve(name: str, task: Task, line: Connection) -> None:
    """A form's whole life."""
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    try:
        module = importlib.import_module(f"loops.{FORMS[name][0]}")
        module.train(task, Turns(line, task.device, task.clock))
    except SkippedError as reason:
        line.send(reason)
    except EOFError:  # nobody asks for further turns
        os._exit(0)
    except Exception:
        line.send(RuntimeError(f"{name} failed:\n{traceback.format_exc()}"))
