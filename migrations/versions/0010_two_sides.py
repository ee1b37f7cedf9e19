"""Connections: what the two sides of a flow contradict each other in."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connections", sa.Column("differs", sa.Text(), server_default="", nullable=False))
    condition = sa.text("differs <> ''")
    op.create_index(
        "ix_connections_differs", "connections", ["id"], sqlite_where=condition, postgresql_where=condition
    )


def downgrade() -> None:
    op.drop_index("ix_connections_differs", table_name="connections")
    op.drop_column("connections", "differs")
