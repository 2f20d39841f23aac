"""A start is no storm: when each missed slot is made up (cron.md §7, steps 5 and 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.decisions.catching_up import begins_at, spread
from jobs.ledger import START_AT, Run, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, Command, Job, Misfire, Payload, SystemEvent, WakeMode
from jobs.schedule import Every
from jobs.wallclock import ms

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PROBE = Job(id="probe", name="Probe", schedule=Every(MINUTE), payload=Command(argv=("df",)))
MISSED = Run(
    id="r1",
    job_id="probe",
    kind="cron",
    agent_id=None,
    trigger=Trigger.CATCHUP,
    status=RunStatus.CLAIMED,
    slot=START - MINUTE,
)


@pytest.mark.parametrize(
    ("before", "wait"), [(0, 0), (4, 0), (5, 5), (6, 10), (104, 500)], ids=lambda value: str(value)
)
def test_five_begin_at_once_and_the_others_five_seconds_apart(before: int, wait: int) -> None:
    assert begins_at(PROBE, before, START, START) == START + wait * SECOND


@pytest.mark.parametrize(
    ("payload", "wake", "waits"),
    [
        (AgentTurn(message="x"), WakeMode.NOW, True),
        (SystemEvent(text="x"), WakeMode.NOW, True),
        (SystemEvent(text="x"), WakeMode.NEXT_HEARTBEAT, False),
        (Command(argv=("df",)), WakeMode.NOW, False),
    ],
)
def test_what_asks_a_model_lets_the_channels_connect_first(
    payload: Payload, wake: WakeMode, waits: bool
) -> None:
    job = replace(PROBE, payload=payload, wake_mode=wake)
    later = START + 10 * SECOND  # a pass after the first
    assert begins_at(job, 0, later, START) == (START + 2 * MINUTE if waits else later)
    assert begins_at(job, 100, later, START) > START + 2 * MINUTE


def test_a_run_that_waits_says_so() -> None:
    ((run,), in_vain) = spread(PROBE, [MISSED], START + 5 * SECOND, START, None)
    assert (run.facts[START_AT], in_vain) == (ms(START + 5 * SECOND), [])
    assert run.because == "missed while nothing ran; begins 5s after the start"
    assert spread(PROBE, [MISSED], START, START, None) == ([MISSED], [])


def test_a_slot_whose_next_comes_first_is_not_made_up_unless_all_are() -> None:
    late, following = START + 2 * MINUTE, START + MINUTE
    runs, (missed,) = spread(PROBE, [MISSED], late, START, following)
    assert (runs, missed.status, missed.reason) == ([], RunStatus.MISSED, SkipReason.SUPERSEDED)
    assert (
        missed.because == "the next slot comes within the 2m it would have waited after the start"
    )
    every = replace(PROBE, misfire=Misfire(policy="run-all"))
    runs, in_vain = spread(every, [MISSED, MISSED], late, START, following)
    assert (len(runs), in_vain) == (2, [])
