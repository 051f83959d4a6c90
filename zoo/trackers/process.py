"""A tracker in a process of its own, from the training's side. Floor 0.

Two pipes of JSON lines: what there is to write goes one way, what there is to tell comes back. Neither end is ever
waited for while a training runs: what the pipe does not take stays here until the next event.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from zoo.trackers.tracker import Ending, Figures, Told, TrackedRun, Tracker

# This very zoo serves the run, wherever it lies; nothing else is looked for there.
_ROOT = Path(__file__).parents[2]
_SERVE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from zoo.trackers.serving import main
del sys.path[0]
main()
"""


class TrackerProcess(Tracker):
    """Hands a run on to a process that serves the tracker of a key, and is begun with the run."""

    def __init__(self, key: str, title: str) -> None:
        self.key, self.title = key, title
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent = bytearray()
        self._read = b""
        self._is_last = False  # nothing more is to be sent
        self._has_ended = False
        self._has_told_end = False

    def begin(self, run: TrackedRun) -> None:
        """Starts the process. Raises OSError where there can be none."""
        # -P: a module in the working folder is not meant. An isolated Python has an isolated one.
        flag = "-I" if sys.flags.isolated else "-P"
        self._process = subprocess.Popen(
            [sys.executable, flag, "-c", _SERVE, str(_ROOT), self.key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
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
        if self._has_ended and not self._has_told_end:
            self._has_told_end = True
            if status := self._process.wait():  # else it has told why, or has done all
                how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
                lost = "its last figures may be missing" if self._is_last else "the training goes on without it"
                yield Told(f"its process {how}; {lost}", "warning")

    @property
    def is_closed(self) -> bool:
        """Whether the process has ended, as far as was heard."""
        return self._process is None or self._has_ended

    def let_go(self) -> None:
        """Leaves the process to itself. It ends ``CLOSING_SECONDS`` after the last to hold its pipe lets go, or before.

        It is not killed: MLflow may be making its database, which would stay half made.
        """
        if self._process is not None:
            for pipe in self._pipes:
                pipe.close()
            threading.Thread(target=self._process.wait, daemon=True).start()  # whoever trains for days keeps no zombie
            self._process = None

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def _send(self, message: dict[str, Any]) -> None:
        if self.is_closed or self._is_last:
            return
        self._unsent += json.dumps(message).encode() + b"\n"
        self._push()

    def _push(self) -> None:
        """Sends as much as the pipe takes. The end of the pipe is the end of what there is to write."""
        if self._process is None or self._pipes[0].closed:
            return
        try:
            while self._unsent:
                del self._unsent[: os.write(self._pipes[0].fileno(), self._unsent)]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended, and told why
            self._unsent.clear()
        if self._is_last:
            self._pipes[0].close()

    def _pull(self) -> None:
        try:
            while data := os.read(self._pipes[1].fileno(), 1 << 16):
                self._read += data
            self._has_ended = True
        except BlockingIOError:
            pass
