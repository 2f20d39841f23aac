"""Whose idea a job was, and how often it runs (operations.md §12, ours)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.security.stored_jobs import fact
from jobs.model import AgentTurn, DeliverySpec, Job, JobState, StoredJob
from jobs.schedule import At, Every

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def stored(**keys: object) -> StoredJob:
    given: dict[str, object] = {
        "id": "j1",
        "name": "brief",
        "schedule": Every(timedelta(seconds=30)),
        "payload": AgentTurn(message="look"),
        **keys,
    }
    return StoredJob(job=Job(**given), state=JobState(), revision="r")  # type: ignore[arg-type]  # a table of keys


@pytest.mark.parametrize(
    ("session", "hands", "by_agent", "external", "confirmed"),
    [
        ("agent:main:main", ["cli"], False, False, True),
        ("agent:main:main", ["agent:main"], True, False, False),
        ("agent:main:hook:github", ["agent:main"], True, True, False),
        ("agent:main:telegram:group:-100", ["agent:main"], True, True, False),
        ("agent:main:hook:github", ["agent:main", "agent:main"], True, True, False),
        ("agent:main:hook:github", ["agent:main", "rpc:cli"], True, True, True),
        (None, [], False, False, False),
    ],
)
def test_whose_idea_it_was(
    session: str | None, hands: list[str], by_agent: bool, external: bool, confirmed: bool
) -> None:
    found = fact(stored(session_key=session), hands, NOW)
    assert (found.by_agent, found.external, found.confirmed) == (by_agent, external, confirmed)


def test_how_often_it_runs_and_where_its_words_go() -> None:
    hook = DeliverySpec(mode="webhook", to="http://example.org/x")
    found = fact(stored(delivery=hook), [], NOW)
    assert (found.gap, found.webhook) == (timedelta(seconds=30), "http://example.org/x")
    assert fact(stored(schedule=At(NOW + timedelta(hours=1))), [], NOW).gap is None
