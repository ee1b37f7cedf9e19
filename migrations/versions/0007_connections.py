"""Connections: open ones, and numbers that commit in their order."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OLD = (
    'flow, reporter, agent, device, "user", resource, network, connector, relay, host, address, transport, port, '
    "started_ms, ended_ms, bytes_up, bytes_down, outcome, revision, grants"
)


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("reporter", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("connector", sa.Text(), nullable=True),
        sa.Column("relay", sa.Text(), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("transport", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("bytes_up", sa.BigInteger(), nullable=False),
        sa.Column("bytes_down", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connections")),
        sa.UniqueConstraint("seq", name=op.f("uq_connections_seq")),
        sa.UniqueConstraint(
            "flow", "reporter", "agent", "started_ms", name=op.f("uq_connections_flow_reporter_agent_started_ms")
        ),
    )
    op.execute(
        f"INSERT INTO connections (id, seq, token, path, seen_ms, {_OLD}) "
        f"SELECT id, id, '', CASE WHEN relay IS NULL THEN '' ELSE 'relay' END, ended_ms, {_OLD} FROM connection_records"
    )
    op.create_index(op.f("ix_connections_token"), "connections", ["token"], unique=False)
    op.create_index(op.f("ix_connections_device_id"), "connections", ["device", "id"], unique=False)
    op.create_index(op.f("ix_connections_user_id"), "connections", ["user", "id"], unique=False)
    op.create_index(op.f("ix_connections_resource_id"), "connections", ["resource", "id"], unique=False)
    op.create_index(op.f("ix_connections_ended_ms"), "connections", ["ended_ms"], unique=False)
    for name, columns, condition in (
        ("ix_connections_open", ["agent", "id"], sa.text("ended_ms IS NULL")),
        ("ix_connections_denied", ["id"], sa.text("outcome <> 'normal'")),
    ):
        op.create_index(name, "connections", columns, sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.execute("INSERT INTO counters (name, value) SELECT 'connections', coalesce(max(id), 0) FROM connections")
    op.create_table(
        "enforcement_acks",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agent", "epoch", "revision", name=op.f("pk_enforcement_acks")),
    )
    op.create_index(op.f("ix_enforcement_acks_at_ms"), "enforcement_acks", ["at_ms"], unique=False)
    op.create_table(
        "agent_contacts",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("heard_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agent", name=op.f("pk_agent_contacts")),
    )
    op.create_table(
        "sinks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("ca_pem", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("connections_seq", sa.BigInteger(), nullable=False),
        sa.Column("events_position", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("delivered_ms", sa.BigInteger(), nullable=True),
        sa.Column("failing_ms", sa.BigInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sinks")),
        sa.UniqueConstraint("name", name=op.f("uq_sinks_name")),
    )
    op.drop_index(op.f("ix_connection_records_user"), table_name="connection_records")
    op.drop_index(op.f("ix_connection_records_resource"), table_name="connection_records")
    op.drop_index(op.f("ix_connection_records_ended_ms"), table_name="connection_records")
    op.drop_index(op.f("ix_connection_records_device"), table_name="connection_records")
    op.drop_table("connection_records")


def downgrade() -> None:
    op.create_table(
        "connection_records",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("reporter", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("connector", sa.Text(), nullable=True),
        sa.Column("relay", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("transport", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("bytes_up", sa.BigInteger(), nullable=False),
        sa.Column("bytes_down", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_records")),
        sa.UniqueConstraint(
            "flow", "reporter", "agent", "started_ms", name=op.f("uq_connection_records_flow_reporter_agent_started_ms")
        ),
    )
    # The older version has no open connections: what is open when it starts is lost to it.
    op.execute(
        f"INSERT INTO connection_records ({_OLD}) SELECT {_OLD} FROM connections WHERE ended_ms IS NOT NULL ORDER BY id"
    )
    for column in ("device", "ended_ms", "resource", "user"):
        op.create_index(op.f(f"ix_connection_records_{column}"), "connection_records", [column], unique=False)
    op.drop_table("sinks")
    op.drop_table("agent_contacts")
    op.drop_index(op.f("ix_enforcement_acks_at_ms"), table_name="enforcement_acks")
    op.drop_table("enforcement_acks")
    op.drop_table("counters")
    for name in ("open", "denied", "token", "device_id", "user_id", "resource_id", "ended_ms"):
        op.drop_index(op.f(f"ix_connections_{name}"), table_name="connections")
    op.drop_table("connections")
