"""By what an event is the same as one that waits, whatever its words."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Keep the key whoever brought an event gave it (heartbeat.md §15)."""
    op.execute("ALTER TABLE system_events ADD COLUMN dedupe_key TEXT")
