"""Signals that end a training in order: noted when they come, acted upon where the state is whole. Floor 5."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from zoo.launch import die_of, ending_signals
from zoo.train.ranks import ALONE, Ranks


class Interrupted(BaseException):
    """A signal came. Raised between steps and between batches of an evaluation only; never leaves ``fit``."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class SignalWatch:
    """Notes the first SIGINT, SIGTERM, SIGUSR1 or SIGHUP (its terminal closed); a second one ends the process at once.

    A SIGHUP that ``nohup`` has the process ignore stays ignored.

    Outside the main thread Python can watch no signals; the training then runs without. Whichever of several ranks a
    signal reaches, all act upon it at the same place.
    """

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.caught: int | None = None
        self._ranks = ranks
        self._before: dict[signal.Signals, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in ending_signals()}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._in_worker(number)
            return
        if self.caught is not None:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # the progress bar had hidden the cursor
            # Not sys.exit: nothing may run any more, a half-written checkpoint was never promoted.
            os._exit(130 if number == signal.SIGINT else 143)
        self.caught = number

    @staticmethod
    def _in_worker(number: int) -> None:
        """A forked loader worker has this handler too. Ctrl-C reaches it but is not for it; the rest ends it."""
        if number != signal.SIGINT:
            die_of(number)

    def check(self) -> None:
        """Raises Interrupted if a signal has come, to any rank."""
        caught = self._ranks.highest(self.caught or 0)
        if caught:
            raise Interrupted(caught)
