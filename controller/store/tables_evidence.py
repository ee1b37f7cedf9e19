"""Tables of the evidence about the log: checkpoints, and from which backups this database was restored.

``checkpoints`` is append-only like ``events``; triggers made by the migration refuse UPDATE and DELETE (T-70).
"""

from typing import Final

import sqlalchemy as sa

from controller.store.tables import METADATA

CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("kid", sa.Text, nullable=False),
    sa.Column("signed_at", sa.BigInteger, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
)

RESTORES: Final = sa.Table(
    "restores",
    METADATA,
    sa.Column("restored_at", sa.Double, primary_key=True),
    sa.Column("backup_made_at", sa.Double, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("log_head", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("new_epoch", sa.BigInteger, nullable=True),
)
