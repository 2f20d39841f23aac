"""Messages that have ended, found by when and by where."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

# Of ended messages only: a message on its way writes neither, one that ends writes each once.
INDEXES = (
    "CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX outbox_ended_in ON outbox (lane, id) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    """Index what has ended: looks of every minute read the whole outbox to find it."""
    for statement in INDEXES:
        op.execute(statement)
