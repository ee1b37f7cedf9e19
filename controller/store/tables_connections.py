"""Tables of the connection log and of the proof of enforcement: what agents reported. None of it is part of the event log.

Times ``*_ms`` are Unix milliseconds.
"""

from typing import Final

import sqlalchemy as sa

from controller.store.tables import METADATA

CONNECTIONS: Final = sa.Table(
    "connections",
    METADATA,
    # Both numbers are taken from COUNTERS in the writing transaction, so that they commit in their order: ``id`` is the
    # place in pages and stays, ``seq`` moves when the record changes and is what sinks follow.
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False, unique=True),
    sa.Column("flow", sa.Text, nullable=False),
    sa.Column("reporter", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=True),
    sa.Column("network", sa.Text, nullable=True),
    sa.Column("connector", sa.Text, nullable=True),
    sa.Column("relay", sa.Text, nullable=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=True),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sa.Column("ended_ms", sa.BigInteger, nullable=True),
    sa.Column("bytes_up", sa.BigInteger, nullable=False),
    sa.Column("bytes_down", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.Text, nullable=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("grants", sa.Text, nullable=False),
    # In what the other side's record of the flow contradicts this one; empty for nearly all.
    sa.Column("differs", sa.Text, nullable=False, server_default=""),
    # A resent record is the same one; a flow id used again (a hostile client names them) is another one.
    sa.UniqueConstraint("flow", "reporter", "agent", "started_ms"),
    sa.Index(None, "token"),
    sa.Index(None, "device", "id"),
    sa.Index(None, "user", "id"),
    sa.Index(None, "resource", "id"),
    sa.Index(None, "ended_ms"),
    sa.Index(
        "ix_connections_open",
        "agent",
        "id",
        sqlite_where=sa.text("ended_ms IS NULL"),
        postgresql_where=sa.text("ended_ms IS NULL"),
    ),
    sa.Index(
        "ix_connections_denied",
        "id",
        sqlite_where=sa.text("outcome <> 'normal'"),
        postgresql_where=sa.text("outcome <> 'normal'"),
    ),
    sa.Index(
        "ix_connections_differs",
        "id",
        sqlite_where=sa.text("differs <> ''"),
        postgresql_where=sa.text("differs <> ''"),
    ),
)

COUNTERS: Final = sa.Table(
    "counters",
    METADATA,
    # A row that a transaction counted up is locked until it commits: numbers become visible in their order (D6).
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

ENFORCEMENT_ACKS: Final = sa.Table(
    "enforcement_acks",
    METADATA,
    # Who said when for the first time that it enforces a revision, with the digest of the token that says what that is.
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Index(None, "at_ms"),
)

AGENT_CONTACTS: Final = sa.Table(
    "agent_contacts",
    METADATA,
    # When an agent was heard last, at whichever replica; of one that is attached it may be some seconds old.
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("heard_ms", sa.BigInteger, nullable=False),
)

SINKS: Final = sa.Table(
    "sinks",
    METADATA,
    # Where records are sent to. Its credential is sealed in SECRETS; the cursors move only behind what was taken.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("ca_pem", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("connections_seq", sa.BigInteger, nullable=False),
    sa.Column("events_position", sa.BigInteger, nullable=False),
    sa.Column("delivered", sa.BigInteger, nullable=False),
    sa.Column("delivered_ms", sa.BigInteger, nullable=True),
    sa.Column("failing_ms", sa.BigInteger, nullable=True),
    sa.Column("failure", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
