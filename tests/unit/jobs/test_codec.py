"""Jobs as JSON: what the wire shows, what the store keeps, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.codec import job_from_json, job_to_json, revision, stored_to_wire
from jobs.errors import InvalidJob
from jobs.ledger import SkipReason
from jobs.model import AgentTurn, Job, JobState, StoredJob, SystemEvent
from jobs.schedule import Every

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
JOB = Job(
    id="j1",
    name="brief",
    schedule=Every(timedelta(minutes=30), NOW),
    payload=AgentTurn(message="go", timeout=timedelta(seconds=90), fallbacks=()),
    created_at=NOW,
    updated_at=NOW,
)


def test_the_wire_speaks_camel_case_and_milliseconds() -> None:
    wire = job_to_json(JOB)
    assert wire["schedule"] == {"kind": "every", "everyMs": 1_800_000, "anchorMs": 1777982400000}
    assert wire["payload"] == {
        "kind": "agentTurn",
        "message": "go",
        "fallbacks": [],
        "timeoutSeconds": 90,
    }
    assert wire["createdAtMs"] == 1777982400000
    assert "agentId" not in wire


def test_the_revision_ignores_when_and_notices_what() -> None:
    later = replace(JOB, created_at=NOW + timedelta(1), updated_at=None)
    assert revision(later) == revision(JOB)
    assert revision(replace(JOB, enabled=False)) != revision(JOB)
    assert revision(replace(JOB, payload=SystemEvent(text="go"))) != revision(JOB)


def test_keys_of_a_newer_engine_survive() -> None:
    data = {**job_to_json(JOB), "pacing": {"min": "5m"}}
    assert job_to_json(job_from_json(data)) == data


def test_a_stored_job_without_enabled_counts_as_enabled() -> None:
    data = job_to_json(JOB)
    del data["enabled"]
    assert job_from_json(data).enabled


def test_state_names_a_skip_as_a_skip_and_an_error_as_an_error() -> None:
    state = JobState(
        next_run_at=NOW,
        last_status="skipped",
        last_reason=SkipReason.QUIET_HOURS,
        last_duration=timedelta(seconds=1),
        paused={"by": "ops"},
        auto_disabled="consecutive-failures",
        last_run_at=NOW,
        consecutive_errors=10,
    )
    wire = stored_to_wire(StoredJob(job=JOB, state=state, revision="r"))
    assert wire["configRevision"] == "r"
    assert wire["state"]["lastSkipReason"] == "quiet-hours"
    assert "lastErrorReason" not in wire["state"]
    assert wire["state"]["nextRunAtMs"] == 1777982400000
    assert wire["state"]["lastDurationMs"] == 1000
    assert wire["state"]["paused"] == {"by": "ops"}
    assert wire["state"]["autoDisabled"] == {
        "reason": "consecutive-failures",
        "atMs": wire["state"]["lastRunAtMs"] + 1000,
        "consecutiveErrors": 10,
    }


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schedule": {"kind": "cron"}}, "expr is required"),
        ({"schedule": {"kind": "moon"}}, "moon"),
        ({"payload": {"kind": "magic"}}, "magic"),
        ({"payload": {"kind": "agentTurn"}}, "message is missing"),
        ({"payload": {"kind": "command", "argv": "ls"}}, "list of texts"),
        ({"wakeMode": "never"}, "never"),
        ({"name": 7}, "name"),
        ({"misfire": {"graceMs": "x"}}, "j1"),
        ({"createdAtMs": "soon"}, "j1"),
        ({"payload": None}, "j1"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(change: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidJob, match=word):
        job_from_json({**job_to_json(JOB), **change})
