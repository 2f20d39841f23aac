from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import jobs.timeline
from jobs.calendar import Calendar
from jobs.model import AgentTurn, HeartbeatBeat, Job, JobState, StoredJob
from jobs.policies import CalendarRule, Policies
from jobs.schedule import At, Cron, Every, Schedule
from jobs.timeline import MOST, Open, Timeline, timeline

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NIGHT_OFF = {"main": (Open(START + 8 * HOUR, START + 20 * HOUR),)}


def job(name: str, schedule: Schedule, **given: object) -> StoredJob:
    made = Job(id=name, name=name, schedule=schedule, payload=AgentTurn(message="hi"))
    state = JobState(next_run_at=schedule.next_after(START))
    return StoredJob(job=replace(made, **given), state=state, revision="r")  # type: ignore[arg-type]


def beat(every: timedelta, agent: str = "main") -> StoredJob:
    return job(f"heartbeat:{agent}", Every(every, START), payload=HeartbeatBeat(), agent_id=agent)


def laid(
    *jobs: StoredJob, most: int = 4, hours: Mapping[str, tuple[Open, ...]] | None = None
) -> Timeline:
    return timeline(
        jobs, start=START, until=START + DAY, cell=HOUR, most_at_once=most, hours=hours or {}
    )


def test_each_job_has_its_slots_in_its_cells() -> None:
    row = laid(job("brief", Cron("30 7,19 * * *", "UTC"))).rows[0]
    assert row.slots == (START + 7.5 * HOUR, START + 19.5 * HOUR)
    assert [n for n, count in enumerate(row.cells) if count] == [7, 19]
    assert (row.total, len(row.cells)) == (2, 24)


def test_a_slot_at_the_very_end_is_in_the_last_cell() -> None:
    row = laid(job("midnight", Cron("0 0 * * *", "UTC"))).rows[0]
    assert row.slots == (START + DAY,)
    assert row.cells[-1] == 1


def test_jobs_come_before_beats_and_the_next_one_first() -> None:
    found = laid(
        beat(HOUR),
        job("late", Cron("0 22 * * *", "UTC")),
        job("early", Cron("0 1 * * *", "UTC")),
        job("never", At(START - DAY)),
    )
    assert [row.name for row in found.rows] == ["early", "late", "never", "heartbeat:main"]


def test_beats_outside_the_active_hours_are_counted_as_quiet() -> None:
    found = laid(beat(HOUR), hours=NIGHT_OFF)
    row = found.rows[0]
    assert (row.total, sum(row.quiet)) == (24, 12)
    assert (row.quiet[7], row.quiet[8]) == (1, 0)  # they begin with the slot at eight o'clock
    assert found.hours == NIGHT_OFF


def test_a_job_minds_the_active_hours_only_if_it_says_so() -> None:
    plain = job("plain", Every(HOUR, START))
    polite = job("polite", Every(HOUR, START), policies=Policies(active_hours="skip"))
    found = laid(plain, polite, hours=NIGHT_OFF)
    assert {row.name: sum(row.quiet) for row in found.rows} == {"plain": 0, "polite": 12}


def test_minutes_with_more_jobs_than_may_run_are_hot() -> None:
    jobs = [job(f"j{n}", Cron(f"{n % 2} 9 * * *", "UTC")) for n in range(6)]
    found = laid(*jobs, most=2)
    assert found.hot == 2
    assert [spot.to_json() for spot in found.hot_spots] == [
        {"atMs": 1772442000000, "due": 3, "jobs": ["j0", "j2", "j4"]},
        {"atMs": 1772442060000, "due": 3, "jobs": ["j1", "j3", "j5"]},
    ]
    assert laid(*jobs, most=3).hot == 0


def test_beats_make_no_minute_hot_but_share_it() -> None:
    beats = [beat(HOUR, f"a{n}") for n in range(5)]
    found = laid(*beats, job("hourly", Every(HOUR, START)), most=1)
    assert found.hot == 0
    assert found.shared == 24


def test_several_slots_of_one_job_in_a_minute_count_once() -> None:
    found = laid(job("quick", Cron("*/10 * * * * *", "UTC")), most=1)
    assert (found.hot, found.shared) == (0, 0)
    assert found.rows[0].total == 8640
    assert len(found.rows[0].slots) == MOST


