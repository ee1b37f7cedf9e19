"""The limit of open files of this process: each open connection is one (F-28)."""

import resource
from typing import Final

WANTED: Final = 65_536


def raise_limit(wanted: int = WANTED) -> int:
    """Raises the soft limit as far as the hard one permits, up to ``wanted``; returns the limit that is in force.

    The usual soft limit of 1,024 would be the first thing to run out. A service manager sets the hard one
    (``LimitNOFILE=``); it is never lowered here.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        return possible
    return soft
