"""Alembic's entry: runs on the connection that ``controller.store.schema`` opened. There is no offline mode."""

from alembic import context

import controller.store.tables_connections
import controller.store.tables_passkeys
import controller.store.tables_plans  # noqa: F401 - adds its table
from controller.store.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
