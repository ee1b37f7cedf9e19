"""People: second factors, identities at providers, how a session was authenticated."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None

_HOW = ("authenticated_s", "mfa_s", "method")


def upgrade() -> None:
    op.create_table(
        "second_factors",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("confirmed_at", sa.Double(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("user", "hash", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identities")),
    )
    op.create_index(op.f("ix_identities_user"), "identities", ["user"], unique=False)
    for table in ("web_sessions", "device_codes"):
        op.add_column(table, sa.Column("authenticated_s", sa.Double(), nullable=True))
        op.add_column(table, sa.Column("mfa_s", sa.Double(), nullable=True))
        op.add_column(table, sa.Column("method", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in ("device_codes", "web_sessions"):
        with op.batch_alter_table(table) as batch:
            for column in reversed(_HOW):
                batch.drop_column(column)
    op.drop_index(op.f("ix_identities_user"), table_name="identities")

    op.drop_table("identities")
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
