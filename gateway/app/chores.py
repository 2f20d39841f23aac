"""What the clockwork rings for besides the jobs: the chores of a gateway, and how often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from engine.clockwork import STUCK, Clockwork
from engine.config.paths import host_zone
from engine.core import Engine
from engine.upkeep.falling_short import FallingShort
from engine.upkeep.housekeeping import Housekeeping
from engine.upkeep.self_test import SelfTest
from engine.upkeep.watchdog import PATIENCE, Watchdog
from gateway.attachments import Attachments
from gateway.channels.base import Channel
from gateway.fanout import Fanout
from gateway.monitor import Monitor
from gateway.service.notify import ALIVE, notify
from jobs.wallclock import ms

TICK: Final = timedelta(seconds=30)
SELF_TEST: Final = timedelta(hours=1)  # how often it is asked whose time it is
MONITOR: Final = timedelta(minutes=1)  # how often it is asked whether it is time to look
WATCHDOG: Final = timedelta(seconds=60)
HEALTH: Final = timedelta(seconds=60)
REMINDERS: Final = timedelta(seconds=60)
CHECKLISTS: Final = timedelta(seconds=60)
HOUSEKEEPING: Final = timedelta(minutes=10)
FALLING_SHORT: Final = timedelta(hours=1)
HOST_ZONE: Final = timedelta(minutes=1)  # how soon a traveller's laptop is where it is

Look = Callable[[], Awaitable[None]]


def of_engine(
    clockwork: Clockwork,
    engine: Engine,
    channels: Mapping[str, Channel],
    environ: Mapping[str, str],
) -> None:
    """Arrange what the engine looks after."""
    clockwork.chore("falling-short", _falling_short(engine).look, every=FALLING_SHORT)
    clockwork.chore("self-test", _self_test(engine, channels).look, every=SELF_TEST)
    clockwork.chore("watchdog", _watchdog(engine, clockwork).look, every=WATCHDOG)
    clockwork.chore("approvals", engine.approvals.sweep, every=WATCHDOG)
    clockwork.chore("stuck-lanes", engine.stuck_lanes.look, every=WATCHDOG)
    clockwork.chore("checklists", engine.task_jobs.follow, every=CHECKLISTS)
    clockwork.chore("reminders", engine.waking.remind, every=REMINDERS)
    clockwork.chore("zone", lambda: engine.moved_to(host_zone(environ)), every=HOST_ZONE)
    clockwork.chore("housekeeping", _housekeeping(engine).clean, every=HOUSEKEEPING)
    _bring_files(engine, channels, clockwork)


def of_gateway(
    clockwork: Clockwork, engine: Engine, *, monitor: Monitor, fanout: Fanout, health: Look
) -> None:
    """Arrange what the port and the channels look after."""

    async def tick() -> None:
        if (clockwork.at_work_for or timedelta()) < STUCK:
            notify(ALIVE)  # a service whose loop or whose tick is wedged is begun anew (§8.1)
        fanout.publish("tick", {"ts": ms(engine.clock.now())})

    clockwork.chore("monitor", monitor.look, every=MONITOR)
    clockwork.chore("tick", tick, every=TICK)
    clockwork.chore("health", health, every=HEALTH)


def _housekeeping(engine: Engine) -> Housekeeping:
    return Housekeeping(
        database=engine.database,
        clock=engine.clock,
        settings=lambda: engine.config.cron,
        inbox=lambda: engine.config.messages.inbox.retention,
    )


def _watchdog(engine: Engine, clockwork: Clockwork) -> Watchdog:
    return Watchdog(
        database=engine.database,
        clock=engine.clock,
        vitals=engine.vitals,
        alerting=engine.alerting,
        at_work_for=lambda: clockwork.at_work_for,
        wake=clockwork.poke,
        default_agent=lambda: engine.roster.default_id,
        suspended=lambda now: engine.suspension.lately(now, PATIENCE),
    )


def _self_test(engine: Engine, channels: Mapping[str, Channel]) -> SelfTest:
    return SelfTest(
        database=engine.database,
        clock=engine.clock,
        roster=lambda: engine.roster,
        alerting=engine.alerting,
        probe=lambda channel, account: _probed(channels, channel, account),
    )


def _falling_short(engine: Engine) -> FallingShort:
    return FallingShort(
        database=engine.database,
        clock=engine.clock,
        roster=lambda: engine.roster,
        history=engine.history,
        alerting=engine.alerting,
    )


def _bring_files(engine: Engine, channels: Mapping[str, Channel], clockwork: Clockwork) -> None:
    """Files people send are fetched when their turn begins, and swept when they are old."""
    attachments = Attachments(
        engine.database,
        channels,
        engine.shelf,
        clock=engine.clock,
        keys=lambda: engine.config.messages.media,
    )
    engine.conversation.use(attachments.bring)
    clockwork.chore("files", attachments.sweep, every=HOUSEKEEPING)


async def _probed(channels: Mapping[str, Channel], channel: str, account: str) -> Mapping[str, Any]:
    """What a platform says of an account; of a channel that was taken out, that."""
    found = channels.get(channel)
    if found is None:
        return {"ok": False, "detail": f"channel {channel} is not configured any more"}
    return await found.probe(account)
