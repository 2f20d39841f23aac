"""What a device asks for, until somebody answers."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Keep what a device asks for beside what it may (protocol.md §4.4)."""
    op.execute("ALTER TABLE devices ADD COLUMN request TEXT")
