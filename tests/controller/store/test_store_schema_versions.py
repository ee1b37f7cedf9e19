"""What the code says of its migrations without loading alembic is what alembic says."""

import subprocess
import sys
from pathlib import Path

from alembic.script import ScriptDirectory

import migrations
from controller.store import schema

SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))


def test_the_newest_revision_is_alembics_head() -> None:
    assert schema.head_revision() == SCRIPTS.get_current_head()


def test_the_known_revisions_are_alembics() -> None:
    assert schema.known_revisions() == {script.revision for script in SCRIPTS.walk_revisions()}


def test_a_controller_over_sqlite_starts_without_what_it_does_not_use() -> None:
    """Each of these costs a start a tenth of a second and more, and a restart keeps everybody waiting."""
    unused = {"alembic", "authlib", "joserfc", "psycopg"}
    code = f"import sys, controller.cli.serve; print(*sorted({unused} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []
