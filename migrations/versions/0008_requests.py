"""What people write about requests for access, beside the log."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "access_request_texts",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_access_request_texts")),
    )
    op.create_index(op.f("ix_access_request_texts_user"), "access_request_texts", ["user"], unique=False)
    op.create_index(op.f("ix_access_request_texts_created_at"), "access_request_texts", ["created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("access_request_texts")
