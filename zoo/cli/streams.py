"""Standard streams that outlive their readers and hold any text. Roof.

A reader may go at any time (``zoo run … 2>&1 | head``, a terminal under ``nohup``): what is told is for people, and
no training ends for it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Has stderr fall silent where nobody reads it any more, and both write what their encoding lacks as escapes."""
    stdout, stderr = sys.stdout, sys.stderr
    if stdout is None:  # closed by whoever started this: `>&-`
        sys.stdout = stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for the process's life
    if stderr is None:
        stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # likewise
    for stream in (stdout, stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = _Lasting(stderr)
    try:
        yield
    finally:
        sys.stderr = stderr


def forget(stream: TextIO) -> None:
    """Lets everything that is still to be written there go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Lasting:
    """A text stream that is silent once its reader has gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes, or drops the text."""
        try:
            return self._stream.write(text)
        except OSError:
            forget(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flushes, or drops what is left."""
        try:
            self._stream.flush()
        except OSError:
            forget(self._stream)
