"""The order of a start: nothing fires before the channels may carry it (operations.md §6.3)."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from engine.vitals import keep
from gateway.app.leaving import Leaving
from gateway.app.parts import Parts
from gateway.app.standing import Standing
from gateway.channels.base import Channel
from gateway.protocol.handshake import Phase, Session
from gateway.reloading import recovery
from gateway.reloading.reloader import WATCH, Reloader
from gateway.runtime import settle
from gateway.service.notify import READY, notify
from jobs.wallclock import at

log = logging.getLogger(__name__)

CONNECT: Final = timedelta(seconds=10)  # what a channel may take to begin (§6.3)


async def opened(standing: Standing, parts: Parts, leaving: Leaving) -> asyncio.Task[None]:
    """Start every part in its turn; returns the watch over the config, once all is ready."""
    engine = parts.engine
    engine.bus.listen(parts.desk.subscriptions.on_bus)
    await engine.start()
    if standing.force.recovered is not None:
        await recovery.tell(engine, standing.force.recovered, standing.options.paths.config)
    await parts.devices.load()
    await parts.desk.health.refresh()
    async with parts.reception.opening():
        await asyncio.gather(*(_connected(parts, one) for one in parts.channels.values()))
        await parts.sender.start()
    options = standing.options
    if options.no_scheduler:
        log.warning("nothing fires by itself: --no-scheduler")
    else:
        await engine.resume()
    if not options.once:
        parts.clockwork.start()
    watch = _followed(standing, parts, leaving)
    settle()
    standing.phase = Phase.READY
    await _tell_ready(standing, parts)
    notify(READY)
    await asyncio.to_thread(recovery.keep, standing.loaded)
    return watch


async def _connected(parts: Parts, channel: Channel) -> None:
    """Connect a channel; one that is dead keeps neither the others nor the start waiting."""
    try:
        async with asyncio.timeout(CONNECT.total_seconds()):
            await parts.connect(channel)
    except Exception:
        log.exception("a channel did not start", extra={"channel": channel.id})


async def _tell_ready(standing: Standing, parts: Parts) -> None:
    counted = await parts.engine.scheduling.status()
    due = counted.get("nextWakeAtMs")
    wakes = f"{at(due).astimezone():%H:%M:%S}" if isinstance(due, int) else "none"
    log.info(
        "gateway ready in %d ms (agents %d, cron jobs %s, next wake %s)",
        standing.uptime_ms(),
        len(parts.engine.roster.agents),
        counted.get("jobs", 0),
        wakes,
        extra={
            "url": f"ws://127.0.0.1:{parts.server.port}",
            "bind": f"{standing.bound.mode} ({standing.bound.source})",
            "channels": ",".join(parts.channels),
        },
    )


def _followed(standing: Standing, parts: Parts, leaving: Leaving) -> asyncio.Task[None]:
    reloader = Reloader(
        force=standing.force,
        paths=standing.options.paths,
        environ=standing.environ,
        logs=standing.logs,
        engine=parts.engine,
        channels=parts.channels,
        gatekeeper=parts.gatekeeper,
        policy_of=standing.policy_of,
        startable=standing.startable,
        restart=leaving.ask,
        send_away=lambda: parts.fanout.end(_by_shared_secret, 4001, "gateway auth changed"),
        connect=parts.connect,
        poke=parts.sender.poke,
        verbose=standing.options.verbose,
    )
    standing.reload = reloader.reload
    watching = keep(
        WATCH,
        lambda: reloader.follow(leaving.asked),
        clock=standing.clock,
        vitals=parts.engine.vitals,
    )
    return asyncio.create_task(watching, name="config")


def _by_shared_secret(session: Session) -> bool:
    """A device's own token is not what changed."""
    return session.auth_method != "device-token"
