"""What the C library does with freed memory."""

from __future__ import annotations

import ctypes
import platform

# The parameters of mallopt(3), and their largest values.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1
_LARGEST = 32 * 2**20  # mallopt takes no more: HEAP_MAX_SIZE / 2


def keep_freed_memory() -> None:
    """Has glibc keep what is freed, for this process. By itself it gives memory at the top of the
    heap back and asks for it again, a page fault for every 4 KiB: up to 900 a step of a small
    model, or none, by what happens to lie above. That is as much as the step, and the same for
    whoever computes it."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((_TRIM_THRESHOLD, _NEVER), (_MMAP_THRESHOLD, _LARGEST)):
        if libc.mallopt(parameter, value) != 1:
            raise OSError("mallopt refused a parameter")
