"""The first schema: every table of the three stores. Instants are UTC milliseconds."""

from __future__ import annotations

from alembic import op

from jobs.crash import crash_point

revision = "0001"
down_revision = None

TABLES = (
    """CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('cron', 'heartbeat')),
        name TEXT NOT NULL,
        declaration_key TEXT UNIQUE,
        agent_id TEXT,
        source TEXT NOT NULL,
        definition TEXT NOT NULL,
        revision TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        held TEXT,
        next_run_at BIGINT,
        retry_at BIGINT,
        schedule_activated_at BIGINT,
        running_since BIGINT,
        last_run_at BIGINT,
        last_status TEXT,
        last_error TEXT,
        last_reason TEXT,
        last_duration_ms BIGINT,
        consecutive_errors INTEGER NOT NULL DEFAULT 0,
        consecutive_skipped INTEGER NOT NULL DEFAULT 0,
        schedule_errors INTEGER NOT NULL DEFAULT 0,
        run_count BIGINT NOT NULL DEFAULT 0,
        ok_count BIGINT NOT NULL DEFAULT 0,
        error_count BIGINT NOT NULL DEFAULT 0,
        skip_count BIGINT NOT NULL DEFAULT 0,
        missed_count BIGINT NOT NULL DEFAULT 0,
        orphaned_at BIGINT,
        auto_disabled TEXT,
        paused TEXT,
        created_at BIGINT,
        updated_at BIGINT
    )""",
    # What the tick asks for, and nothing else: disabled, held and finished jobs are not in it.
    """CREATE INDEX jobs_due ON jobs (next_run_at)
        WHERE enabled = 1 AND held IS NULL AND next_run_at IS NOT NULL""",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        job_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        agent_id TEXT,
        trigger_kind TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN
            ('claimed', 'running', 'deferred', 'ok', 'failed', 'skipped', 'missed')),
        slot BIGINT,
        slot_to BIGINT,
        slots INTEGER NOT NULL DEFAULT 1,
        reason TEXT,
        because TEXT,
        outcome TEXT,
        nominal_local TEXT,
        tz TEXT,
        dst TEXT,
        attempt INTEGER NOT NULL DEFAULT 1,
        retry_of TEXT,
        job_name TEXT,
        session_key TEXT,
        requested_at BIGINT,
        claimed_at BIGINT,
        started_at BIGINT,
        ended_at BIGINT,
        deferrals INTEGER NOT NULL DEFAULT 0,
        wake TEXT,
        facts TEXT,
        target TEXT,
        reply TEXT,
        usage TEXT,
        model TEXT,
        provider TEXT,
        error TEXT,
        delivery_key TEXT,
        next_due_at BIGINT,
        boot_id TEXT
    )""",
    "CREATE UNIQUE INDEX runs_slot ON runs (job_id, slot) WHERE slot IS NOT NULL",
    "CREATE INDEX runs_job ON runs (job_id, id)",
    "CREATE INDEX runs_beats ON runs (agent_id, id) WHERE kind = 'heartbeat'",
    "CREATE INDEX runs_open ON runs (status) WHERE status IN ('claimed', 'running', 'deferred')",
    """CREATE TABLE system_events (
        id TEXT PRIMARY KEY,
        agent_id TEXT NOT NULL,
        session_key TEXT NOT NULL,
        text TEXT NOT NULL,
        context_key TEXT,
        route TEXT,
        trusted INTEGER NOT NULL,
        source TEXT NOT NULL,
        wake TEXT,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        seen_by_run TEXT,
        consumed_at BIGINT
    )""",
    """CREATE INDEX system_events_pending ON system_events (agent_id, session_key, id)
        WHERE consumed_at IS NULL""",
    """CREATE TABLE sessions (
        key TEXT PRIMARY KEY,
        agent_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        model TEXT,
        input_tokens BIGINT NOT NULL DEFAULT 0,
        output_tokens BIGINT NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        session_key TEXT NOT NULL,
        session_id TEXT NOT NULL,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        at BIGINT NOT NULL,
        run_id TEXT,
        hidden INTEGER NOT NULL DEFAULT 0,
        usage TEXT
    )""",
    "CREATE INDEX messages_session ON messages (session_key, id)",
    """CREATE TABLE routes (
        agent_id TEXT NOT NULL,
        session_key TEXT NOT NULL,
        kind TEXT NOT NULL,
        channel TEXT NOT NULL,
        account_id TEXT NOT NULL,
        peer TEXT NOT NULL,
        thread_id TEXT,
        chat_type TEXT NOT NULL,
        peer_label TEXT,
        set_at BIGINT NOT NULL,
        set_by TEXT NOT NULL,
        unusable TEXT,
        PRIMARY KEY (session_key, kind)
    )""",
    """CREATE TABLE outbox (
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
        message_ids TEXT,
        last_error TEXT,
        notes TEXT
    )""",
    """CREATE INDEX outbox_open ON outbox (lane, id)
        WHERE state IN ('queued', 'sending', 'held')""",
    """CREATE TABLE inbox (
        id TEXT PRIMARY KEY,
        box TEXT NOT NULL,
        agent_id TEXT,
        session_key TEXT,
        run_id TEXT,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        at BIGINT NOT NULL,
        seen_at BIGINT
    )""",
    "CREATE INDEX inbox_unseen ON inbox (at) WHERE seen_at IS NULL",
    """CREATE TABLE task_state (
        agent_id TEXT NOT NULL,
        name TEXT NOT NULL,
        interval_ms BIGINT,
        last_slot_at BIGINT,
        last_status TEXT,
        next_at BIGINT,
        runs BIGINT NOT NULL DEFAULT 0,
        prompt_hash TEXT,
        PRIMARY KEY (agent_id, name)
    )""",
    """CREATE TABLE inbound_seen (
        key TEXT PRIMARY KEY,
        at BIGINT NOT NULL
    )""",
    "CREATE INDEX inbound_seen_at ON inbound_seen (at)",
    """CREATE TABLE cursors (
        channel TEXT NOT NULL,
        account_id TEXT NOT NULL,
        value TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (channel, account_id)
    )""",
    """CREATE TABLE sent_texts (
        lane TEXT NOT NULL,
        hash TEXT NOT NULL,
        at BIGINT NOT NULL,
        suppressed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (lane, hash)
    )""",
    """CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        at BIGINT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT,
        detail TEXT
    )""",
    """CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )""",
)


def upgrade() -> None:
    """Create everything."""
    for number, statement in enumerate(TABLES):
        op.execute(statement)
        if number == len(TABLES) // 2:
            crash_point("mid-migration")
