from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.audit import (
    Audit,
    Bound,
    Hole,
    JobAudit,
    Kept,
    Recorded,
    Retention,
    Window,
    audit,
    stretch,
)
from jobs.model import AgentTurn, Job, JobState, StoredJob
from jobs.policies import CalendarRule, Policies
from jobs.schedule import At, Cron, Every, Schedule
from jobs.wallclock import EPOCH

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 8, 0, 30, tzinfo=UTC)
WEEK = Window(since=NOW - timedelta(days=7), until=NOW)
FOREVER = Retention(since=EPOCH)
NOTHING = Kept(rows=0, oldest=None, newest=None)
HOURLY = Every(timedelta(hours=1), START)


def job(
    schedule: Schedule = HOURLY, *, state: JobState | None = None, **given: object
) -> StoredJob:
    made = Job(id="j", name="j", schedule=schedule, payload=AgentTurn(message="hi"))
    standing = state or JobState(schedule_activated_at=START - timedelta(days=30))
    return StoredJob(job=replace(made, **given), state=standing, revision="r")  # type: ignore[arg-type]


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def rows_of(schedule: Every | Cron, window: Window = WEEK) -> list[Recorded]:
    slots = schedule.instants(window.since - timedelta(milliseconds=1), window.until)
    return [Recorded(slot) for slot in slots]


def audited(stored: StoredJob, rows: list[Recorded], kept: Kept = NOTHING) -> JobAudit:
    return audit(stored, WEEK, FOREVER, kept, rows)


# -- comparing -----------------------------------------------------------------------------------


def test_a_ledger_with_a_row_for_every_slot_is_clean() -> None:
    found = audited(job(), rows_of(HOURLY))
    assert found.clean
    assert (found.expected, found.recorded, found.missing) == (168, 168, 0)


def test_a_row_that_is_gone_is_a_hole_with_its_instant() -> None:
    rows = rows_of(HOURLY)
    gone = rows.pop(10)
    found = audited(job(), rows)
    at = EPOCH + timedelta(milliseconds=gone.slot)
    assert found.holes == (Hole(at, at, 1),)
    assert (found.expected, found.recorded, found.missing) == (168, 167, 1)


def test_neighbours_that_are_gone_are_one_hole() -> None:
    rows = rows_of(HOURLY)
    found = audited(job(), rows[:20] + rows[50:])
    assert [hole.count for hole in found.holes] == [30]
    assert found.holes[0].last - found.holes[0].first == timedelta(hours=29)


def test_rows_gone_at_either_end_are_missing_too() -> None:
    found = audited(job(), rows_of(HOURLY)[3:-2])
    assert [hole.count for hole in found.holes] == [3, 2]


def test_an_empty_ledger_is_one_hole_however_many_slots_it_has() -> None:
    each_ms = job(Every(timedelta(milliseconds=1), START))
    found = audited(each_ms, [])
    assert found.missing == 7 * 86_400_000 + 1
    assert len(found.holes) == 1


def test_a_slot_with_two_rows_is_a_duplicate() -> None:
    rows = rows_of(HOURLY)
    found = audited(job(), [*rows[:5], rows[4], *rows[5:]])
    assert (found.duplicates, found.missing) == (1, 0)
    assert [ms(at) for at in found.doubled] == [rows[4].slot]


def test_a_row_for_a_slot_that_no_schedule_names_is_astray() -> None:
    rows = rows_of(HOURLY)
    stray = Recorded(rows[4].slot + 1000)
    found = audited(job(), [*rows[:5], stray, *rows[5:]])
    assert (found.strays, found.missing) == (1, 0)
    assert not found.clean


def test_a_row_without_an_end_is_counted_and_is_no_hole() -> None:
    rows = rows_of(HOURLY)
    rows[-1] = replace(rows[-1], final=False)
    found = audited(job(), rows)
    assert found.unfinished == 1
    assert found.clean


# -- rows that stand for many slots --------------------------------------------------------------


def folded(rows: list[Recorded], count: int | None = None) -> Recorded:
    return Recorded(rows[0].slot, rows[-1].slot, count or len(rows))


def test_a_row_that_stands_for_many_counts_as_many() -> None:
    rows = rows_of(HOURLY)
    found = audited(job(), [*rows[:10], folded(rows[10:110]), *rows[110:]])
    assert found.clean
    assert (found.expected, found.recorded) == (168, 168)


@pytest.mark.parametrize(("count", "missing", "strays"), [(97, 3, 0), (102, 0, 2)])
def test_a_row_that_stands_for_too_few_or_too_many_is_told(
    count: int, missing: int, strays: int
) -> None:
    rows = rows_of(HOURLY)
    found = audited(job(), [*rows[:10], folded(rows[10:110], count), *rows[110:]])
    assert (found.missing, found.strays) == (missing, strays)


