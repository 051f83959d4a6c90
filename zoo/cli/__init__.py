"""The command line. Roof: one small file a command family; torch is imported inside command bodies only.

Results go to stdout, progress and messages to stderr. :func:`main` is the only place where an exception becomes
an exit status.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what takes a while to import is imported where Ctrl-C is caught
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status. One of several ranks ends its process with it.

    Without arguments it is the whole process's: what Python and torch have to put away afterwards takes a while, in
    which Ctrl-C would change the status of what is done and told.
    """
    status = _main(arguments)
    if arguments is None:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
    from zoo.launch import announced

    if not announced().is_alone:
        # What a library does at exit may wait for ranks that are gone: NCCL takes leave of all of them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    stack = None
    try:  # whatever is imported is imported here: Ctrl-C may come as soon as the command is typed
        from contextlib import ExitStack

        from zoo.cli.stopping import signals_that_stop
        from zoo.cli.streams import lasting_streams

        stack = ExitStack()
        stack.enter_context(signals_that_stop())
        stack.enter_context(lasting_streams())
        return _done(arguments)
    except BaseException as error:
        from zoo.cli.failures import report

        return report(error, debug="--debug" in arguments, as_json="--json" in arguments)
    finally:
        if stack is not None:
            stack.close()


def _done(arguments: list[str]) -> int:
    from zoo.errors import refuse_windows

    refuse_windows()
    from zoo.cli.app import invoke
    from zoo.cli.ranks import end_with_parent

    end_with_parent()
    status = invoke(arguments)
    sys.stdout.flush()
    return status
