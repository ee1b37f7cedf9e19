"""Database URLs."""

from pathlib import Path

import pytest
from log_checks import audit

from controller.store import Store
from controller.store.engine import is_sqlite, parse_url, sync_url
from protocol.errors import LocalError
from protocol.reasons import Reason


def test_each_database_gets_its_driver() -> None:
    sqlite = parse_url("sqlite:////var/lib/x.db")
    assert (sqlite.drivername, sqlite.database) == ("sqlite+aiosqlite", "/var/lib/x.db")
    assert is_sqlite(sqlite)
    assert sync_url(sqlite).drivername == "sqlite"
    postgresql = parse_url("postgresql://me:secret@db/x")
    assert postgresql.drivername == "postgresql+psycopg"
    assert not is_sqlite(postgresql)
    assert sync_url(postgresql).password == "secret"


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_t11_what_cannot_be_opened_is_named_without_its_password(url: str) -> None:
    with pytest.raises(LocalError) as failed:
        parse_url(url)
    assert failed.value.reason is Reason.CONFIG_INVALID
    assert "database_url" in failed.value.detail


def test_t11_a_broken_url_with_a_password_is_not_repeated() -> None:
    with pytest.raises(LocalError) as failed:
        parse_url("postgresql://me:hunter2@db:port/x")
    assert "hunter2" not in str(failed.value)


async def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for path in (tmp_path / "x.db", tmp_path / "no" / "x.db", tmp_path):
        for opening in (Store.open(f"sqlite:///{path}"), audit(f"sqlite:///{path}")):
            with pytest.raises(LocalError) as failed:
                await opening
            assert failed.value.reason is Reason.SCHEMA_OLDER
    assert list(tmp_path.iterdir()) == []


async def test_a_database_that_is_not_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.db"
    path.touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(LocalError) as failed:
        await Store.open(f"sqlite:///{path}")
    assert failed.value.reason is Reason.PERMISSION_DENIED
    assert str(path) in failed.value.detail
