"""Tables of what the controller's processes over one database share beside the log, and of saved folds.

Nothing here is the truth about anything: a fold can be made again from the log, and agents come again. Times are Unix
seconds; those of AGENT_PRESENCE, REPLICAS and ASKED_TESTS are the database's clock, so that replicas need not agree about theirs.
"""

from typing import Final

import sqlalchemy as sa

from controller.store.tables import METADATA

FOLDS: Final = sa.Table(
    "folds",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("log_head", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

REPLICAS: Final = sa.Table(
    "replicas",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hostname", sa.Text, nullable=False),
    sa.Column("software", sa.Text, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("seen", sa.Double, nullable=False),
)

AGENT_PRESENCE: Final = sa.Table(
    "agent_presence",
    METADATA,
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("replica", sa.Text, nullable=False),
    sa.Column("attachment", sa.Text, nullable=False),
    sa.Column("changed", sa.Double, nullable=False),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("line", sa.Text, nullable=False),
    sa.Index(None, "changed"),
    sa.Index(None, "replica"),
)

SPENT_ASSERTIONS: Final = sa.Table(
    "spent_assertions",
    METADATA,
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("jti", sa.Text, primary_key=True),
    sa.Column("expires", sa.Double, nullable=False),
    sa.Index(None, "expires"),
)

ASKED_TESTS: Final = sa.Table(
    "asked_tests",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("asker", sa.Text, nullable=False),
    sa.Column("connector", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("asked", sa.Double, nullable=False),
    sa.Column("holder", sa.Text, nullable=True),
    sa.Column("failed", sa.Text, nullable=True),
    sa.Column("answer", sa.Text, nullable=True),
)
