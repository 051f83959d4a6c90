"""The memory of a CPU's tensors, kept from one step to the next, or spared. Floor 5.

glibc returns a big block to the kernel as soon as it is free, and the kernel clears the pages of the next one: every
activation of every step pays for that. Kept, the same blocks serve every step; ``docs/benchmarks.md`` says what that
gains and costs. Between blocks that are kept lie gaps, which whoever is short of memory cannot afford: spared, each
goes back as soon as it is free. A GPU's memory has PyTorch's own caching allocator.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch

# From malloc.h (https://man7.org/linux/man-pages/man3/mallopt.3.html).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_NEVER, _NO_BLOCKS = -1, 0
_MOST_BLOCKS = 65_536  # glibc's default
_SPARED = 1 << 20  # bytes from which on a block goes back by itself
_LARGEST_MMAP_THRESHOLD = 32 << 20  # up to which glibc's own rises with what was freed
_LARGEST_TRIM_THRESHOLD = 64 << 20  # what glibc's own rises to once 32 MiB, the largest it adapts to, were freed
_OF_THE_USER = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
_KEPT = threading.Lock()  # held by the first that asks: a test within a training asks again


def kept_memory(device: torch.device) -> AbstractContextManager[None]:
    """Keeps what tensors on the CPU leave free for the next ones, for the length of a ``with`` block.

    What lies free afterwards goes back to the kernel. Within another such block nothing is done, nor on other devices,
    under another C library, or where the environment sets glibc's malloc.
    """
    return _malloc(device, {_M_MMAP_MAX: _NO_BLOCKS, _M_TRIM_THRESHOLD: _NEVER})


def spared_memory(device: torch.device) -> AbstractContextManager[None]:
    """Gives what tensors on the CPU leave free back at once, in a ``with`` block; else as :func:`kept_memory`."""
    return _malloc(device, {_M_MMAP_THRESHOLD: _SPARED})


@contextmanager
def _malloc(device: torch.device, options: Mapping[int, int]) -> Iterator[None]:
    libc = ctypes.CDLL(None)
    is_ours = device.type == "cpu" and hasattr(libc, "malloc_trim") and not _is_set_by_user()
    if not is_ours or not _KEPT.acquire(blocking=False):
        yield
        return
    try:
        for option, value in options.items():
            libc.mallopt(option, value)
        yield
    finally:
        _as_glibc_has_it()
        if _M_MMAP_THRESHOLD in options:
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        give_free_memory_back()
        _KEPT.release()


def _as_glibc_has_it() -> None:
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, _MOST_BLOCKS)
    libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD)


# A worker that reads images keeps none of their memory.
os.register_at_fork(after_in_child=lambda: _as_glibc_has_it() if _KEPT.locked() else None)


def give_free_memory_back() -> None:
    """Gives the kernel what glibc holds free: after reading CIFAR-10, 130 MiB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


@contextmanager
def from_free_memory(device: torch.device) -> Iterator[None]:
    """Gives a CPU's free memory back before a ``with`` block and behind it: for work whose blocks have other sizes.

    Steps fit into what steps left free, and tests into what tests did; one after the other they would add up.
    """
    is_kept = device.type == "cpu"
    if is_kept:
        give_free_memory_back()
    try:
        yield
    finally:
        if is_kept:
            give_free_memory_back()


def _is_set_by_user() -> bool:
    return any(name in os.environ for name in _OF_THE_USER) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