@pytest.mark.parametrize(
    "schedule",
    [
        Every(timedelta(milliseconds=2700), START - timedelta(milliseconds=333)),
        Every(timedelta(seconds=11), START + 2 * HOUR),
        Cron("*/3 * * * * *", "Europe/Berlin", stagger=timedelta(seconds=40), hash_id="job"),
        Cron("*/2 * 8-9 29 3 *", "Europe/Berlin"),
        Cron("* 1-3 29 3 *", "Europe/Berlin"),
    ],
)
@pytest.mark.parametrize("waits", [True, False])
def test_slots_that_are_counted_lie_where_those_that_are_walked_do(
    monkeypatch: pytest.MonkeyPatch, schedule: Every | Cron, *, waits: bool
) -> None:
    start = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)
    policies = Policies(until=start + 23 * HOUR, active_hours="skip" if waits else None)
    made = job("job", schedule, policies=policies)
    ahead = [*schedule.instants(start, start + DAY)][3:700:90]
    left_out = {str(at): "me" for at in [*ahead, ahead[0] + 1]}
    made = replace(made, state=replace(made.state, skips=left_out))
    windows = tuple(Open(start + n * HOUR, start + (n + 0.7) * HOUR) for n in (2, 13, 22))

    def told() -> dict[str, object]:
        return timeline(
            [made, job("other", Cron("7 * * * *", "UTC"))],
            start=start - 90 * timedelta(seconds=1),
            after=start,
            until=start + DAY,
            cell=timedelta(minutes=7),
            most_at_once=0,
            hours={"main": windows},
        ).to_json()

    monkeypatch.setattr(jobs.timeline, "_MOST_WALKED", 10**9)
    walked = told()
    monkeypatch.setattr(jobs.timeline, "_MOST_WALKED", 0)
    assert told() == walked


def test_a_job_of_many_slots_costs_its_cells_and_not_its_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def few(_stored: object, _span: object, _last: object) -> Iterator[int]:
        yield from range(MOST)
        raise AssertionError("its slots are walked")

    monkeypatch.setattr(jobs.timeline, "_instants", few)
    quick = Every(timedelta(milliseconds=100), START)
    assert laid(job("quick", quick)).rows[0].total == 864_000


def test_what_is_switched_off_is_left_out_and_what_is_paused_is_shown_empty() -> None:
    off = job("off", Every(HOUR, START), enabled=False)
    held = job("held", Every(HOUR, START))
    held = replace(held, state=replace(held.state, paused={"by": "me"}))
    found = laid(off, held)
    assert [(row.name, row.total, row.paused) for row in found.rows] == [("held", 0, True)]


def test_a_slot_that_is_left_out_once_or_lies_beyond_the_end_is_no_slot() -> None:
    skipped = job("skipped", Every(HOUR, START))
    key = str((START + HOUR - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
    skipped = replace(skipped, state=replace(skipped.state, skips={key: "me"}))
    ends = job("ends", Every(HOUR, START), policies=Policies(until=START + 3 * HOUR))
    found = laid(skipped, ends)
    assert {row.name: row.total for row in found.rows} == {"skipped": 23, "ends": 3}


WORKDAYS = Calendar(name="workdays", weekdays=frozenset(range(5)), tz="UTC")


@pytest.mark.parametrize(
    ("on_excluded", "days"),
    [
        ("skip", [2, 3, 4, 5, 6, 9]),
        ("next-allowed", [2, 3, 4, 5, 6, 9]),
        ("previous-allowed", [2, 3, 4, 5, 6, 9]),
    ],
)
def test_a_slot_of_an_excluded_day_is_where_the_calendar_puts_it(
    on_excluded: str, days: list[int]
) -> None:
    rule = Policies(calendars=CalendarRule(names=("workdays",), on_excluded=on_excluded))
    daily = job("daily", Cron("0 9 * * *", "UTC"), policies=rule)
    weekly = job("weekly", Cron("0 10 * * 6", "UTC"), policies=rule)
    found = timeline(
        [daily, weekly],
        start=START,
        until=START + 8 * DAY,
        cell=HOUR,
        most_at_once=4,
        hours={},
        calendars={"workdays": WORKDAYS},
    )
    rows = {row.name: [slot.day for slot in row.slots] for row in found.rows}
    assert rows["daily"] == days
    moved = {"skip": [], "next-allowed": [2, 9], "previous-allowed": [6]}
    assert rows["weekly"] == moved[on_excluded]


def test_a_calendar_nobody_knows_moves_nothing() -> None:
    rule = Policies(calendars=CalendarRule(names=("gone",)))
    assert laid(job("daily", Cron("0 9 * * *", "UTC"), policies=rule)).rows[0].total == 1


def test_the_first_cell_may_have_begun() -> None:
    found = timeline(
        [job("quarterly", Cron("*/15 * * * *", "UTC"))],
        start=START,
        after=START + timedelta(minutes=20),
        until=START + DAY,
        cell=HOUR,
        most_at_once=4,
        hours={},
    )
    assert found.rows[0].cells[:2] == (2, 4)


def test_a_slot_that_is_late_is_told() -> None:
    late = job("late", Every(HOUR, START))
    late = replace(late, state=JobState(next_run_at=START - HOUR))
    assert laid(late).rows[0].overdue


def test_a_one_shot_is_due_when_its_state_says_so() -> None:
    again = job("again", At(START - DAY))
    again = replace(again, state=JobState(next_run_at=START + 2 * HOUR))  # it is tried again
    assert laid(again).rows[0].slots == (START + 2 * HOUR,)
    assert laid(job("done", At(START - DAY))).rows[0].slots == ()


def test_the_whole_is_told_in_milliseconds() -> None:
    told = laid(beat(HOUR), hours=NIGHT_OFF).to_json()
    assert told["untilMs"] - told["fromMs"] == 86_400_000
    assert told["cellMs"] == 3_600_000
    assert told["activeHours"]["main"][0]["fromMs"] == told["fromMs"] + 8 * 3_600_000
    assert told["jobs"][0]["kind"] == "heartbeat"
