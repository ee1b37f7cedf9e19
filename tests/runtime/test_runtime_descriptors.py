"""The limit of open files."""

import subprocess
import sys

SCRIPT = """
import resource, sys
from runtime.descriptors import raise_limit
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_limit(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits(soft: int, hard: int, wanted: int) -> list[int]:
    """In a process of its own: a hard limit that was lowered stays low."""
    command = [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(wanted)]
    return [int(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def test_f28_the_soft_limit_is_raised_as_far_as_it_may() -> None:
    assert limits(64, 512, 256) == [256, 256, 512]
    assert limits(64, 128, 256) == [128, 128, 128]


def test_f28_a_limit_that_suffices_is_left_alone() -> None:
    assert limits(300, 512, 256) == [300, 300, 512]
