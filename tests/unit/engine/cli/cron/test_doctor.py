"""`engine cron doctor`: every trouble of a job is told with the command that mends it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.cli.cron.doctor import of_job
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOON = int((NOW + timedelta(hours=1)).timestamp() * 1000)
WELL: dict[str, Any] = {
    "id": "j1",
    "name": "brief",
    "enabled": True,
    "schedule": {"kind": "cron", "expr": "0 * * * *"},
    "state": {"nextRunAtMs": SOON},
}


def told(job: dict[str, Any], **state: Any) -> list[str]:
    made = {**WELL, **job, "state": {**WELL["state"], **state}}
    return [f"{one.what} | {one.fix}" for one in of_job(made, NOW, runs=True)]


@pytest.mark.parametrize(
    ("job", "state", "words"),
    [
        ({}, {"nextRunAtMs": None}, "it is switched on and has no next run | engine cron disable"),
        ({}, {"nextRunAtMs": SOON - 7_200_000}, "it was due at 2026-06-01 11:00Z and nothing"),
        ({}, {"consecutiveErrors": 3, "lastError": "no key"}, "3 times in a row: no key | engine"),
        ({}, {"lastDeliveryStatus": "not-delivered", "lastDeliveryError": "gone"}, "arrive: gone"),
        ({}, {"deliverySuppressionReason": "no-route"}, "went nowhere: no-route"),
        (
            {"deliveryPreview": {"label": "x", "detail": "no telegram", "fix": "engine setup"}},
            {},
            "its words would reach nobody: no telegram | engine setup",
        ),
        ({}, {"lastFailureNotificationStatus": "not-delivered"}, "nobody heard of its trouble"),
        (
            {"enabled": False},
            {"autoDisabled": {"reason": "consecutive-failures"}, "lastError": "no key"},
            "switched off: consecutive-failures (no key) | engine cron enable j1",
        ),
    ],
)
def test_a_trouble_has_a_sentence_and_a_way_out(
    job: dict[str, Any], state: dict[str, Any], words: str
) -> None:
    [found] = told(job, **state)
    assert found.startswith("brief: ")
    assert words in found


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ({}, {}),
        ({"enabled": False}, {"nextRunAtMs": None, "consecutiveErrors": 3}),
        ({"schedule": {"kind": "at"}}, {"nextRunAtMs": None}),
        ({"maxRuns": 3}, {"nextRunAtMs": None}),
        ({}, {"nextRunAtMs": SOON - 7_200_000, "paused": {"by": "ana"}}),
        ({}, {"nextRunAtMs": SOON - 7_200_000, "runningAtMs": 1}),
        ({}, {"lastDeliveryStatus": "suppressed", "deliverySuppressionReason": "silent"}),
    ],
)
def test_what_is_as_it_should_be_is_no_trouble(job: dict[str, Any], state: dict[str, Any]) -> None:
    assert told(job, **state) == []


def test_jobs_nobody_looks_after_are_late_for_that_reason_alone() -> None:
    late = {**WELL, "state": {"nextRunAtMs": SOON - 7_200_000}}
    assert list(of_job(late, NOW, runs=False)) == []


def test_a_gateway_whose_jobs_are_well_ends_with_0(engine: Engine, gateway: Port) -> None:
    gateway.core.scheduling.jobs = {"j1": {**WELL, "state": {"nextRunAtMs": SOON * 10}}}
    answer = engine("cron", "doctor")
    assert (answer.status, answer.out) == (0, "1 job: nothing is wrong.\n")


def test_a_job_that_fails_ends_it_with_1(engine: Engine, gateway: Port) -> None:
    failing = {**WELL, "state": {"nextRunAtMs": SOON * 10, "consecutiveErrors": 2}}
    gateway.core.scheduling.jobs = {"j1": failing}
    answer = engine("cron", "doctor", "--json")
    found = json.loads(answer.out)
    assert (answer.status, found["ok"], found["findings"][0]["jobId"]) == (1, False, "j1")


def test_a_gateway_that_is_down_is_the_first_thing_that_is_wrong(
    engine: Engine, nobody: None
) -> None:
    answer = engine("cron", "doctor")
    assert answer.status != 0
    assert "Fix: engine gateway" in answer.out + answer.err
