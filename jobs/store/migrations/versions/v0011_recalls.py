"""Which of a peer's recalls are used up since they wrote last."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """A bit for each period after a contact in which one message may recall it (channels.md §8)."""
    op.execute("ALTER TABLE peers ADD COLUMN recalled INTEGER NOT NULL DEFAULT 0")
