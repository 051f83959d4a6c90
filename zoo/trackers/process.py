"""A tracker in a process of its own, from the training's side. Floor 0.

Two pipes of JSON lines: what there is to write goes one way, what there is to tell comes back. Neither end is ever
waited for while a training runs: what the pipe does not take stays here until the next event.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from zoo.trackers.tracker import Ending, Figures, Told, TrackedRun, Tracker

_ROOT = Path(__file__).parents[2]  # where the package zoo lies


class TrackerProcess(Tracker):
    """Hands a run on to ``python -m zoo.trackers KEY``, which is begun with the run."""

    def __init__(self, key: str, title: str) -> None:
        self.key, self.title = key, title
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent = b""
        self._read = b""
        self._is_last = False  # nothing more is to be sent
        self._has_ended = False

    def begin(self, run: TrackedRun) -> None:
        """Starts the process. Raises OSError where there can be none."""
        paths = [path for path in (os.environ.get("PYTHONPATH"), str(_ROOT)) if path]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zoo.trackers", self.key],  # -P: a module in the working folder is not meant
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is the training's, which says how the run ended
        )
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self._send({"begin": asdict(run)})

    def write(self, figures: Figures) -> None:
        """Takes figures."""
        self._send({"figures": asdict(figures)})

    def finish(self, ending: Ending, figures: Figures) -> None:
        """Sends the outcome."""
        self._send({"ending": ending, "figures": asdict(figures)})
        self._is_last = True
        self._push()

    def heard(self) -> Iterator[Told]:
        """What the process has told since."""
        if self._process is None:
            return
        self._push()
        self._pull()
        *lines, self._read = self._read.split(b"\n")
        yield from (Told(**json.loads(line)) for line in lines)
        if self._has_ended and not self._is_last:
            self._is_last = True
            status = self._process.wait()
            if status:  # else it has told why
                yield Told(f"its process ended with status {status}; the training goes on without it", "warning")

    def wait(self, seconds: float) -> bool:
        """Waits for the process to end."""
        until = time.monotonic() + seconds
        while self._process is not None and not self._has_ended:
            left = until - time.monotonic()
            if left <= 0:
                return False
            stdin, stdout = self._pipes
            select.select([stdout], [stdin] if self._unsent else [], [], left)
            self._push()
            self._pull()
        if self._process is not None:
            self._process.wait()
        return True

    def abandon(self) -> None:
        """Ends the process, if it has not ended; W&B's own, which it starts, ends with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in self._pipes:
                pipe.close()
            self._process = None

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _send(self, message: dict[str, Any]) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"
        self._push()

    def _push(self) -> None:
        """Sends as much as the pipe takes. The end of the pipe is the end of what there is to write."""
        if self._process is None or self._pipes[0].closed:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._pipes[0].fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended, and told why
            self._unsent = b""
        if self._is_last:
            self._pipes[0].close()

    def _pull(self) -> None:
        try:
            while data := os.read(self._pipes[1].fileno(), 1 << 16):
                self._read += data
            self._has_ended = True
        except BlockingIOError:
            pass
