"""The table of plans: documents that were compared with the policy, waiting to be applied. None of it is part of the log."""

from typing import Final

import sqlalchemy as sa

from controller.store.tables import METADATA

PLANS: Final = sa.Table(
    "plans",
    METADATA,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("base", sa.BigInteger, nullable=False),
    sa.Column("seed", sa.Text, nullable=False),
    sa.Column("prune", sa.Boolean, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    # What was shown to whoever approves it.
    sa.Column("body", sa.Text, nullable=False),
    # Of that, what a list of plans shows.
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Column("applied_at", sa.Double, nullable=True),
    sa.Column("applied_by", sa.Text, nullable=True),
    sa.Column("applied_as", sa.BigInteger, nullable=True),
    # The event that it takes back, in place of a document.
    sa.Column("undoes", sa.BigInteger, nullable=True),
    sa.Index(None, "created_at"),
)
