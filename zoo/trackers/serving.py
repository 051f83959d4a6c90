"""The process that writes to one tracker, begun by a training. Floor 0.

It ends with its pipe, or with its parent: a run whose training was killed is closed as stopped. Whatever the
library does then, it does for so long and no longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from zoo.launch import ending_signals
from zoo.trackers.tracker import CLOSING_SECONDS, Backend, Figures, Level, TrackedRun

CLEARING_SECONDS = 2  # for what a library does at the process's end
MOST_LETTERS = 300  # of what an exception says
MOST_LINES = 50  # in one call: few enough for a server, and what it took is not sent again
_SECRET = re.compile("(WANDB|MLFLOW|DATABRICKS|AWS|AZURE|GOOGLE)_.*(PASSWORD|TOKEN|KEY|SECRET)")  # variables
_SHORTEST_SECRET = 6  # `true` and `1` are none
_LOOK_SECONDS = 1.0  # between looks whether the parent is there


def backend_of(key: str) -> Backend:
    """The tracker of a key; no other's library is imported."""
    if key == "wandb":
        from zoo.trackers.wandb import Wandb

        return Wandb()
    from zoo.trackers.mlflow import MLflow

    return MLflow()


class Scribe:
    """Hands what comes to a backend, and tells what becomes of it."""

    def __init__(self, backend: Backend, source: int, channel: int) -> None:
        self._backend = backend
        self._source = source
        self._channel = channel
        self._unwritten: list[Figures] = []
        self._has_failed = False

    def serve(self) -> None:
        """Goes on to the end of the run, or to what keeps it from beginning."""
        for messages in batches(self._source, os.getppid()):
            for message in messages:
                if "begin" in message:
                    if not self._begin(TrackedRun(**message["begin"])):
                        return
                    continue
                figures = Figures(**message["figures"])
                if "ending" in message:
                    self._finish(message["ending"], figures)
                    return
                self._unwritten.append(figures)
            self._write()
        self._finish("stopped", Figures(0, {}))  # the training was killed

    def _begin(self, run: TrackedRun) -> bool:
        try:
            self._tell(run=self._backend.begin(run, self._say))
        except Exception as error:
            self._say(f"{said_by(error)}; the training goes on without it", "warning")
            return False
        return True

    def _write(self) -> None:
        """What could not be written is tried again with what comes next."""
        try:
            while self._unwritten:
                self._backend.write(self._unwritten[:MOST_LINES])
                del self._unwritten[:MOST_LINES]
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                self._say(f"{said_by(error)}; the training goes on, and what is missing is tried again", "warning")

    def _finish(self, ending: Any, figures: Figures) -> None:
        self._write()
        try:
            self._backend.finish(ending, figures)
        except Exception as error:
            self._say(f"the run could not be closed: {said_by(error)}", "warning")
        if self._unwritten:
            self._say(f"{len(self._unwritten)} lines of figures did not arrive", "warning")

    def _say(self, text: str, level: Level) -> None:
        self._tell(text=without_secrets(text), level=level)

    def _tell(self, **told: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the training was killed: nobody listens
            os.write(self._channel, json.dumps(told).encode() + b"\n")


def batches(source: int, parent: int) -> Iterator[list[dict[str, Any]]]:
    """All messages that have come, at once: what came while a server was slow is one call.

    A forked worker of the training may outlive it and hold the pipe open, so the parent is looked at.
    """
    rest = b""
    while True:
        is_orphan = os.getppid() != parent  # looked at first: what the parent sent before it ended is still read
        if not select.select([source], [], [], 0 if is_orphan else _LOOK_SECONDS)[0]:
            if is_orphan:
                return
            continue
        data = os.read(source, 1 << 20)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield [json.loads(line) for line in lines]


def said_by(error: Exception) -> str:
    """An exception of a library's in one line, not too long a one."""
    said = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {said if len(said) <= MOST_LETTERS else said[:MOST_LETTERS] + '…'}"


def without_secrets(text: str) -> str:
    """A text without the passwords that addresses and the environment have."""
    text = re.sub(r"://[^/\s]+@", "://***@", text)
    text = re.sub(r"(://[^\s?]*\?)[^\s'\"]+", r"\1***", text)
    for name, value in os.environ.items():
        if _SECRET.match(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text


def end_with(source: int, parent: int) -> None:
    """Has this process end, at the latest, so long after nothing more can come to it; a library may hang."""
    pipe = select.poll()
    pipe.register(source, select.POLLHUP)
    while os.getppid() == parent and not pipe.poll(1000 * _LOOK_SECONDS):
        pass
    signal.alarm(CLOSING_SECONDS)


def main() -> None:
    """Serves one run. Standard streams go nowhere: what libraries print is nobody's result."""
    source, channel = os.dup(0), os.dup(1)  # not passed on to processes that a library starts
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for number in ending_signals():
        signal.signal(number, signal.SIG_IGN)  # a cluster signals every process of a job: the training decides
    threading.Thread(target=end_with, args=(source, os.getppid()), daemon=True).start()
    Scribe(backend_of(sys.argv[1]), source, channel).serve()
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))  # all is written
    signal.alarm(CLEARING_SECONDS)
