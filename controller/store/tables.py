"""The tables. Only this package and ``migrations`` know them.

``events`` is append-only: triggers made by the migration refuse UPDATE and DELETE (T-70). ``data`` is text, not JSON,
because its exact characters are hashed. Times ``*_ms`` are Unix milliseconds; other times are Unix seconds.
"""

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

EVENTS: Final = sa.Table(
    "events",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.UniqueConstraint("stream", "version"),
    sa.Index(None, "type"),
    sa.Index(None, "actor"),
)

PERSONAL_DATA: Final = sa.Table(
    "personal_data",
    METADATA,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=True, unique=True),
    sa.Column("fields", sa.Text, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)

CREDENTIALS: Final = sa.Table(
    "credentials",
    METADATA,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)

ENROLMENTS: Final = sa.Table(
    "enrolments",
    METADATA,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("spent_at", sa.Double, nullable=True),
    sa.Index(None, "target"),
)

DEVICE_CODES: Final = sa.Table(
    "device_codes",
    METADATA,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("user_code", sa.Text, nullable=False, unique=True),
    sa.Column("jwk", sa.Text, nullable=False),
    sa.Column("device_name", sa.Text, nullable=False),
    sa.Column("platform", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=True),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("interval_s", sa.Double, nullable=False),
    sa.Column("last_poll", sa.Double, nullable=True),
    sa.Index(None, "expires"),
)

WEB_SESSIONS: Final = sa.Table(
    "web_sessions",
    METADATA,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("revoked_at", sa.Double, nullable=True),
    sa.Index(None, "user"),
)

SECRETS: Final = sa.Table(
    "secrets",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)

CONNECTION_RECORDS: Final = sa.Table(
    "connection_records",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("flow", sa.Text, nullable=False),
    sa.Column("reporter", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=True),
    sa.Column("network", sa.Text, nullable=True),
    sa.Column("connector", sa.Text, nullable=True),
    sa.Column("relay", sa.Text, nullable=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=True),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("ended_ms", sa.BigInteger, nullable=False),
    sa.Column("bytes_up", sa.BigInteger, nullable=False),
    sa.Column("bytes_down", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("grants", sa.Text, nullable=False),
    # A resent record is the same one; a flow id used again (a hostile client names them) is another one.
    sa.UniqueConstraint("flow", "reporter", "agent", "started_ms"),
    sa.Index(None, "device"),
    sa.Index(None, "user"),
    sa.Index(None, "resource"),
    sa.Index(None, "ended_ms"),
)

IDEMPOTENCY: Final = sa.Table(
    "idempotency",
    METADATA,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request_hash", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Index(None, "created_at"),
)
