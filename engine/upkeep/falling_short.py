"""Tells somebody when an agent's beats of the last day fall short of the goal (§25 row 22).

Beats done of beats expected, and alerts that arrived of alerts said: below 95 % of either a
person is told, once, and once when it is well again. What was told survives a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.alerts.alerting import Alerting
from engine.clock import Clock
from engine.decisions.heartbeat import job_id
from engine.ledger.history import History
from engine.roster.roster import Roster
from engine.store import meta
from jobs.store import jobs as job_rows
from jobs.store.db import Database


def news(agent_id: str, misses: Sequence[str], *, told: bool) -> str | None:
    """Return what a person is told now; None if they know. Pure."""
    if bool(misses) is told:
        return None
    if not misses:
        return f"The beats of {agent_id} keep their goal again"
    lacking = "; ".join(misses)
    return (
        f"The beats of {agent_id} fell short in the last 24 hours: {lacking}\n"
        "See: engine heartbeat slo --since 24h"
    )


class FallingShort:
    """Looks at every agent's last day now and then: a chore."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        roster: Callable[[], Roster],
        history: History,
        alerting: Alerting,
    ) -> None:
        self._database = database
        self._clock = clock
        self._roster = roster
        self._history = history
        self._alerting = alerting

    async def look(self) -> None:
        """Look at the last 24 hours of each agent that has beats."""
        for agent in self._roster().agents.values():
            if agent.beat.period is not None:
                await self._look_at(agent.agent_id)

    async def _look_at(self, agent_id: str) -> None:
        now = self._clock.now()
        summed = await self._history.summary({"agentId": agent_id}, now)
        misses = summed["slo"]["misses"]
        key = f"short:{agent_id}"
        stored = await self._database.read(lambda tx: job_rows.readable(tx, job_id(agent_id)))
        told = await self._database.read(lambda tx: meta.get(tx, key)) is not None
        words = news(agent_id, misses, told=told)
        if words is None or stored is None:
            return
        await self._alerting.tell(
            stored.job,
            words,
            f"alarm:{key}:{now:%Y%m%d%H%M%S}",
            now,
            also=lambda tx: meta.put(tx, key, now.isoformat()) if misses else meta.drop(tx, key),
        )
