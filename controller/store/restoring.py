"""Puts a backup into an empty database: all of it in one transaction, or nothing (F-26).

Afterwards the database waits: ``Store.open`` refuses it until its epoch was raised, because agents have seen more than it
knows and must not be fed an older policy as if nothing had happened (D8, T-8).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from controller.store import schema
from controller.store.backup import BATCH, LEFT_OUT, VERSION_TABLE, Manifest, read
from controller.store.engine import is_sqlite, parse_url, sync_url
from controller.store.restores import Restore
from controller.store.store import reachable
from protocol.errors import LocalError
from protocol.reasons import Reason

_SEEDED: Final = frozenset({"counters"})
"""Tables into which the migrations put rows; those of the backup take their place."""


def restore(url: str, path: Path, manifest: Manifest, *, now: float) -> None:
    """Fills an empty database with a backup that ``backup.inspect`` found whole. Blocking: for the command line.

    Raises:
        LocalError: IN_USE when the database is not empty, SCHEMA_NEWER, BACKUP_INVALID, UNAVAILABLE, CONFIG_INVALID.
    """
    parsed = parse_url(url)
    if manifest.schema not in schema.known_revisions():
        raise LocalError(Reason.SCHEMA_NEWER, f"the backup's schema is {manifest.schema}")
    if is_sqlite(parsed) and parsed.database is not None:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(sync_url(parsed), poolclass=sa.NullPool)
    try:
        with reachable():
            with engine.connect() as connection:
                _require_empty(connection)
                present = schema.current_revision(connection)
            if present not in (None, manifest.schema):
                schema.downgrade(url, "base")
            schema.upgrade(url, manifest.schema)
            with engine.begin() as connection:
                # Again, under the transaction that fills it.
                _require_empty(connection)
                _fill(connection, path)
                entry = Restore(now, manifest.made_at, manifest.position, manifest.log_head, manifest.epoch)
                table = _reflected(connection, "restores")
                connection.execute(sa.insert(table), {name: getattr(entry, name) for name in Restore.__slots__})
            schema.upgrade(url)
    finally:
        engine.dispose()


def _fill(connection: sa.Connection, path: Path) -> None:
    for name, columns, rows in _tables(path):
        if name in LEFT_OUT:
            continue
        table = _reflected(connection, name)
        if unknown := set(columns) - set(table.columns.keys()):
            raise LocalError(Reason.BACKUP_INVALID, f"{path}: table {name} has no {', '.join(sorted(unknown))}")
        if name in _SEEDED:
            connection.execute(sa.delete(table))
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(dict(zip(columns, row, strict=True)))
            if len(batch) >= BATCH:
                connection.execute(sa.insert(table), batch)
                batch = []
        if batch:
            connection.execute(sa.insert(table), batch)
        _advance_sequence(connection, table)


def _tables(path: Path) -> Iterator[tuple[str, list[str], list[list[Any]] | Iterator[list[Any]]]]:
    """Yields name, columns and rows of each table; the rows must be taken before the next table is asked for."""
    lines = read(path)
    waiting: list[Any] = []

    def rows() -> Iterator[list[Any]]:
        for line in lines:
            if isinstance(line, list):
                yield line
            else:
                waiting.append(line)
                return

    for line in lines:
        current = line
        while isinstance(current, dict) and current.get("kind") == "table":
            yield str(current["name"]), list(current["columns"]), rows()
            current = waiting.pop() if waiting else None


def _require_empty(connection: sa.Connection) -> None:
    inspector = sa.inspect(connection)
    for name in inspector.get_table_names():
        if name == VERSION_TABLE or name in _SEEDED:
            continue
        if connection.execute(sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)).first() is not None:
            raise LocalError(Reason.IN_USE, f"the database is not empty: table {name} has rows")


def _reflected(connection: sa.Connection, name: str) -> sa.Table:
    """The table as the database has it: the backup may be older than this code's tables."""
    try:
        return sa.Table(name, sa.MetaData(), autoload_with=connection)
    except sa.exc.NoSuchTableError as exc:
        raise LocalError(Reason.BACKUP_INVALID, f"its schema has no table {name}") from exc


def _advance_sequence(connection: sa.Connection, table: sa.Table) -> None:
    """PostgreSQL hands out ids by a sequence that does not see the ids that were brought along."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        serial = sa.select(sa.func.pg_get_serial_sequence(sa.literal(f'"{table.name}"'), column.name))
        sequence = connection.execute(serial).scalar_one_or_none()
        if sequence is not None:
            top = sa.select(sa.func.coalesce(sa.func.max(column), 0)).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, top + 1, False)))
