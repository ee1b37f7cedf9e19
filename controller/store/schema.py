"""The database's schema version: refuse the wrong one, upgrade on request (alembic)."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from controller.store.engine import connect_arguments, is_sqlite, parse_url, sync_url
from protocol.errors import LocalError
from protocol.reasons import Reason

_SCRIPTS: Final = Path(migrations.__file__).parent


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database to a schema revision; creates it when it is empty. Blocking: for the CLI and tests."""
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to an earlier schema revision."""
    _run(url, lambda config: command.downgrade(config, revision))


def check(url: str) -> None:
    """Raises alembic's CommandError when tables and migrations differ."""
    _run(url, command.check)


def head_revision() -> str:
    """Returns the newest revision that this code knows."""
    head = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    assert head is not None
    return head


def known_revisions() -> frozenset[str]:
    """Returns every revision that this code can upgrade from."""
    return frozenset(script.revision for script in ScriptDirectory(str(_SCRIPTS)).walk_revisions())


def current_revision(connection: sa.Connection) -> str | None:
    """Returns the revision that the database says it has; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def require_current(connection: sa.Connection) -> None:
    """Refuses a database of another version.

    Raises:
        LocalError: SCHEMA_OLDER (or empty), or SCHEMA_NEWER when its revision is unknown to this code.
    """
    current = current_revision(connection)
    scripts = ScriptDirectory(str(_SCRIPTS))
    if current == scripts.get_current_head():
        return
    if current is None:
        raise LocalError(Reason.SCHEMA_OLDER, "the database has no tables")
    reason = Reason.SCHEMA_OLDER if current in known_revisions() else Reason.SCHEMA_NEWER
    raise LocalError(reason, f"its schema is {current}, this version needs {scripts.get_current_head()}")


def _run(url: str, step: Callable[[Config], None]) -> None:
    parsed = parse_url(url)
    if is_sqlite(parsed) and parsed.database is not None:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    arguments = {} if is_sqlite(parsed) else connect_arguments(parsed)
    engine = sa.create_engine(sync_url(parsed), poolclass=sa.NullPool, connect_args=arguments)
    # Its own remarks (`check`) are not our caller's output.
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            step(config)
            connection.commit()
    finally:
        engine.dispose()
