"""The memory of a CPU's tensors, kept from one step to the next. Floor 5.

glibc returns a big block to the kernel as soon as it is free, and the kernel clears the pages of the next one: every
activation of every step pays for that. Kept, the same blocks serve every step; ``docs/benchmarks.md`` says what that
gains and costs. A GPU's memory has PyTorch's own caching allocator.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# From malloc.h (https://man7.org/linux/man-pages/man3/mallopt.3.html).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER, _NO_BLOCKS = -1, 0
_MOST_BLOCKS = 65_536  # glibc's default
_LARGEST_TRIM_THRESHOLD = 64 << 20  # what glibc's own rises to once 32 MiB, the largest it adapts to, were freed
_OF_THE_USER = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")


@dataclass
class _Holders:
    """How many ``with`` blocks hold the memory: a test within a training is one in another."""

    count: int = 0


_HOLDERS = _Holders()


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Keeps what tensors on the CPU leave free for the next ones, for the length of a ``with`` block.

    What lies free before, as after reading the data (130 MiB of CIFAR-10's), and what lies free afterwards goes back to
    the kernel. Nothing is done on other devices, under another C library, or where the environment sets glibc's malloc.
    """
    libc = ctypes.CDLL(None)
    if device.type != "cpu" or not hasattr(libc, "malloc_trim") or _is_set_by_user():
        yield
        return
    if not _HOLDERS.count:
        libc.malloc_trim(0)
        libc.mallopt(_M_MMAP_MAX, _NO_BLOCKS)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    _HOLDERS.count += 1
    try:
        yield
    finally:
        _HOLDERS.count -= 1
        if not _HOLDERS.count:
            libc.mallopt(_M_MMAP_MAX, _MOST_BLOCKS)
            libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD)
            libc.malloc_trim(0)


def _is_set_by_user() -> bool:
    return any(name in os.environ for name in _OF_THE_USER) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
