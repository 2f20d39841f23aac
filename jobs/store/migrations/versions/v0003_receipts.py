"""What a platform answered, chunk by chunk; and who may talk to us: people and devices."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEPT = (
    "id, key, lane, state, kind, agent_id, run_id, job_id, route, text, priority, reason, chunks,"
    " cursor_at, attempts, created_at, expires_at, next_attempt_at, first_attempt_at, ended_at,"
    " last_error, notes"
)
# SQLite takes a column out since 3.35; this way works with any.
REBUILT = (
    """CREATE TABLE outbox_new (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        lane TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'held', 'delivered', 'failed',
            'expired', 'cancelled', 'unknown')),
        kind TEXT NOT NULL,
        agent_id TEXT,
        run_id TEXT,
        job_id TEXT,
        route TEXT NOT NULL,
        text TEXT NOT NULL,
        priority INTEGER NOT NULL,
        reason TEXT,
        chunks TEXT,
        cursor_at INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        next_attempt_at BIGINT,
        first_attempt_at BIGINT,
        ended_at BIGINT,
        last_error TEXT,
        notes TEXT
    )""",
    f"INSERT INTO outbox_new ({_KEPT}) SELECT {_KEPT} FROM outbox",
    "DROP TABLE outbox",
    "ALTER TABLE outbox_new RENAME TO outbox",
    """CREATE INDEX outbox_open ON outbox (lane, id)
        WHERE state IN ('queued', 'sending', 'held')""",
)
TABLES = (
    """CREATE TABLE receipts (
        delivery_key TEXT NOT NULL REFERENCES outbox (key) ON DELETE CASCADE,
        chunk INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (delivery_key, chunk)
    )""",
    # channels.md §3.2: a code that was asked for, and whom it let in.
    """CREATE TABLE pairings (
        channel TEXT NOT NULL,
        account_id TEXT NOT NULL,
        peer TEXT NOT NULL,
        code TEXT,
        label TEXT,
        created_at BIGINT NOT NULL,
        last_seen_at BIGINT NOT NULL,
        approved_at BIGINT,
        PRIMARY KEY (channel, account_id, peer)
    )""",
    "CREATE UNIQUE INDEX pairings_code ON pairings (code) WHERE approved_at IS NULL",
    # protocol.md §4.4; of a token only its hash is kept.
    """CREATE TABLE devices (
        device_id TEXT PRIMARY KEY,
        public_key TEXT NOT NULL,
        display_name TEXT,
        platform TEXT,
        device_family TEXT,
        client_id TEXT NOT NULL,
        client_mode TEXT NOT NULL,
        roles TEXT NOT NULL,
        scopes TEXT NOT NULL,
        tokens TEXT NOT NULL,
        approved_via TEXT,
        created_at BIGINT NOT NULL,
        approved_at BIGINT,
        last_seen_at BIGINT,
        last_seen_reason TEXT
    )""",
)


def upgrade() -> None:
    """Move the ids of sent chunks into rows of their own, and add the tables of who may talk."""
    tx = op.get_bind()
    sent = tx.execute(
        sa.text(
            "SELECT key, message_ids, coalesce(ended_at, first_attempt_at, created_at)"
            " FROM outbox WHERE message_ids IS NOT NULL ORDER BY id"
        )
    ).all()
    if tx.dialect.name == "sqlite":
        for statement in REBUILT:
            op.execute(statement)
    else:
        op.execute("ALTER TABLE outbox DROP COLUMN message_ids")
    for statement in TABLES:
        op.execute(statement)
    rows = [
        {"key": key, "chunk": chunk, "id": str(one), "at": at}
        for key, ids, at in sent
        for chunk, one in enumerate(json.loads(ids))
    ]
    if rows:
        tx.execute(
            sa.text(
                "INSERT INTO receipts (delivery_key, chunk, message_id, at)"
                " VALUES (:key, :chunk, :id, :at)"
            ),
            rows,
        )
