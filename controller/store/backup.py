"""A backup: every table of the database as of one moment, in one file, taken while the controller works (F-25, F-26).

The form is our own and the same for both databases, so that a backup moves from SQLite to PostgreSQL and back; a copy of
SQLite's pages would also take along what was erased. It is gzip over lines of JSON: a header, for each table its columns
and its rows, and an end with the digest of all lines before. Private keys in it are sealed with the master secret, which
is never in it.

What only the running system means, or what would come back to life (LEFT_OUT), stays out: after a restore people sign in
again and unspent enrolment tokens are void.
"""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store import schema
from controller.store.chain import GENESIS
from controller.store.engine import is_sqlite, make_engine, parse_url, require_file
from controller.store.evidence import FORMAT as EVENTS_FORMAT
from controller.store.evidence import Audit, Report
from controller.store.store import reachable
from controller.store.tables import EVENTS
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import os_error

FORMAT: Final = "ostiary-backup/1"
VERSION_TABLE: Final = "alembic_version"
BATCH: Final = 1_000
LINE_MAX: Final = 64 * 1024 * 1024
LEFT_OUT: Final = frozenset(
    {
        "agent_contacts",  # who was last seen by whom
        "agent_presence",
        "asked_tests",
        "device_codes",  # sign-ins in progress
        "enforcement_acks",  # what agents enforced then
        "enrolments",  # one may have been spent since
        "folds",  # a cache of the log
        "idempotency",
        "plans",  # proposals about a policy that is not this one
        "replicas",
        "spent_assertions",
        "spent_challenges",
        "web_sessions",  # one may have been ended since
    }
)
"""Tables that no backup holds."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself, after it was read to its end."""

    schema: str
    made_at: float
    position: int
    log_head: str
    epoch: int
    rows: dict[str, int]
    sealed_ca: bytes | None
    report: Report


async def write(url: str, target: Path, *, now: float) -> None:
    """Writes a backup of the database into a new file of its owner; the file appears when it is complete.

    Raises:
        LocalError: ALREADY_EXISTS, PERMISSION_DENIED, LIMIT_EXCEEDED (disk full), and those of ``Store.open``.
    """
    parsed = parse_url(url)
    require_file(parsed)
    engine = make_engine(parsed)
    try:
        with reachable(), _new_file(target) as stream:
            async with engine.connect() as plain:
                # One moment for all tables: SQLite's readers have a snapshot anyway.
                connection = (
                    plain if is_sqlite(parsed) else await plain.execution_options(isolation_level="REPEATABLE READ")
                )
                revision = await connection.run_sync(_current_schema)
                await _write_tables(connection, _Writer(stream), revision, now)
    finally:
        await engine.dispose()


def inspect(path: Path) -> Manifest:
    """Reads a whole backup: its digest, its tables, and the log in it with hash chain and checkpoints.

    Raises:
        LocalError: BACKUP_INVALID naming what is wrong; NOT_FOUND, PERMISSION_DENIED.
    """
    audit = Audit()
    rows: dict[str, int] = {}
    sealed: bytes | None = None
    table, columns, header = "", (), {}
    pending: list[dict[str, Any]] = []
    for line in read(path):
        match line:
            case {"kind": "header"}:
                header = line
                audit.take({"kind": "header", "format": EVENTS_FORMAT, "events": line["events"]})
            case {"kind": "table"}:
                table, columns = str(line["name"]), tuple(line["columns"])
                rows[table] = 0
            case list():
                rows[table] += 1
                record = dict(zip(columns, line, strict=True))
                if table == "events":
                    audit.take({"kind": "event", **record})
                elif table == "checkpoints":
                    pending.append({"kind": "checkpoint", **record})
                elif table == "secrets" and record["name"] == "ca":
                    sealed = record["sealed"]
    # A checkpoint is judged by the keys that the log had at its position.
    for checkpoint in pending:
        audit.take(checkpoint)
    audit.take({"kind": "end"})
    report = audit.finish()
    if report.faults:
        first = report.faults[0]
        raise LocalError(Reason.BACKUP_INVALID, f"{path}: event {first.position}: {first.kind}: {first.detail}")
    if report.log_head != header["log_head"]:
        raise LocalError(Reason.BACKUP_INVALID, f"{path}: its log is not the one that it promises")
    return Manifest(
        str(header["schema"]),
        float(header["made_at"]),
        int(header["events"]),
        report.log_head,
        int(header["epoch"]),
        rows,
        sealed,
        report,
    )


