"""Checkpoints of the log, append-only like the log (T-70), and the restores of this database."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SQLITE_TRIGGERS = [
    f"CREATE TRIGGER checkpoints_no_{verb} BEFORE {verb.upper()} ON checkpoints "
    "BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END"
    for verb in ("update", "delete")
]
_POSTGRESQL_TRIGGERS = [
    "CREATE TRIGGER checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints "
    "FOR EACH STATEMENT EXECUTE FUNCTION ostiary_append_only()",
]


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "restores",
        sa.Column("restored_at", sa.Double(), nullable=False),
        sa.Column("backup_made_at", sa.Double(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("log_head", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("new_epoch", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("restored_at", name=op.f("pk_restores")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for trigger in _SQLITE_TRIGGERS if sqlite else _POSTGRESQL_TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    op.drop_table("restores")
    op.drop_table("checkpoints")
