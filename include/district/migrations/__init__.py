"""Alembic's revisions of the import log."""
