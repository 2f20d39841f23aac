"""The order of a stop: nothing new, what runs ends, then the sockets (operations.md §7.1)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

from engine.core import Engine
from gateway.app.leaving import Leaving
from gateway.app.parts import Parts
from gateway.app.standing import Standing
from gateway.front.at_work import at_work
from gateway.protocol.handshake import Phase
from gateway.restarts import expected
from gateway.sender import GRACE
from gateway.service.notify import STOPPING, notify
from jobs.duration import format_duration

log = logging.getLogger(__name__)

SUPERVISED: Final = timedelta(seconds=25)  # TimeoutStopSec of our unit, less five (§7.1)
DELIVERY_GRACE: Final = timedelta(seconds=3)  # at least: with a drain of 25 s less than 30 s


async def closed(
    standing: Standing, parts: Parts, leaving: Leaving, watch: asyncio.Task[None]
) -> None:
    """Stop every part in its turn, within the time the config gives."""
    notify(STOPPING)
    standing.phase = Phase.DRAINING
    grace = patience(parts.engine, parts.sender.in_flight, _grace(standing))
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    end = standing.clock.monotonic() + grace
    _tell_wait(parts.engine, grace)

    def left(least: timedelta = timedelta()) -> timedelta:
        return max(end - standing.clock.monotonic(), least)

    parts.pulse.stop()
    await _done("clockwork", parts.clockwork.stop())
    back = expected(leaving.restarts.took) // timedelta(milliseconds=1)
    told = {
        "reason": leaving.reason,
        "restartExpectedMs": back if leaving.again else None,
        "drainMs": grace // timedelta(milliseconds=1),
    }
    parts.fanout.publish("shutdown", told)
    await _done("reception", parts.reception.stop(left()))
    await _done("engine", parts.engine.stop(left()))
    await _done("last words", parts.sender.tick())  # what the last turns said still leaves
    await _done("sender", parts.sender.stop(min(left(DELIVERY_GRACE), GRACE)))
    for name, channel in tuple(parts.channels.items()):
        await _done(name, channel.stop())
    parts.door.close_all(1012, "service restart")
    await _done("calls", parts.desk.tasks.close())
    log.info("gateway stopped", extra={"reason": leaving.reason, "uptime_ms": standing.uptime_ms()})


def _grace(standing: Standing) -> timedelta:
    """What the config gives; less where a supervisor would kill us before that."""
    wish = timedelta(milliseconds=standing.loaded.config.gateway.drain_timeout_ms)
    return min(wish, SUPERVISED) if standing.environ.get("NOTIFY_SOCKET") else wish


def patience(engine: Engine, leaving: int, most: timedelta) -> timedelta:
    """How long what runs may take; suspended and quiet, all that waits is the next start's."""
    quiet = engine.suspension.held and not at_work(engine, leaving).total
    return timedelta() if quiet else most


def _tell_wait(engine: Engine, grace: timedelta) -> None:
    """Whoever stops a gateway that is at work learns at once what it waits for, and how long."""
    turns = [f"{one.kind} of {one.agent_id}" for one in engine.lanes.busy()]
    jobs = [job for job in engine.running.jobs() if not job.startswith("heartbeat")]
    if turns or jobs:
        log.info(
            "stopping; waiting for what runs (once more to stop at once)",
            extra={
                "turns": ", ".join(turns) or "none",
                "jobs": ", ".join(jobs) or "none",
                "at_most": format_duration(grace),
            },
        )


async def _done(part: str, stopping: Awaitable[object]) -> None:
    """Stop one part; that it could not must not keep the others from stopping."""
    try:
        await stopping
    except Exception:
        log.exception("a part did not stop as it should", extra={"part": part})
