"""What policies need to remember: when to look after a job, slots left out once, its last alarm."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE jobs ADD COLUMN watch_at BIGINT",
    "ALTER TABLE jobs ADD COLUMN skips TEXT",
    "ALTER TABLE jobs ADD COLUMN alarm TEXT",
    "CREATE INDEX jobs_watch ON jobs (watch_at) WHERE watch_at IS NOT NULL",
    # The usage of a day, for budgets: ids begin with the time they were made.
    "CREATE INDEX runs_usage ON runs (id) WHERE usage IS NOT NULL",
)


def upgrade() -> None:
    """Add them; what is stored stays as it is."""
    for statement in STATEMENTS:
        op.execute(statement)
