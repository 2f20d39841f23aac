"""When slots are made up that passed while no gateway ran (cron.md §7, steps 5 and 6). Pure.

The first few begin at once and the others one after the other, and whatever asks a model waits
until the channels have had time to connect: a start is no storm.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from jobs.duration import format_duration
from jobs.ledger import START_AT, Run, RunStatus, SkipReason
from jobs.model import Command, Job, SystemEvent, WakeMode
from jobs.values import changed
from jobs.wallclock import ms

AT_ONCE: Final = 5  # jobs
APART: Final = timedelta(seconds=5)
CONNECTING: Final = timedelta(seconds=120)


def begins_at(job: Job, before: int, now: datetime, started_at: datetime) -> datetime:
    """Return when a job makes up for what it missed, if ``before`` it so many others do."""
    turn = now + max(0, before + 1 - AT_ONCE) * APART
    return max(turn, started_at + CONNECTING) if asks_model(job) else turn


def asks_model(job: Job) -> bool:
    """Whether a run of a job takes a turn of an agent at once."""
    match job.payload:
        case Command():
            return False
        case SystemEvent():
            return job.wake_mode is WakeMode.NOW
        case _:
            return True


def spread(
    job: Job, runs: list[Run], begins: datetime, now: datetime, following: datetime | None
) -> tuple[list[Run], list[Run]]:
    """Return the runs of missed slots with when they begin, and those that would be in vain.

    By default only the newest slot is made up: if the next one comes before that could begin,
    the next one serves, and this one is on record as missed.
    """
    if begins <= now:
        return runs, []
    wait = format_duration(begins - now)
    if following is not None and begins >= following and job.misfire.policy != "run-all":
        words = f"the next slot comes within the {wait} it would have waited after the start"
        over = [run.skipped(SkipReason.SUPERSEDED, words, now) for run in runs]
        return [], [changed(run, status=RunStatus.MISSED) for run in over]
    words = f"missed while nothing ran; begins {wait} after the start"
    later = {START_AT: ms(begins)}
    return [changed(run, facts={**run.facts, **later}, because=words) for run in runs], []
