"""The command line. Roof: one small file a command family; torch is imported inside command bodies only.

Results go to stdout, progress and messages to stderr. :func:`main` is the only place where an exception becomes
an exit status.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from zoo.cli.failures import report
from zoo.cli.ranks import end_with_parent
from zoo.cli.streams import lasting_streams
from zoo.errors import refuse_windows
from zoo.launch import announced


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status. One of several ranks ends its process with it."""
    status = _main(arguments)
    if not announced().is_alone:
        # What a library does at exit may wait for ranks that are gone: NCCL takes leave of all of them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # PyTorch's own switch, read at its first allocation: big tensors on a CPU in pages of 2 MB instead of 4 kB. The
    # kernel clears a training step's memory anew every time, and spends a tenth of the step on it with small pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    with lasting_streams():
        try:
            refuse_windows()
            from zoo.cli.app import app

            end_with_parent()
            status = app(arguments, prog_name="zoo", standalone_mode=False)
            sys.stdout.flush()
        except BaseException as error:
            return report(error, debug="--debug" in arguments, as_json="--json" in arguments)
    return status if isinstance(status, int) else 0