def read(path: Path) -> Iterator[Any]:
    """Reads the lines of a backup but for its end, which is checked: header and tables as objects, rows as lists.

    Raises:
        LocalError: BACKUP_INVALID when it is damaged, cut off or no backup; NOT_FOUND, PERMISSION_DENIED.
    """
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as stream:
            first = True
            while text := stream.readline(LINE_MAX):
                value = json.loads(text, object_hook=_unpacked)
                if first and (not isinstance(value, dict) or value.get("format") != FORMAT):
                    raise LocalError(Reason.BACKUP_INVALID, f"{path} is no backup of format {FORMAT}")
                first = False
                if isinstance(value, dict) and value.get("kind") == "end":
                    if value["sha256"] != digest.hexdigest() or stream.read(1):
                        raise LocalError(Reason.BACKUP_INVALID, f"{path} was changed after it was written")
                    return
                digest.update(text)
                yield value
    except OSError as exc:
        if isinstance(exc, gzip.BadGzipFile):
            raise LocalError(Reason.BACKUP_INVALID, f"{path} is no backup") from exc
        raise os_error(exc, path) from exc
    except (EOFError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise LocalError(Reason.BACKUP_INVALID, f"{path} is damaged or was cut off") from exc
    raise LocalError(Reason.BACKUP_INVALID, f"{path} was cut off")


class _Writer:
    """Lines with a running digest."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def line(self, value: object) -> None:
        """Writes one line."""
        text = json.dumps(value, default=_packed, separators=(",", ":"), ensure_ascii=False) + "\n"
        self._digest.update(text.encode())
        self._stream.write(text)

    def end(self) -> None:
        """Writes the digest of everything before."""
        self._stream.write(json.dumps({"kind": "end", "sha256": self._digest.hexdigest()}) + "\n")


async def _write_tables(connection: AsyncConnection, writer: _Writer, revision: str, now: float) -> None:
    newest = sa.select(EVENTS.c.position, EVENTS.c.hash).order_by(EVENTS.c.position.desc()).limit(1)
    found = (await connection.execute(newest)).one_or_none()
    position, log_head = (found[0], found[1]) if found is not None else (0, GENESIS)
    head = {"kind": "header", "format": FORMAT, "schema": revision, "made_at": now}
    writer.line({**head, "events": position, "log_head": log_head, "epoch": await _epoch(connection)})
    for table in await connection.run_sync(tables_of):
        if table.name in LEFT_OUT:
            continue
        writer.line({"kind": "table", "name": table.name, "columns": [column.name for column in table.columns]})
        query = sa.select(table).order_by(*table.primary_key.columns)
        async for row in await connection.stream(query, execution_options={"yield_per": BATCH}):
            writer.line(list(row))
    writer.end()


def tables_of(connection: sa.Connection) -> list[sa.Table]:
    """Returns the tables that the database really has, by name; whatever this code knows of them."""
    found = sa.MetaData()
    found.reflect(connection)
    return [table for _, table in sorted(found.tables.items()) if table.name != VERSION_TABLE]


async def _epoch(connection: AsyncConnection) -> int:
    kinds = ("controller.initialised/1", "controller.epoch_raised/1")
    query = sa.select(EVENTS.c.data).where(EVENTS.c.type.in_(kinds)).order_by(EVENTS.c.position.desc()).limit(1)
    data = (await connection.execute(query)).scalar_one_or_none()
    try:
        return int(json.loads(data)["epoch"]) if data is not None else 0
    except (ValueError, KeyError, TypeError):
        return 0


def _current_schema(connection: sa.Connection) -> str:
    schema.require_current(connection)
    revision = schema.current_revision(connection)
    assert revision is not None
    return revision


@contextmanager
def _new_file(target: Path) -> Iterator[TextIO]:
    """A file that takes its name when it is complete and on the disk; of an interrupted one nothing is left."""
    if target.exists():
        raise LocalError(Reason.ALREADY_EXISTS, f"{target} is there and is not overwritten")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as raw:
                with gzip.open(raw, "wt", encoding="utf-8", compresslevel=6) as stream:
                    yield stream
                raw.flush()
                os.fsync(raw.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise os_error(exc, target) from exc


def _packed(value: object) -> object:
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    raise TypeError(f"a backup has no form for {type(value).__name__}")


def _unpacked(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"], validate=True) if value.keys() == {"base64"} else value
