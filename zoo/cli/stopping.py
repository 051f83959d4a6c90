"""Signals that end a command wherever it stands: told, as Ctrl-C is, with a status of their own. Roof.

A training takes them over while it runs (:mod:`zoo.train.signals`) and saves a checkpoint first.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from zoo.launch import die_of, ending_signals


class Stopped(KeyboardInterrupt):
    """A signal came that is to end the command; whatever passes Ctrl-C on, or tidies up after it, does so here."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def signals_that_stop() -> Iterator[None]:
    """Has these signals raise :class:`Stopped`; SIGHUP stays ignored where ``nohup`` has it so.

    Outside the main thread Python can handle no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        if os.getpid() != process:  # a forked worker, which has this handler too
            die_of(number)
        raise Stopped(number)

    # Python itself raises KeyboardInterrupt for SIGINT.
    before = {number: signal.signal(number, stop) for number in ending_signals() if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
