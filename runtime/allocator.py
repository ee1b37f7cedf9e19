"""Keeps glibc from giving memory back to the kernel between two batches of bulk data.

A batch is a handful of buffers of 256 KiB that live for a millisecond. With glibc's defaults each of them is trimmed off the
heap and faulted in again: 320,000 page faults per gigabyte in a relay, a third of its CPU time. With these settings the
process keeps up to KEEP_BYTES of free memory.
"""

import ctypes
from typing import Final

KEEP_BYTES: Final = 32 * 1024 * 1024
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_TOP_PAD_BYTES: Final = 1024 * 1024
_MMAP_BYTES: Final = 8 * 1024 * 1024


def tune_for_bulk() -> bool:
    """Sets mallopt(3) for this process; returns False where there is no glibc (musl needs nothing of the kind)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_M_TRIM_THRESHOLD, KEEP_BYTES), (_M_TOP_PAD, _TOP_PAD_BYTES), (_M_MMAP_THRESHOLD, _MMAP_BYTES))
    outcomes = [mallopt(option, value) for option, value in settings]
    return all(outcome == 1 for outcome in outcomes)
