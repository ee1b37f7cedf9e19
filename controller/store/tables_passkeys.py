"""Tables of passkeys: public keys that people sign in with, and the challenges that were answered."""

from typing import Final

import sqlalchemy as sa

from controller.store.tables import METADATA

PASSKEYS: Final = sa.Table(
    "passkeys",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    # As authenticators name it, base64url.
    sa.Column("credential", sa.Text, nullable=False, unique=True),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("synced", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("last_used_at", sa.Double, nullable=True),
    sa.Index(None, "user"),
)

SPENT_CHALLENGES: Final = sa.Table(
    "spent_challenges",
    METADATA,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("expires", sa.Double, nullable=False),
)