def test_a_single_row_within_a_shared_one_is_a_duplicate() -> None:
    rows = rows_of(HOURLY)
    found = audited(job(), [*rows[:10], folded(rows[10:110]), rows[50], *rows[110:]])
    assert (found.duplicates, found.missing) == (1, 0)


def test_a_shared_row_that_begins_before_the_window_covers_its_part() -> None:
    rows = rows_of(HOURLY)
    before = Recorded(rows[0].slot - 3_600_000 * 50, rows[9].slot, 60)
    found = audited(job(), [before, *rows[10:]])
    assert found.clean
    assert found.recorded == 168


# -- clocks that change --------------------------------------------------------------------------


@pytest.mark.parametrize("expr", ["*/30 * * * *", "30 2 * * *", "0 0 30 * *", "0 9 30 * *"])
def test_a_day_the_zone_skipped_needs_its_row(expr: str) -> None:
    schedule = Cron(expr, "Pacific/Apia")
    window = Window(
        since=datetime(2011, 11, 25, tzinfo=UTC), until=datetime(2012, 1, 31, tzinfo=UTC)
    )
    standing = JobState(schedule_activated_at=datetime(2011, 1, 1, tzinfo=UTC))
    rows = rows_of(schedule, window)
    lost = ms(datetime(2011, 12, 30, 10, 0, 0, 1000, tzinfo=UTC))
    if not expr.startswith("*"):
        assert audit(job(schedule, state=standing), window, FOREVER, NOTHING, rows).missing == 1
        rows = sorted([*rows, Recorded(lost)], key=lambda row: row.slot)
    assert audit(job(schedule, state=standing), window, FOREVER, NOTHING, rows).clean


def test_hours_that_come_twice_have_two_rows() -> None:
    schedule = Cron("0 * * * *", "Europe/Berlin")
    window = Window(
        since=datetime(2026, 10, 24, 22, tzinfo=UTC), until=datetime(2026, 10, 25, 23, tzinfo=UTC)
    )
    stored = job(schedule, state=JobState(schedule_activated_at=START))
    rows = rows_of(schedule, window)
    assert audit(stored, window, FOREVER, NOTHING, rows).expected == 26


# -- one-shots -----------------------------------------------------------------------------------

AT = datetime(2026, 3, 5, 9, tzinfo=UTC)


def test_a_one_shot_has_one_row() -> None:
    assert audited(job(At(AT)), [Recorded(ms(AT))]).clean
    assert audited(job(At(AT)), []).holes == (Hole(AT, AT, 1),)
    assert audited(job(At(AT)), [Recorded(ms(AT)), Recorded(ms(AT))]).duplicates == 1
    assert audited(job(At(AT)), [Recorded(ms(AT)), Recorded(ms(AT) + 3_600_000)]).strays == 1


def test_an_instant_that_had_just_passed_is_served_at_once() -> None:
    activated = JobState(schedule_activated_at=AT - timedelta(days=1))
    assert audited(job(At(AT), state=activated), [Recorded(ms(AT) + 30_000)]).clean


def test_a_one_shot_to_come_or_switched_off_before_is_not_expected() -> None:
    assert audited(job(At(NOW + timedelta(days=1))), []).clean
    kept = Kept(rows=0, oldest=None, newest=None)
    assert audited(job(At(AT), enabled=False), [], kept).clean


# -- which slots must have a row -----------------------------------------------------------------


def test_nothing_is_expected_from_before_the_schedule_counted() -> None:
    activated = NOW - timedelta(days=2)
    found = audited(job(state=JobState(schedule_activated_at=activated)), [])
    assert found.missing == 48
    assert found.stretch is not None
    assert found.stretch.bound is Bound.ACTIVATED


def test_a_slot_at_the_moment_of_activation_is_not_expected() -> None:
    activated = datetime(2026, 3, 6, 12, tzinfo=UTC)
    stored = job(state=JobState(schedule_activated_at=activated))
    assert audited(stored, []).holes[0].first == activated + timedelta(hours=1)


def test_what_the_scheduler_has_yet_to_look_at_waits_and_is_no_hole() -> None:
    due = datetime(2026, 3, 7, 12, tzinfo=UTC)
    state = JobState(schedule_activated_at=START - timedelta(days=30), next_run_at=due)
    rows = [row for row in rows_of(HOURLY) if row.slot < ms(due)]
    found = audited(job(state=state), rows)
    assert found.clean
    assert found.waiting == 13
    assert audited(job(state=replace(state, next_run_at=NOW + timedelta(hours=1))), []).waiting == 0


