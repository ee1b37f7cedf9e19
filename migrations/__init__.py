"""The database schema's history (alembic)."""
