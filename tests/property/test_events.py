"""No path takes an event away that the model did not see (heartbeat.md §1, §26 point 11).

Whatever happens in whatever order: an event waits, or stood in a prompt that was answered, or the
time its sender gave it was over, and then a beat's row says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from typing import Any, Final

from hypothesis import Phase, example, given, settings, strategies as st

from engine.agents.base import AgentFailure, FailureClass, TurnReply, TurnRequest
from engine.decisions.wake import Intent, NewEvent, QueuedEvent
from engine.store import events
from engine.testing import Simulation
from engine.upkeep.housekeeping import Housekeeping
from jobs.store import runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Tx

MINUTE: Final = timedelta(minutes=1)
CONFIG: Final[dict[str, Any]] = {
    "agents": {
        "defaults": {
            "heartbeat": {
                "every": "30m",
                "target": "last",
                "activeHours": {"start": "06:00", "end": "22:00"},
                "idlePauseAfter": "8h",
                "budget": {"runsPerDay": 12},
            }
        }
    }
}
MOODS: Final = ("HEARTBEAT_OK", "The build is red.", "[tool_call]", "", None)


class Moody:
    """An agent that answers as it is told to, and remembers what it answered to."""

    def __init__(self) -> None:
        self.mood: str | None = MOODS[0]
        self.answered: list[str] = []

    async def answer(self, request: TurnRequest) -> TurnReply:
        if self.mood is None:
            raise AgentFailure(FailureClass.NETWORK, "no connection")
        self.answered.append(request.prompt)
        return TurnReply(payloads=(self.mood,))


class World:
    """A simulation, and the things that may happen in it."""

    def __init__(self) -> None:
        self.agent = Moody()
        self.sim = Simulation(
            CONFIG, start="2026-06-01 04:00", zone="UTC", agent=self.agent, checklist="- look\n"
        )
        self.texts = (f"event number {number:03} happened" for number in count())
        self.told: dict[str, str] = {}
        self._on = True

    async def _queue(self, mode: str, intent: Intent, lasts: timedelta | None = None) -> None:
        text = next(self.texts)
        expires_at = None if lasts is None else self.sim.now() + lasts
        event = NewEvent(
            text=text, mode=mode, source="hook", by="h", intent=intent, expires_at=expires_at
        )
        answer = await self.sim.engine.waking.system_event(event)
        self.told[str(answer["eventId"])] = text
        await self.sim.advance(timedelta())

    async def happens(self, what: str) -> None:
        sim, jobs = self.sim, self.sim.engine.beat_jobs
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "now": lambda: self._queue("now", Intent.MANUAL),
            "hook": lambda: self._queue("now", Intent.EVENT),
            "later": lambda: self._queue("next-heartbeat", Intent.EVENT),
            "brief": lambda: self._queue("now", Intent.EVENT, 10 * MINUTE),
            "minute": lambda: sim.advance(MINUTE),
            "hours": lambda: sim.advance(7 * 60 * MINUTE),
            "restart": lambda: sim.restart(down_for=20 * MINUTE),
            "chat": lambda: sim.say("hello"),
            "switch": self._switch,
            "pause": lambda: jobs.pause(by="ana", until=sim.now() + 90 * MINUTE),
            "reload": lambda: sim.apply(CONFIG),
            "remind": lambda: sim.engine.waking.remind(),
            "clean": self._clean,
        }
        await steps[what]()

    async def _switch(self) -> None:
        self._on = not self._on
        await self.sim.engine.beat_jobs.set_enabled(self._on, by="ana")

    async def _clean(self) -> None:
        engine = self.sim.engine
        housekeeping = Housekeeping(
            database=engine.database,
            clock=self.sim.clock,
            settings=lambda: engine.config.cron,
            inbox=lambda: None,
        )
        await housekeeping.clean()


async def play(steps: list[tuple[str, str | None]]) -> None:
    world = World()
    async with world.sim as sim:
        for what, mood in steps:
            world.agent.mood = mood
            await world.happens(what)
        await sim.advance(timedelta(hours=30))  # a night, a budget's day, a backoff
        left = await sim.database.read(lambda tx: everything(tx, list(world.told)))
        waiting = await sim.database.read(lambda tx: still_waiting(tx, sim))
        rows = await sim.database.read(lambda tx: run_rows.page(tx, RunQuery(limit=1000)).entries)
    assert left.keys() == world.told.keys()  # no row of theirs is gone
    told = "\n".join(world.agent.answered)
    expired = {one["id"] for row in rows for one in row.facts.get("eventsExpired", ())}
    now = sim.now()
    for ref, event in left.items():
        late = event.expires_at is not None and event.expires_at <= now
        if event.seen_by_run is not None:
            assert world.told[ref] in told
        elif late:
            assert ref in expired, "nobody says that it expired"
        else:
            assert ref in waiting


def everything(tx: Tx, refs: list[str]) -> dict[str, QueuedEvent]:
    return {ref: found for ref in refs if (found := events.get(tx, ref)) is not None}


def still_waiting(tx: Tx, sim: Simulation) -> set[str]:
    return {one.id for one in events.pending(tx, "main", "agent:main:main", sim.now())}


HAPPENINGS: Final = (
    "now", "hook", "later", "brief", "minute", "hours", "restart", "chat", "switch", "pause",
    "reload", "remind", "clean",
)  # fmt: skip


# Nothing is shrunk: each try is minutes of an engine's life.
@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@example([("later", "HEARTBEAT_OK"), ("chat", None), ("minute", None)])
@example([("hook", None), ("brief", None), ("hours", None), ("restart", "[tool_call]")])
@given(
    st.lists(
        st.tuples(st.sampled_from(HAPPENINGS), st.sampled_from(MOODS)), min_size=3, max_size=14
    )
)
def test_no_event_is_taken_away_that_the_model_did_not_see(
    steps: list[tuple[str, str | None]],
) -> None:
    asyncio.run(play(steps))
