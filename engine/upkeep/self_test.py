"""Tries every way out of a beat now and then, without a word to anybody (heartbeat.md §25 row 18).

The platform is asked whether the account still works; no message is sent. A way that broke is
told by another one, once, and so is that it works again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.alerts.alerting import Alerting
from engine.clock import Clock
from engine.decisions.heartbeat import job_id
from engine.messages.address import Route
from engine.messages.route import LOCAL
from engine.messages.route_health import Tried, due
from engine.outlet import find_route
from engine.roster.roster import AgentProfile, Roster
from engine.store import route_tests
from jobs.model import Job
from jobs.store import jobs as job_rows
from jobs.store.db import Database

log = logging.getLogger(__name__)

Probe = Callable[[str, str], Awaitable[Mapping[str, Any]]]  # channel, account → {ok, detail}


class SelfTest:
    """Tries the ways out of beats."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        roster: Callable[[], Roster],
        alerting: Alerting,
        probe: Probe,
    ) -> None:
        self._database = database
        self._clock = clock
        self._roster = roster
        self._alerting = alerting
        self._probe = probe

    async def look(self) -> None:
        """Try the ways whose time it is; each once, however many agents take it."""
        roster = self._roster()
        for agent in roster.agents.values():
            if agent.beat.period is None:
                continue
            found = await find_route(
                self._database, roster, agent.beat.wish, agent_id=agent.agent_id
            )
            if isinstance(found, Route) and found.channel != LOCAL:
                await self._try(agent, found)

    async def _try(self, agent: AgentProfile, route: Route) -> None:
        lane = route.lane
        before = await self._database.read(lambda tx: route_tests.last(tx, lane))
        now = self._clock.now()
        if not due(before, agent.beat.self_test, now):
            return
        answer = await self._probe(route.channel, route.account_id)
        tried = Tried(at=now, ok=bool(answer.get("ok")), detail=str(answer.get("detail") or ""))
        well_before = before is None or before.ok
        stored = await self._database.read(lambda tx: job_rows.readable(tx, job_id(agent.agent_id)))
        if tried.ok == well_before or stored is None:
            await self._database.write(lambda tx: route_tests.note(tx, lane, tried))
            return
        log.warning("a way out changed", extra={"lane": lane, "ok": tried.ok})
        await self._tell(agent, stored.job, route, tried)

    async def _tell(self, agent: AgentProfile, job: Job, route: Route, tried: Tried) -> None:
        """Note what was found and tell of it, both or neither: it is news only once."""
        where = f"{route.channel} → {route.shown}"
        text = f"The way to {where} works again"
        if not tried.ok:
            text = f"Messages of {agent.agent_id} would not reach {where}\n{tried.detail}"
            text += "\nSee: engine channels status --probe"
        key = f"alarm:way:{route.lane}:{tried.at:%Y%m%d%H%M%S}"
        await self._alerting.tell(
            job, text, key, tried.at, also=lambda tx: route_tests.note(tx, route.lane, tried)
        )
