"""`zoo run --devices N`: the same command once for each device, watched over. Roof; imports no torch.

Every rank is this very command with torchrun's environment variables. The first one's progress and messages are what
people see; of the others only what one says that ends the run. This process passes signals on, and when one rank
ends badly it ends the rest: no rank outlives the command, nor does the command wait for one that hangs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from zoo.cli.output import print_json, print_messages
from zoo.errors import StoppedBySignal, WorkerError, ZooError
from zoo.launch import STORE_FD, ending_signals

GRACE_SECONDS = 10.0  # for ranks to end by themselves after one of them has
_SECOND_SIGNAL_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_LIFELINE = "ZOO_LIFELINE"  # a pipe that this process holds open as long as it lives
_OTHER_LAUNCHERS = ("TORCHELASTIC_", "GROUP_", "ROLE_")  # what they told this process is not for its ranks


@dataclass
class _Rank:
    number: int
    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes] | None  # None: the first one's goes where ours goes
    code: int | None = None

    def has_ended(self) -> bool:
        """Whether it has; its exit status is noted then."""
        self.code = self.process.poll()
        return self.code is not None


@dataclass
class _Signals:
    """Those that came to this process, passed on to every rank."""

    ranks: list[_Rank]
    came: list[int] = field(default_factory=list)

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        self.came.append(number)
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.process.send_signal(number)


def start_ranks(count: int, *, as_json: bool) -> int:
    """Runs this command once for each of so many devices; returns the exit status of the whole."""
    with ExitStack() as stack:
        ranks = [_start(number, environment, stack) for number, environment in _environments(count, stack)]
        signals = _Signals(ranks)
        stack.enter_context(_handled(signals))
        hanging = _wait(ranks, signals.came)
        return _outcome(ranks, hanging, signals.came, as_json=as_json)


def _environments(count: int, stack: ExitStack) -> Iterator[tuple[int, dict[str, str]]]:
    held, holds = os.pipe()
    stack.callback(os.close, holds)
    stack.callback(os.close, held)
    store = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    threads = max(1, _usable_cpus() // count)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OTHER_LAUNCHERS)}
    shared = {
        **_loopback(),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.getsockname()[1]),
        STORE_FD: str(store.fileno()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        _LIFELINE: str(held),
    }
    for number in range(count):
        yield number, {**inherited, **shared, "RANK": str(number), "LOCAL_RANK": str(number)}


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _loopback() -> dict[str, str]:
    """Keeps gloo to this machine; by itself it takes the address of the host's name, which need not be known."""
    own = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    return {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", own[0])} if own else {}


def _start(number: int, environment: dict[str, str], stack: ExitStack) -> _Rank:
    stdout = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # the stack closes it
    stderr = stack.enter_context(tempfile.TemporaryFile()) if number else None  # noqa: SIM115  # likewise
    process = subprocess.Popen(
        _command(),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=[int(environment[_LIFELINE]), int(environment[STORE_FD])],
        process_group=0,  # Ctrl-C in a terminal reaches this process alone, which passes it on
    )
    stack.callback(_end, process)
    return _Rank(number, process, stdout, stderr)


def _command() -> list[str]:
    """How this process was called: by the script `zoo`, or as a module."""
    called = Path(sys.argv[0])
    start = ["-m", "zoo"] if called.name == "__main__.py" else [str(called)]
    return [sys.executable, *start, *sys.argv[1:]]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


@contextmanager
def _handled(signals: _Signals) -> Iterator[None]:
    before = {number: signal.signal(number, signals.pass_on) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(ranks: list[_Rank], came: list[int]) -> list[_Rank]:
    """Waits for all; once one ended badly or the first ended, not for long; gives those that had to be killed."""
    deadline = float("inf")
    while [rank for rank in ranks if not rank.has_ended()]:
        if deadline == float("inf") and (any(rank.code for rank in ranks) or ranks[0].code is not None):
            deadline = time.monotonic() + GRACE_SECONDS
        if len(came) > 1:  # a second signal quits at once; a rank that waits for another does not hear it
            deadline = min(deadline, time.monotonic() + _SECOND_SIGNAL_SECONDS)
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_SECONDS)
    hanging = [rank for rank in ranks if rank.code is None]
    for rank in hanging:
        _end(rank.process)
    return hanging


def _outcome(ranks: list[_Rank], hanging: list[_Rank], came: list[int], *, as_json: bool) -> int:
    """The exit status: of a rank that was killed, that hung, that told an error, in this order; 0 if all went well."""
    error = _failure(ranks, hanging, came)
    if error is not None:
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # a progress bar that was killed had hidden the cursor
        for rank in ranks:
            if rank.stderr is not None and (rank in hanging or (rank.code or 0) < 0):
                _replay(rank.stderr, sys.stderr)
        print_messages(error.diagnostics)
        if as_json:
            print_json([item.as_data() for item in error.diagnostics])
        return error.exit_code
    # Where one fails the others lose it: that is not what has to be told.
    ends = sorted((rank for rank in ranks if rank.code), key=_lost_another)
    teller = ends[0] if ends else ranks[0]
    if teller.stderr is not None:
        _replay(teller.stderr, sys.stderr)
    _replay(teller.stdout, sys.stdout)
    return teller.code or 0


def _lost_another(rank: _Rank) -> bool:
    """Whether it ended because another was gone; of the first, whose words were shown, as far as its status tells."""
    if rank.code != WorkerError.exit_code or rank.stderr is None:
        return rank.code == WorkerError.exit_code
    rank.stderr.seek(0)
    return b"[rank-lost]" in rank.stderr.read()


def _failure(ranks: list[_Rank], hanging: list[_Rank], came: list[int]) -> ZooError | None:
    """What no rank could tell itself."""
    killed = [rank for rank in ranks if rank.code is not None and rank.code < 0]
    if hanging:  # NCCL aborts a rank that has waited too long for another
        killed = [rank for rank in killed if rank.code != -signal.SIGABRT]
    if came and (killed or hanging):
        return StoppedBySignal(f"stopped by {signal.Signals(came[0]).name}", signal_number=came[0])
    help = "--resume goes on from the last checkpoint"
    if killed:
        rank = killed[0]
        name = signal.Signals(-(rank.code or 0)).name
        return WorkerError(f"rank {rank.number} of {len(ranks)} died: killed by {name}", code="rank-died", help=help)
    lost = all(rank.code in (None, 0, WorkerError.exit_code, -signal.SIGABRT) for rank in ranks)
    if hanging and lost and any(rank.code for rank in ranks):
        numbers = ", ".join(str(rank.number) for rank in hanging)
        return WorkerError(f"rank {numbers} of {len(ranks)} hangs: it was killed", code="rank-hangs", help=help)
    return None


def _replay(file: IO[bytes], stream: Any) -> None:
    file.seek(0)
    stream.write(file.read().decode("utf-8", errors="replace"))
    stream.flush()


def end_with_parent() -> None:
    """In a rank that `zoo run --devices` started: ends this process, whatever it does, when that command is gone."""
    lifeline = os.environ.pop(_LIFELINE, None)
    if lifeline is None:
        return

    def watch() -> None:
        os.read(int(lifeline), 1)  # gives nothing when nobody holds the other end any more
        os._exit(WorkerError.exit_code)

    threading.Thread(target=watch, daemon=True).start()
