"""Windows as data, in a whole engine: several of them, holidays, dayparts, changes of clocks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.decisions.heartbeat import next_that_runs
from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from jobs.hours import parse
from jobs.schedule import Every
from jobs.wallclock import EPOCH

LOOK = "- look at the builds\n"
NEW_YORK = "America/New_York"


def beating(**heartbeat: Any) -> dict[str, Any]:
    return {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"} | heartbeat}}}


WORK = {"days": "mon-fri", "start": "09:00", "end": "12:00"}
SATURDAY = {"days": ["sat"], "start": "10:00", "end": "11:00"}


async def test_beats_run_in_any_of_several_windows(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        beating(activeHours=[WORK, SATURDAY]), start="2026-06-01 00:00", zone="UTC", checklist=LOOK
    )
    rows = (await sim.until("2026-06-08 00:00")).beats.rows
    ran = Counter(f"{row.local_at:%a}" for row in rows if row.status == "ok")
    assert ran == {"Mon": 6, "Tue": 6, "Wed": 6, "Thu": 6, "Fri": 6, "Sat": 2}
    assert len(rows) == 7 * 48  # the others are on record too
    assert {row.reason for row in rows if row.status != "ok"} == {"quiet-hours"}


async def test_a_holiday_of_a_calendar_is_quiet_and_named(engine_sim: EngineSim) -> None:
    config = beating(activeHours=[{**WORK, "except": ["calendar:bank"]}]) | {
        "cron": {"calendars": {"bank": {"exclude": ["2026-06-03"]}}}
    }
    sim = engine_sim(config, start="2026-06-02 09:00", zone="UTC", checklist=LOOK)
    rows = (await sim.until("2026-06-04 12:00")).beats.rows
    assert Counter(row.local_at.day for row in rows if row.status == "ok") == {2: 6, 4: 6}
    closed = next(row for row in rows if f"{row.local_at:%d %H}" == "03 10")
    assert closed.because.endswith("bank excludes Wed 2026-06-03: 2026-06-03")


async def test_a_daypart_beats_at_its_own_interval_and_the_rest_at_the_usual_one(
    engine_sim: EngineSim,
) -> None:
    """Inside a window `every` is that window's; `dayparts` close nothing."""
    part = {"start": "09:00", "end": "10:00", "every": "10m"}
    sim = engine_sim(beating(dayparts=[part]), start="2026-06-01 08:00", zone="UTC", checklist=LOOK)
    rows = (await sim.until("2026-06-01 11:00")).beats.rows
    assert Counter(row.local_at.hour for row in rows) == {8: 2, 9: 6, 10: 2}
    assert {row.status for row in rows} == {"ok"}
    sim = engine_sim(
        beating(activeHours=[part]), start="2026-06-01 08:00", zone="UTC", checklist=LOOK
    )
    rows = (await sim.until("2026-06-01 11:00")).beats.rows
    assert Counter(row.local_at.hour for row in rows if row.status == "ok") == {9: 6}


async def test_every_one_of_several_windows_gets_its_beat(engine_sim: EngineSim) -> None:
    """Every 24 h meets one of them at most: the others are beaten in as they open."""
    windows = [
        {"start": "08:00", "end": "08:10"},
        {"start": "12:00", "end": "12:10", "days": "mon-fri"},
        {"start": "20:00", "end": "20:10", "days": "sun"},
    ]
    sim = engine_sim(
        beating(every="24h", activeHours=windows),
        start="2026-06-01 00:00",
        zone="UTC",
        checklist=LOOK,
    )
    rows = (await sim.until("2026-06-08 00:00")).beats.rows
    ran = Counter(row.local for row in rows if row.status == "ok")
    assert ran == {"08:00": 7, "12:00": 5, "20:00": 1}
    (told,) = await sim.engine.beat_jobs.listing()
    assert told["warning"].count("window-never-open") == 3
    assert told["activeHours"].startswith("08:00-08:10, 12:00-12:10 mon-fri, 20:00")


async def test_an_event_at_night_waits_for_the_window_that_opens_next(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating(activeHours=[WORK, SATURDAY]), start="2026-06-05 18:00", zone="UTC", checklist=LOOK
    )
    await sim.open()
    await sim.engine.waking.system_event(
        NewEvent(text="built", mode="now", source="hook", by="test", intent=Intent.EVENT)
    )
    rows = (await sim.until("2026-06-06 10:05")).beats.rows
    woken = [row for row in rows if row.row.wake.get("source") == "hook"]
    assert [(row.status, f"{row.row.started_at:%d %H:%M}") for row in woken] == [("ok", "06 10:00")]


