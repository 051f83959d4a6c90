"""What the commands print: results to stdout, messages to stderr, colour only for people. Roof."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

from zoo.diagnostics import Diagnostic, count_line, render

_BOLD, _RED, _YELLOW, _RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def wants_colour(stream: IO[str]) -> bool:
    """Whether escape codes may be written there."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_text(text: str) -> None:
    """A result, to stdout."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def print_json(data: Any) -> None:
    """A result as one JSON document, to stdout. What is not finite becomes null: JSON has no word for it."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print_text(json.dumps(_finite(data), indent=2, ensure_ascii=not is_unicode, default=str))


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(item) for item in data]
    return data


def print_note(text: str) -> None:
    """A line for people, to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_messages(diagnostics: Iterable[Diagnostic], *, count: bool = True) -> None:
    """Messages with their places, to stderr, and the line that counts them."""
    items = tuple(diagnostics)
    colour = wants_colour(sys.stderr)
    for item in items:
        text = render(item)
        if colour:
            head, _, rest = text.partition("\n")
            text = f"{_BOLD}{_RED if item.severity == 'error' else _YELLOW}{head}{_RESET}\n{rest}".rstrip("\n")
        print_note(f"{text}\n" if item.span else text)
    if items and count and any(item.span for item in items):
        print_note(count_line(items))
