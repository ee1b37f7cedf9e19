"""`db upgrade|downgrade|current|check`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError, OperationalError

from controller.cli.options import load_settings
from controller.settings import Settings
from controller.store import schema
from controller.store.engine import parse_url, sync_url
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import exit_on_error, print_json, print_lines


def upgrade(config: Path | None, revision: str, *, as_json: bool) -> None:
    """Brings the schema up."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        upgrade_schema(settings.effective_database_url, revision)
        _show(settings, as_json=as_json)


def downgrade(config: Path | None, revision: str, *, as_json: bool) -> None:
    """Takes the schema back."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        settings.require_database()
        with named_errors():
            schema.downgrade(settings.effective_database_url, revision)
        _show(settings, as_json=as_json)


def current(config: Path | None, *, as_json: bool) -> None:
    """Shows the schema's revision."""
    with exit_on_error(as_json=as_json):
        _show(load_settings(config), as_json=as_json)


def check(config: Path | None, *, as_json: bool) -> None:
    """Compares tables and code; exit code 1 when they differ."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        settings.require_database()
        url = settings.effective_database_url
        with _connected(url) as connection:
            schema.require_current(connection)
        with named_errors():
            schema.check(url)
        if as_json:
            print_json({"ok": True})
        else:
            print_lines("The tables are what this version expects.")


def upgrade_schema(url: str, revision: str = "head") -> None:
    """Brings the database to ``revision``. Raises LocalError: SCHEMA_NEWER, UNAVAILABLE, CONFIG_INVALID."""
    with named_errors():
        schema.upgrade(url, revision)


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """Gives what alembic and the database say a reason."""
    try:
        yield
    except CommandError as exc:
        text = str(exc)
        if text.startswith("Can't locate revision"):
            raise LocalError(Reason.SCHEMA_NEWER, text) from exc
        raise LocalError(Reason.CONFLICT, text) from exc
    except (OperationalError, DBAPIError) as exc:
        raise LocalError(Reason.UNAVAILABLE, f"database: {_first_line(exc)}") from exc


@contextlib.contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(sync_url(parse_url(url)), poolclass=sa.NullPool)
    try:
        with named_errors(), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _show(settings: Settings, *, as_json: bool) -> None:
    revision: str | None = None
    if settings.has_database:
        with _connected(settings.effective_database_url) as connection:
            revision = schema.current_revision(connection)
    head = schema.head_revision()
    if as_json:
        print_json({"ok": True, "current": revision, "head": head, "up_to_date": revision == head})
        return
    print_lines(f"schema   {revision or 'none'}", f"needed   {head}")
    if revision != head:
        print_lines("next: ostiary-controller db upgrade")


def _first_line(exc: DBAPIError) -> str:
    lines = str(exc.orig).strip().splitlines()
    return lines[0] if lines else type(exc.orig).__name__