# -- acceptance 26-5: a month with a change of clocks, the counts of §5 ---------------------------

COUNTS = [  # window, on an ordinary day, on the day of the change
    ("2026-03", "09:00", "22:00", 156, 156),
    ("2026-03", "02:15", "02:45", 6, 6),  # lost to the gap: opens after it
    ("2026-11", "01:15", "01:45", 6, 6),  # twice on the wall, once here
    ("2026-11", "09:00", "22:00", 156, 156),
]
CHANGE = {"2026-03": "08", "2026-11": "01"}


@pytest.mark.parametrize(("month", "start", "end", "usual", "changed"), COUNTS)
def test_a_month_over_the_change_of_clocks_has_the_specified_counts(
    month: str, start: str, end: str, usual: int, changed: int
) -> None:
    hours = parse(start, end, NEW_YORK)
    grid = Every(timedelta(minutes=5), EPOCH)
    at = datetime.fromisoformat(f"{month}-01T00:00").replace(tzinfo=hours.zone)
    last = at + timedelta(days=30)
    found: Counter[str] = Counter()
    slot = next_that_runs(grid, hours, at.astimezone(UTC) - timedelta(milliseconds=1))
    while slot is not None and slot < last.astimezone(UTC):
        found[f"{slot.astimezone(hours.zone):%d}"] += 1
        slot = next_that_runs(grid, hours, slot)
    assert found.pop(CHANGE[month]) == changed
    assert set(found.values()) == {usual}
    assert len(found) == 29


@pytest.mark.parametrize(
    ("day", "slots", "night"), [("2026-03-08", 276, 84), ("2026-11-01", 300, 108)]
)
async def test_the_engine_keeps_the_counts_on_the_day_itself(
    engine_sim: EngineSim, day: str, slots: int, night: int
) -> None:
    """22:00-06:00: 84 beats on the short day, 108 on the long one."""
    sim = engine_sim(
        beating(every="5m", activeHours={"start": "22:00", "end": "06:00"}),
        start=f"{day} 00:00",
        zone=NEW_YORK,
        checklist=LOOK,
    )
    following = f"{datetime.fromisoformat(day) + timedelta(days=1):%Y-%m-%d} 00:00"
    rows = (await sim.until(following)).beats.rows
    assert len(rows) == slots
    assert sum(row.status == "ok" for row in rows) == night


LOCAL = [
    ("Europe/London", "2026-03-28 00:00", "2026-03-31 00:00"),
    ("Europe/London", "2026-10-24 00:00", "2026-10-27 00:00"),
    ("Australia/Lord_Howe", "2026-04-04 00:00", "2026-04-07 00:00"),
    (NEW_YORK, "2026-10-31 00:00", "2026-11-03 00:00"),
]


@pytest.mark.parametrize(("zone", "start", "end"), LOCAL)
async def test_a_phase_at_a_local_time_stays_there_over_the_change(
    engine_sim: EngineSim, zone: str, start: str, end: str
) -> None:
    sim = engine_sim(beating(every="24h", phase="09:00"), start=start, zone=zone, checklist=LOOK)
    rows = (await sim.until(end)).beats.rows
    assert [row.local for row in rows] == ["09:00"] * 3


@pytest.mark.parametrize(
    ("phase", "start", "end", "times"),
    [  # a time of day in the gap comes when it ends; one that comes twice comes once
        ("02:30", "2026-03-07 00:00", "2026-03-10 00:00", ["02:30", "03:00", "02:30"]),
        ("01:30", "2026-10-31 00:00", "2026-11-03 00:00", ["01:30", "01:30", "01:30"]),
    ],
)
async def test_a_phase_the_clocks_skip_or_repeat_comes_once(
    engine_sim: EngineSim, phase: str, start: str, end: str, times: list[str]
) -> None:
    sim = engine_sim(beating(every="24h", phase=phase), start=start, zone=NEW_YORK, checklist=LOOK)
    assert [row.local for row in (await sim.until(end)).beats.rows] == times
