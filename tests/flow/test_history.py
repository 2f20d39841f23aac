"""The history of beats, filtered: each word of the closed lists, and none beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import InvalidInput
from jobs.wallclock import ms

CONFIG: dict[str, Any] = {
    "agents": {
        "defaults": {
            "heartbeat": {
                "every": "30m",
                "target": "last",
                "activeHours": {"start": "08:00", "end": "22:00", "timezone": "UTC"},
            }
        }
    }
}
HOUR = timedelta(hours=1)
LOOK = "- a\n"
START = "2026-06-01 09:00"
Page = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A morning with skips, an alert, silence and acknowledgements."""
    agent = ScriptedAgent("The build is red.", "", then="HEARTBEAT_OK")
    async with Simulation(CONFIG, start="2026-06-01 07:00", agent=agent, checklist="- a\n") as sim:
        await sim.advance(timedelta(hours=3))
        yield sim.engine.history.page


@pytest.mark.parametrize("status", ["sent", "ok-empty", "ok-token", "skipped", "failed"])
async def test_a_status_leaves_only_beats_that_have_it(page: Page, status: str) -> None:
    everything = (await page({}))["entries"]
    found = await page({"status": status})
    assert found["entries"] == [one for one in everything if one["status"] == status]
    assert found["total"] == len(found["entries"])
    assert (status == "failed") == (not found["entries"])


async def test_a_filtered_page_goes_on_where_the_last_one_ended(page: Page) -> None:
    whole = (await page({"status": "skipped"}))["entries"]
    first = await page({"status": "skipped", "limit": 1})
    assert (first["entries"], first["hasMore"]) == (whole[:1], True)
    assert (await page({"status": "skipped", "limit": 1, "offset": 1}))["entries"] == whole[1:2]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"status": "foo"}, "status 'foo' is not known. Fix: use one of: claimed, deferred"),
        ({"status": "skiped"}, 'did you mean "skipped"?'),
        ({"reason": "quiet"}, 'did you mean "quiet-hours"?'),
    ],
)
async def test_a_word_that_is_on_no_list_is_refused_with_the_list(
    page: Page, wish: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await page(wish)
    assert words in str(refusal.value)


async def test_words_that_went_nowhere_are_told_in_the_time_of_their_person() -> None:
    """Also the older product's own field for them: it told UTC."""
    config = {"agents": {"defaults": {"heartbeat": {"every": "30m"}, "userTimezone": "Asia/Tokyo"}}}
    agent = ScriptedAgent(then="The build is red.")
    async with Simulation(config, start="2026-06-01 07:00", agent=agent, checklist="- a\n") as sim:
        await sim.advance(timedelta(hours=1))
        record = await sim.engine.history.last()
    assert record is not None
    assert record["skipReason"] == "target-none"
    assert record["message"] == record["explain"]


async def test_a_client_that_was_away_reads_the_events_it_missed(engine_sim: EngineSim) -> None:
    """heartbeat.md §20: a ring of 500 with a cursor; after a restart it says what is gone."""
    sim = engine_sim(CONFIG, start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    heard: list[Any] = []
    stop = sim.engine.bus.listen(lambda e: heard.append(e) if e.name == "heartbeat" else None)
    await sim.advance(2 * HOUR)
    stop()
    here = heard[-1].payload["seq"]
    await sim.advance(HOUR)
    missed = sim.engine.beats.turn.ring.since(here)
    assert [one["seq"] for one in missed["events"]] == [here + 1, here + 2]
    assert [one["status"] for one in missed["events"]] == ["ok-token"] * 2
    assert missed["complete"]
    await sim.restart(down_for=HOUR)
    again = sim.engine.beats.turn.ring.since(missed["cursor"])
    assert (again["events"], again["complete"]) == ([], False)


async def test_pages_by_cursor_neither_repeat_nor_leave_out_what_is_recorded_meanwhile(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(CONFIG, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(5 * HOUR)
    every = [one["runId"] for one in (await sim.engine.history.page({}))["entries"]]
    seen, cursor = [], None
    while True:
        page = await sim.engine.history.page({"limit": 4, "cursor": cursor})
        seen += [one["runId"] for one in page["entries"]]
        if (cursor := page["nextCursor"]) is None:
            break
        await sim.advance(HOUR)
    assert seen == every


@pytest.mark.parametrize("cursor", ["x", "1", "1:x", "-1:2", "9" * 40 + ":1"])
async def test_a_cursor_of_no_page_is_refused(engine_sim: EngineSim, cursor: str) -> None:
    sim = engine_sim(CONFIG, start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    with pytest.raises(InvalidInput, match="is of no page"):
        await sim.engine.history.page({"cursor": cursor})


def hours(start: str, end: str, **beat: Any) -> dict[str, Any]:
    window = {"start": start, "end": end, "timezone": "UTC"}
    heartbeat = {"every": "30m", "target": "last", "activeHours": window, **beat}
    return {"agents": {"defaults": {"heartbeat": heartbeat}}}


@pytest.mark.parametrize(
    "changed",
    [
        hours("08:00", "22:00", every="6h"),
        hours("18:00", "22:00"),
        hours("08:00", "22:00", every="0m"),
    ],
    ids=["cadence", "hours", "no beats any more"],
)
async def test_the_next_beat_is_that_of_the_plan_and_not_of_the_row(
    changed: dict[str, Any],
) -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    async with Simulation(CONFIG, start="2026-06-01 09:00", agent=agent, checklist="- a\n") as sim:
        await sim.advance(timedelta(hours=1))
        before = await sim.engine.history.last("main")
        await sim.apply(changed)
        after = await sim.engine.history.last("main")
        due = sim.engine.lookout.next_beat(sim.engine.roster.agent("main"), sim.now())
        assert before is not None
        assert after is not None
        assert after["runId"] == before["runId"]
        assert after.get("nextDueAt") == (None if due is None else ms(due))
        assert after.get("nextDueAt") != before["nextDueAt"]
        assert ("Next:" in after["explain"]) is (due is not None)
        if due is not None:  # and the row of the next beat knows better again
            await sim.until(due + timedelta(minutes=1))
            newest = await sim.engine.history.last("main")
            assert newest is not None
            assert newest["nextDueAt"] > after["nextDueAt"]
