"""The allocator's settings take effect, or are left alone where there is no glibc."""

import ctypes
import subprocess
import sys

import pytest

from runtime.allocator import tune_for_bulk

FAULTS = """
import resource, sys
from runtime.allocator import tune_for_bulk
if sys.argv[1] == "tuned":
    assert tune_for_bulk()
for _ in range(50):
    bytearray(256 * 1024)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(400):
    pieces = [bytearray(256 * 1024) for _ in range(8)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


def test_batches_of_large_buffers_are_not_faulted_in_again_and_again() -> None:
    assert faults("tuned") < 2_000
    assert faults("tuned") < faults("as it is") / 10


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not tune_for_bulk()
