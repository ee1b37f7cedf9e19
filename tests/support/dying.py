"""A process that dies by SIGKILL in the middle of a backup or a restore: ``dying.py backup|restore URL FILE AFTER_ROWS``."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controller.store import backup, restoring


def _main(deed: str, url: str, path: Path, after: int) -> None:
    left = [after]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if deed == "backup":
        line = backup._Writer.line

        def counted(self: Any, value: object) -> None:
            count()
            line(self, value)

        backup._Writer.line = counted  # type: ignore[method-assign]
        asyncio.run(backup.write(url, path, now=1.0))
        return
    manifest = backup.inspect(path)

    def lines(source: Path) -> Iterator[Any]:
        for item in backup.read(source):
            count()
            yield item

    restoring.read = lines  # type: ignore[attr-defined]
    restoring.BATCH = 1  # type: ignore[misc]
    restoring.restore(url, path, manifest, now=2.0)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
