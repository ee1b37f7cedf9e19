"""The database's schema version: refuse the wrong one, upgrade on request (alembic).

Alembic is loaded where it has work to do: every start of a controller asks for the version, and waits for what is imported.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

import migrations
from controller.store.engine import connect_arguments, is_sqlite, parse_url, sync_url
from protocol.errors import LocalError
from protocol.reasons import Reason

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS: Final = Path(migrations.__file__).parent
_VERSION_TABLE: Final = "alembic_version"
_NUMBER: Final = 4
"""Digits with which a migration's file name begins: its revision."""


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database to a schema revision; creates it when it is empty. Blocking: for the CLI and tests."""
    from alembic import command

    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to an earlier schema revision."""
    from alembic import command

    _run(url, lambda config: command.downgrade(config, revision))


def check(url: str) -> None:
    """Raises alembic's CommandError when tables and migrations differ."""
    from alembic import command

    _run(url, command.check)


def head_revision() -> str:
    """Returns the newest revision that this code knows."""
    return max(known_revisions())


def known_revisions() -> frozenset[str]:
    """Returns every revision that this code can upgrade from."""
    return frozenset(path.name[:_NUMBER] for path in (_SCRIPTS / "versions").glob("[0-9]*_*.py"))


def current_revision(connection: sa.Connection) -> str | None:
    """Returns the revision that the database says it has; None for an empty database."""
    if not sa.inspect(connection).has_table(_VERSION_TABLE):
        return None
    versions = sa.table(_VERSION_TABLE, sa.column("version_num", sa.Text()))
    return connection.execute(sa.select(versions.c.version_num)).scalar_one_or_none()


def require_current(connection: sa.Connection) -> None:
    """Refuses a database of another version.

    Raises:
        LocalError: SCHEMA_OLDER (or empty), or SCHEMA_NEWER when its revision is unknown to this code.
    """
    current = current_revision(connection)
    if current == head_revision():
        return
    if current is None:
        raise LocalError(Reason.SCHEMA_OLDER, "the database has no tables")
    reason = Reason.SCHEMA_OLDER if current in known_revisions() else Reason.SCHEMA_NEWER
    raise LocalError(reason, f"its schema is {current}, this version needs {head_revision()}")


def _run(url: str, step: "Callable[[Config], None]") -> None:
    from alembic.config import Config

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
