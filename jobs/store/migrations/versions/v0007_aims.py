"""Where the beat that an event woke tells its words."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Keep where the beat of an event tells its words: it may come only after a restart."""
    op.execute("ALTER TABLE system_events ADD COLUMN target TEXT")
