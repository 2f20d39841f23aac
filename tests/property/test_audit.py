"""An audit finds exactly the rows that were taken away, whatever was folded and lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from jobs.audit import Kept, Recorded, Retention, Window, audit
from jobs.model import AgentTurn, Job, JobState, StoredJob
from jobs.schedule import Cron, Every
from jobs.wallclock import EPOCH

MS = timedelta(milliseconds=1)
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
EXPRESSIONS = ("*/20 * * * *", "30 1-3 * * *", "0 9 * * 1-5", "15 2 * * *", "0 0 1 * *")
starts = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
schedules = st.one_of(
    st.builds(Every, st.timedeltas(timedelta(minutes=7), timedelta(days=2)), starts).map(
        lambda every: Every(every.period // MS * MS, every.anchor.replace(microsecond=0))
    ),
    st.builds(Cron, st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES)),
)


@given(schedules, starts, st.integers(1, 60), st.data())
def test_what_was_taken_away_is_what_is_missing(
    schedule: Every | Cron, start: datetime, days: int, data: st.DataObject
) -> None:
    window = Window(since=start.replace(microsecond=0), until=start + timedelta(days=days))
    whole = list(schedule.instants(window.since - MS, window.until))
    marks = data.draw(st.lists(st.sampled_from(["keep", "fold", "gone"]), max_size=40))
    rows: list[Recorded] = []
    gone = at = 0
    for mark in marks:
        size = data.draw(st.integers(1, 5))
        part, at = whole[at : at + size], at + size
        if not part:
            break
        if mark == "gone":
            gone += len(part)
        elif mark == "fold":
            rows.append(Recorded(part[0], part[-1], len(part)))
        else:
            rows += [Recorded(slot) for slot in part]
    rows += [Recorded(slot) for slot in whole[at:]]
    job = Job(id="j", name="j", schedule=schedule, payload=AgentTurn(message="hi"))
    stored = StoredJob(job=job, state=JobState(schedule_activated_at=EPOCH), revision="r")
    kept = Kept(rows=len(rows), oldest=None, newest=None)
    found = audit(stored, window, Retention(since=EPOCH), kept, rows)
    assert found.missing == gone == sum(hole.count for hole in found.holes)
    assert found.expected == len(whole)
    assert found.recorded == len(whole) - gone
    assert not found.duplicates
    assert not found.strays
