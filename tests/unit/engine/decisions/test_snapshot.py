"""What a row keeps of a snapshot is enough to take its decision again (design.md P4)."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from engine.decisions.gates import BeatSnapshot, Defer, Run, Skip, decide
from engine.decisions.snapshot import kept, restored
from engine.decisions.wake import Deferral, Intent
from jobs.calendar import Calendar
from jobs.calendar.days import Span
from jobs.hours import ActiveHours
from jobs.ledger import SkipReason
from jobs.windows import DayRule, Window, Windows

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 28, 12, 0, 0, 123456, tzinfo=UTC)
NINE_TO_FIVE = ActiveHours(540, 1020, BERLIN)
# One value for every field: a new field of another type must be taught to the snapshot.
OTHER: Final[dict[str, Any]] = {
    "intent": Intent.EVENT,
    "source": "hook",
    "zone": BERLIN,
    "file": "/w/HEARTBEAT.md",
    "enabled": False,
    "enrolled": False,
    "not_enrolled_because": "another agent has its own block",
    "paused": "paused by cli",
    "idle_since": NOW,
    "idle_pause_after": timedelta(hours=4),
    "suspended": "401",
    "backoff_until": NOW,
    "failures": 3,
    "budget_spent": "all of it",
    "held_back": Deferral(SkipReason.FLOOD, "5 runs", NOW),
    "recent_run_at": NOW,
    "active_hours": NINE_TO_FIVE,
    "has_events": True,
    "file_error": "cannot be read",
    "file_empty": True,
    "tasks": ("mail", "news"),
    "tasks_due": ("mail",),
    "next_task_at": NOW,
    "rests_until": NOW,
    "quiet_polls": 20,
    "visible": False,
    "no_route": (SkipReason.NO_ROUTE, "nobody has written"),
    "cron_running": ("job",),
    "lanes_busy": ("sub",),
    "turns_in_flight": ("run",),
}


def through_json(snapshot: BeatSnapshot) -> BeatSnapshot:
    return restored(json.loads(json.dumps(kept(snapshot, NOW))))


@pytest.mark.parametrize("name", [one.name for one in fields(BeatSnapshot)])
def test_every_field_comes_back_as_it_was(name: str) -> None:
    plain = BeatSnapshot(intent=Intent.SCHEDULED)
    if name not in OTHER:
        pytest.fail(f"give {name} a value here, and teach engine.snapshot to read it")
    given = replace(plain, **{name: OTHER[name]})
    assert getattr(through_json(given), name) == OTHER[name]
    assert through_json(plain) == plain


def test_an_ordinary_beat_writes_down_nothing() -> None:
    assert kept(BeatSnapshot(intent=Intent.SCHEDULED), NOW) == {}


def test_what_a_newer_version_wrote_beside_it_is_passed_over() -> None:
    assert restored({"intent": "manual", "phase_of_the_moon": "full"}).intent is Intent.MANUAL


@pytest.mark.parametrize(
    "hours",
    [
        NINE_TO_FIVE,
        ActiveHours(1320, 360, BERLIN),
        ActiveHours(540, 1020, BERLIN, wall=True),
        Windows((Window(NINE_TO_FIVE, frozenset({5})), Window(ActiveHours(0, 60, BERLIN)))),
        Windows(
            (
                Window(
                    NINE_TO_FIVE,
                    rules=(
                        DayRule(
                            Calendar(
                                name="holidays",
                                exclude=(Span(date(2026, 3, 28), date(2026, 3, 29)),),
                                tz="Europe/Berlin",
                            )
                        ),
                    ),
                ),
            )
        ),
    ],
)
@pytest.mark.parametrize("intent", [Intent.SCHEDULED, Intent.EVENT, Intent.MANUAL])
@pytest.mark.parametrize("hour", [0, 3, 8, 12, 15, 16, 22])
def test_the_gates_say_the_same_to_what_comes_back(
    hours: ActiveHours | Windows, intent: Intent, hour: int
) -> None:
    now = NOW.replace(hour=hour)
    beat = BeatSnapshot(intent=intent, active_hours=hours, zone=BERLIN)
    again = decide(restored(json.loads(json.dumps(kept(beat, now)))), now)
    assert again == decide(beat, now)
    assert isinstance(again, Run | Skip | Defer)
