"""Plans: those that take an event back name it, in place of a document."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("plans", sa.Column("undoes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("plans", "undoes")
