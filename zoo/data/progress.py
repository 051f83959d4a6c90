"""What is said on stderr of work on files that takes its time: a line, and on a terminal a bar. Floor 2; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


def tell(line: str) -> None:
    """Says a line on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(line, markup=False, soft_wrap=True)


@contextmanager
def bar(size: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Shows how much of so many bytes is done, of an unknown number where None; takes the bytes that are done."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("", total=size)
        yield lambda count: progress.advance(task, count)
