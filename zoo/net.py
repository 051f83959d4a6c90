"""A question to the net: its answer within seconds, or none. Floor 0; no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
ANSWER_SECONDS = 4.0  # until the first answer, name look-up included


def answer_to(ask: Callable[[], T]) -> T:
    """What a question gives; asked in a thread, since a name look-up may hang far beyond any time-out.

    Raises TimeoutError where there is no answer in time, and whatever the question raises.
    """
    answers: list[T] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # whatever it is, it is told below, not in this thread
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if failures:
        raise failures[0]
    if not answers:
        raise TimeoutError(f"no answer in {ANSWER_SECONDS:g} s")
    return answers[0]
