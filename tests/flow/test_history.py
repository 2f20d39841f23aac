"""The history of beats, filtered: each word of the closed lists, and none beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from engine.testing import ScriptedAgent, Simulation
from jobs.errors import InvalidInput

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
