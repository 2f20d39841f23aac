"""The inbox keeps what was said and reached nobody, beside what arrived here."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

# Of a message that arrived here there is no reason; of all others there is.
COLUMNS = (
    "reason TEXT",
    "because TEXT",
    "job_id TEXT",
    "route TEXT",
    "delivery_key TEXT",
    "print TEXT",
    "times INTEGER NOT NULL DEFAULT 1",
    "first_at BIGINT",
    "until BIGINT",
    "snoozes INTEGER NOT NULL DEFAULT 0",
    "muted_at BIGINT",
    "resent_key TEXT",
    "escalate_at BIGINT",
)


def upgrade() -> None:
    """Add the columns, and the ways to find the same words again and what wants an answer."""
    for column in COLUMNS:
        op.execute(f"ALTER TABLE inbox ADD COLUMN {column}")
    op.execute("CREATE INDEX inbox_kept ON inbox (print, seq) WHERE print IS NOT NULL")
    op.execute("CREATE INDEX inbox_escalate ON inbox (escalate_at) WHERE escalate_at IS NOT NULL")
    op.execute("CREATE INDEX inbox_resent ON inbox (resent_key) WHERE resent_key IS NOT NULL")
