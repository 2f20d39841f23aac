"""Who wrote to which account, and which of their messages may still be answered."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

TABLES = (
    # channels.md §2: an id learnt through one bot means nobody to another.
    """CREATE TABLE peers (
        channel TEXT NOT NULL,
        account_id TEXT NOT NULL,
        peer TEXT NOT NULL,
        first_seen_at BIGINT NOT NULL,
        last_seen_at BIGINT NOT NULL,
        denied_until BIGINT,
        spent_until BIGINT,
        unasked_day INTEGER,
        unasked INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (channel, account_id, peer)
    )""",
    "CREATE INDEX peers_anywhere ON peers (channel, peer)",
    # channels.md §8: a message, and the last number an answer to it was given.
    """CREATE TABLE reply_windows (
        channel TEXT NOT NULL,
        account_id TEXT NOT NULL,
        peer TEXT NOT NULL,
        message_id TEXT NOT NULL,
        run_id TEXT NOT NULL,
        at BIGINT NOT NULL,
        seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (channel, account_id, peer, message_id)
    )""",
)


def upgrade() -> None:
    """Create both."""
    for statement in TABLES:
        op.execute(statement)
