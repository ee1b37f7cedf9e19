"""A SQLite database with the newest schema and nothing in it: the migrations run once for all tests of a process."""

import functools
import tempfile
from pathlib import Path

from controller.store import schema


def make_database(path: Path) -> str:
    """Writes the database to ``path`` and returns its URL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_template())
    return f"sqlite:///{path}"


@functools.cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "controller.db"
        schema.upgrade(f"sqlite:///{path}")
        assert [each.name for each in Path(folder).iterdir()] == [path.name], "nothing waits in a log beside it"
        return path.read_bytes()
