"""A one-shot that is to go once it has served goes when its words have arrived (cron.md §9.1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from engine.messages.delivery import State
from engine.messages.outbox import Event, moved
from engine.pytest_plugin import EngineSim
from engine.store import outbox
from engine.testing import Simulation
from jobs.store import jobs
from jobs.store.db import Tx

QUIET: dict[str, Any] = {"agents": {"defaults": {"heartbeat": {"every": "0m"}}}}


async def served(sim: Simulation, **more: Any) -> tuple[str, list[str]]:
    """Run a one-shot whose words nobody has carried yet; its id, and the keys of its words."""
    await sim.open()
    wish = {"at": "20m", "message": "tea", "name": "tea", **more}
    added = await sim.engine.scheduling.add(wish, by="ana")
    sim._carried = _nobody  # type: ignore[method-assign]  # the words stay where they are
    await sim.advance(timedelta(hours=1))
    waiting = await sim.database.read(lambda tx: outbox.page(tx)[0])
    return added["job"]["id"] if "job" in added else added["id"], [one.key for one in waiting]


async def _nobody() -> bool:
    return False


async def end(sim: Simulation, key: str, event: Event) -> bool:
    """Let a message leave and end; whether its job went with it."""
    now = sim.now()

    def work(tx: Tx) -> bool:
        current = outbox.get(tx, key)
        assert current is not None
        sending = moved(current, Event.ATTEMPT, now)
        then = outbox.put(tx, current, moved(sending, event, now), now)
        assert then is not None
        return outbox.let_go(tx, then)

    return await sim.database.write(work)


async def enabled(sim: Simulation, job_id: str) -> bool | None:
    stored = await sim.database.read(lambda tx: jobs.readable(tx, job_id))
    return None if stored is None else stored.job.enabled


async def test_it_stays_switched_off_until_its_words_have_arrived(engine_sim: EngineSim) -> None:
    sim = engine_sim(QUIET, start="2026-06-01 00:30")
    job_id, (key,) = await served(sim)
    assert await enabled(sim, job_id) is False
    assert await end(sim, key, Event.ACCEPTED)
    assert await enabled(sim, job_id) is None


@pytest.mark.parametrize("event", [Event.REJECTED, Event.LOST_SIGHT])
async def test_it_is_kept_if_they_do_not_arrive_or_may_not_have(
    engine_sim: EngineSim, event: Event
) -> None:
    sim = engine_sim(QUIET, start="2026-06-01 00:30")
    job_id, (key,) = await served(sim)
    assert not await end(sim, key, event)
    assert await enabled(sim, job_id) is False


async def test_all_of_its_words_must_have_arrived(engine_sim: EngineSim) -> None:
    sim = engine_sim(QUIET, start="2026-06-01 00:30")
    job_id, (key,) = await served(sim)

    def more(tx: Tx) -> None:
        first = outbox.get(tx, key)
        assert first is not None
        outbox.add(tx, replace(first, key=f"{key}-2"))

    await sim.database.write(more)
    assert not await end(sim, key, Event.ACCEPTED)
    assert await end(sim, f"{key}-2", Event.ACCEPTED)
    assert await enabled(sim, job_id) is None


async def test_words_that_need_not_arrive_keep_nobody(engine_sim: EngineSim) -> None:
    sim = engine_sim(QUIET, start="2026-06-01 00:30")
    delivery = {"mode": "announce", "channel": "local", "to": "inbox", "bestEffort": True}
    job_id, (key,) = await served(sim, delivery=delivery)
    assert await enabled(sim, job_id) is None
    assert not await end(sim, key, Event.ACCEPTED)


async def test_one_that_was_switched_on_again_stays(engine_sim: EngineSim) -> None:
    sim = engine_sim(QUIET, start="2026-06-01 00:30")
    job_id, (key,) = await served(sim)
    later = (sim.now() + timedelta(hours=2)).isoformat()
    await sim.engine.scheduling.update(
        job_id, {"enabled": True, "schedule": {"kind": "at", "at": later}}, by="ana"
    )
    assert not await end(sim, key, Event.ACCEPTED)
    assert await enabled(sim, job_id) is True
    found = await sim.database.read(lambda tx: outbox.get(tx, key))
    assert found is not None
    assert found.state is State.DELIVERED
