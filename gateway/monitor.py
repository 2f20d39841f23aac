"""Restarts accounts that are connected and hear nothing (channels.md §12).

A platform's own watch sees a connection that breaks; this one sees a connection that stands and
is dead. What it does is on record, and it stops before it becomes a hammer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from engine.clock import Clock
from engine.config.schema import Config
from engine.store import audit
from gateway.channels.base import AccountStatus, Channel, Restarts
from jobs.store.db import Database
from jobs.wallclock import ms

log = logging.getLogger(__name__)

RESTARTED: Final = "channel.restarted"
GIVEN_UP: Final = "channel.restarts-used-up"
HOUR: Final = timedelta(hours=1)
_CONNECTED: Final = frozenset({"connected", "degraded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The keys `gateway.channelHealth…`, `…Stale…` and `…MaxRestarts…`."""

    every: timedelta = timedelta(minutes=5)  # zero: nobody is looked at
    silent: timedelta = timedelta(minutes=30)
    most: int = 10  # restarts of one account within an hour


def rules_of(config: Config) -> Rules:
    """Return how the config wants accounts looked after."""
    keys = config.gateway
    return Rules(
        every=timedelta(minutes=keys.channel_health_check_minutes),
        silent=timedelta(minutes=keys.channel_stale_event_threshold_minutes),
        most=keys.channel_max_restarts_per_hour,
    )


@dataclass(slots=True)
class Watched:
    """What is known of one account: since when it is looked at, and what was done about it."""

    since: datetime
    restarts: list[datetime] = field(default_factory=list)
    given_up: bool = False


def silent_for(status: AccountStatus, since: datetime, now: datetime) -> timedelta:
    """Return for how long a connection has given no sign of life; none if it is not connected.

    Before its first sign it is silent since it was seen first. A sign that lies ahead was given
    before the clock was set back.
    """
    if not status.enabled or status.runtime not in _CONNECTED:
        return timedelta()
    heard = max(status.alive_at or since, since)
    return max(now - heard, timedelta())


class Monitor:
    """Looks at every account now and then."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        database: Database,
        *,
        clock: Clock,
        rules: Callable[[], Rules],
        switched_on: Callable[[str, str], bool] = lambda *_: True,
    ) -> None:
        self._channels = channels
        self._database = database
        self._clock = clock
        self._rules = rules
        self._switched_on = switched_on
        self._looked_at: datetime | None = None
        self._watched: dict[tuple[str, str], Watched] = {}

    async def look(self) -> None:
        """Look if it is time to; restart whoever is silent for too long."""
        rules, now = self._rules(), self._clock.now()
        if not rules.every or not self._due(rules, now):
            return
        self._looked_at = now
        for name, channel in tuple(self._channels.items()):
            if isinstance(channel, Restarts):
                for status in channel.status():
                    if self._switched_on(name, status.account_id):
                        await self._judge(name, channel, status, rules, now)

    def told(self, channel: str, account_id: str) -> dict[str, Any]:
        """What `channels.status` says of it; nothing of an account it never had to touch."""
        known = self._watched.get((channel, account_id))
        if known is None or not known.restarts:
            return {}
        return {
            "restarts": len(known.restarts),
            "restartedAt": ms(known.restarts[-1]),
            "restartsUsedUp": known.given_up,
        }

    def _due(self, rules: Rules, now: datetime) -> bool:
        before = self._looked_at
        return before is None or not timedelta() <= now - before < rules.every

    async def _judge(
        self, name: str, channel: Restarts, status: AccountStatus, rules: Rules, now: datetime
    ) -> None:
        key = (name, status.account_id)
        known = self._watched.setdefault(key, Watched(since=now))
        known.restarts = [at for at in known.restarts if timedelta() <= now - at < HOUR]
        if status.runtime not in _CONNECTED or known.since > now:
            known.since = now
        silence = silent_for(status, known.since, now)
        if silence < rules.silent:
            known.given_up = False
            return
        if len(known.restarts) >= rules.most:
            if not known.given_up:
                known.given_up = True
                await self._record(GIVEN_UP, key, silence, known, now)
            return
        known.restarts.append(now)
        known.since = now
        await self._record(RESTARTED, key, silence, known, now)
        await channel.restart(status.account_id)

    async def _record(
        self,
        action: str,
        key: tuple[str, str],
        silence: timedelta,
        known: Watched,
        now: datetime,
    ) -> None:
        minutes = int(silence.total_seconds() // 60)
        extra = {"channel": key[0], "account": key[1], "silent_minutes": minutes}
        if action is RESTARTED:
            log.warning("a silent account is restarted", extra=extra)
        else:
            log.error("an account stays silent after all its restarts", extra=extra)
        detail = {"silentMinutes": minutes, "restartsInTheHour": len(known.restarts)}
        await self._database.write(
            lambda tx: audit.note(
                tx, now=now, actor="monitor", action=action, subject="|".join(key), detail=detail
            )
        )