def test_a_next_run_that_moved_on_without_a_row_is_a_hole() -> None:
    state = JobState(schedule_activated_at=START, next_run_at=NOW + timedelta(days=9))
    assert audited(job(state=state), rows_of(HOURLY)[:-1]).missing == 1


def test_a_job_that_is_switched_off_is_audited_up_to_its_newest_row() -> None:
    rows = rows_of(HOURLY)[:50]
    kept = Kept(rows=50, oldest=None, newest=EPOCH + timedelta(milliseconds=rows[-1].slot))
    assert audited(job(enabled=False), rows, kept).expected == 50
    assert audited(job(enabled=False), rows[:10] + rows[11:], kept).missing == 1
    assert audited(job(enabled=False), []).stretch is None


def test_a_job_that_has_had_all_its_runs_is_audited_up_to_its_newest_row() -> None:
    rows = rows_of(HOURLY)[:5]
    kept = Kept(rows=5, oldest=None, newest=EPOCH + timedelta(milliseconds=rows[-1].slot))
    assert audited(job(policies=Policies(max_runs=5)), rows, kept).clean
    assert audited(job(policies=Policies(max_runs=5)), rows[:2] + rows[3:], kept).missing == 1


def test_a_job_that_lost_its_next_run_is_one_hole() -> None:
    assert audited(job(), rows_of(HOURLY)[:5]).missing == 163


def test_no_slot_is_expected_beyond_the_end_of_a_job() -> None:
    until = datetime(2026, 3, 4, tzinfo=UTC)
    stored = job(policies=Policies(until=until))
    rows = [row for row in rows_of(HOURLY) if row.slot <= ms(until)]
    assert audited(stored, rows).clean


def test_rows_that_are_kept_no_longer_are_not_missed() -> None:
    recent = Retention(since=NOW - timedelta(days=1))
    found = audit(job(), WEEK, recent, NOTHING, rows_of(HOURLY)[-24:])
    assert found.clean
    assert found.stretch is not None
    assert found.stretch.bound is Bound.KEPT


def test_a_job_with_as_many_rows_as_it_may_have_is_audited_from_its_oldest() -> None:
    rows = rows_of(HOURLY)[-100:]
    oldest = EPOCH + timedelta(milliseconds=rows[0].slot)
    crowded = Kept(rows=100, oldest=oldest, newest=None)
    most = Retention(since=EPOCH, per_job=100)
    assert audit(job(), WEEK, most, crowded, rows).clean
    few = replace(crowded, rows=50)
    assert audit(job(), WEEK, most, few, rows).missing == 68
    gone = audit(job(), WEEK, most, replace(crowded, rows=99), [*rows[:50], *rows[51:]])
    assert gone.missing == 1


def test_a_window_before_a_job_holds_nothing_of_it() -> None:
    stored = job(state=JobState(schedule_activated_at=NOW + timedelta(days=1)))
    assert stretch(stored, WEEK, FOREVER, NOTHING) is None
    assert audited(stored, []).clean


def test_a_slot_that_a_calendar_brought_forward_is_not_astray() -> None:
    rule = CalendarRule(names=("workdays",), on_excluded="previous-allowed")
    rows = rows_of(HOURLY)
    forward = Recorded(rows[4].slot + 1000)
    stored = job(policies=Policies(calendars=rule))
    found = audited(stored, [*rows[:5], forward, *rows[5:]])
    assert found.clean
    assert found.moved == 1


# -- the whole -----------------------------------------------------------------------------------


def test_an_audit_is_told_with_its_totals() -> None:
    clean, holed = audited(job(), rows_of(HOURLY)), audited(job(), rows_of(HOURLY)[1:])
    whole = Audit(window=WEEK, kept_since=EPOCH, jobs=(clean, holed), unreadable=("bad",))
    told = whole.to_json()
    assert (told["ok"], told["clean"], told["missing"]) == (False, False, 1)
    assert (told["expected"], told["recorded"]) == (336, 335)
    assert told["unreadable"] == ["bad"]
    unproved = Audit(window=WEEK, kept_since=EPOCH, jobs=(clean,), unreadable=("bad",))
    assert (unproved.ok, unproved.clean) == (False, False)
    assert told["jobs"][1]["holes"] == [
        {"fromMs": ms(START) + 3_600_000 * 1, "toMs": ms(START) + 3_600_000, "count": 1}
    ]
    assert told["jobs"][0]["bound"] == "since"
    assert "bound" not in JobAudit(job_id="j", name="j", kind="cron", stretch=None).to_json()
