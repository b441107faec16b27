"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's `mallopt`."""

LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, if its C library is glibc.

    By default glibc gives every large block back to the kernel, which hands it out again page by page, each
    filled with zeros: a training step frees and takes hundreds of megabytes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, LARGEST)
        mallopt(MMAP_THRESHOLD, LARGEST)
