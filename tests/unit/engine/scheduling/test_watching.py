"""When a job wants a look between its slots (cron.md §22 row 18)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from engine.scheduling.watching import deadline_of, last_deadline, next_deadline
from jobs.model import AgentTurn, Job
from jobs.policies import Policies
from jobs.schedule import Cron, Every, Schedule

DAY = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def job(schedule: Schedule, by: time | timedelta) -> Job:
    return Job(
        id="brief",
        name="Brief",
        schedule=schedule,
        payload=AgentTurn(message="brief me"),
        policies=Policies(must_finish_by=by),
    )


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("* * * * *", "UTC"),
        Cron("*/5 * * * * *", "UTC"),
        Cron("0 9 * * *", "UTC"),
        Cron("0 * * * *", "America/Havana"),
        Every(MINUTE),
    ],
)
@pytest.mark.parametrize("hour", [0, 9, 17, 18, 23])
def test_a_job_however_frequent_has_its_next_deadline(schedule: Schedule, hour: int) -> None:
    asked = job(schedule, time(18, 0))
    after = DAY + hour * HOUR
    found = next_deadline(asked, after)
    assert found is not None
    slot, by = found
    assert by == deadline_of(asked, slot)
    assert timedelta() < by - after <= 24 * HOUR
    earlier = schedule.previous(slot)
    assert earlier is not None
    assert deadline_of(asked, earlier) <= after  # it is the first such slot


def test_a_deadline_after_each_slot_is_that_of_the_newest_slot() -> None:
    asked = job(Cron("* * * * *", "UTC"), 30 * MINUTE)
    assert next_deadline(asked, DAY) == (DAY - 29 * MINUTE, DAY + MINUTE)
    assert last_deadline(asked, DAY, since=DAY - 2 * MINUTE) == DAY - 30 * MINUTE
