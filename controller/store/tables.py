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
    sa.Column("authenticated_s", sa.Double, nullable=True),
    sa.Column("mfa_s", sa.Double, nullable=True),
    sa.Column("method", sa.Text, nullable=True),
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
    sa.Column("authenticated_s", sa.Double, nullable=True),
    sa.Column("mfa_s", sa.Double, nullable=True),
    sa.Column("method", sa.Text, nullable=True),
    sa.Index(None, "user"),
)

SECOND_FACTORS: Final = sa.Table(
    "second_factors",
    METADATA,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("confirmed_at", sa.Double, nullable=True),
    sa.Column("last_step", sa.BigInteger, nullable=True),
)

RECOVERY_CODES: Final = sa.Table(
    "recovery_codes",
    METADATA,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
)

IDENTITIES: Final = sa.Table(
    "identities",
    METADATA,
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=True),
    sa.Index(None, "user"),
)

API_TOKENS: Final = sa.Table(
    "api_tokens",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("last_used_at", sa.Double, nullable=True),
    sa.Column("revoked_at", sa.Double, nullable=True),
    sa.Index(None, "owner"),
)

SECRETS: Final = sa.Table(
    "secrets",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
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

ACCESS_REQUEST_TEXTS: Final = sa.Table(
    "access_request_texts",
    METADATA,
    sa.Column("request", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Index(None, "user"),
    sa.Index(None, "created_at"),
)
