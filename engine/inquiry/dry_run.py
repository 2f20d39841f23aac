"""A beat by hand, and a dry one: prompt, tools, target, what the reply means (heartbeat.md §25-4).

A dry one sends nothing and keeps nothing: no row, no message, no session, no event read. Its
agent has only tools that change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from engine.beats.beat import decided
from engine.beats.look import Lookout
from engine.beats.turn import BeatTurn
from engine.beats.waking import Waking
from engine.clock import Clock
from engine.decisions import heartbeat
from engine.decisions.gates import Run as Go
from engine.decisions.wake import Intent, Wake
from engine.ledger.explain import MANUAL
from engine.ledger.history import History, with_delivery
from engine.roster.roster import AgentProfile, Roster
from engine.roster.view import target_words
from engine.sessions import main_key
from jobs.ids import new_id
from jobs.ledger import Run, RunStatus, Trigger
from jobs.store.db import Database

NOWHERE: Final = "none"  # the target of a beat whose words stay here


class ByHand:
    """Runs beats because a person asked."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        roster: Callable[[], Roster],
        lookout: Lookout,
        turn: BeatTurn,
        waking: Waking,
        history: History,
    ) -> None:
        self._database = database
        self._clock = clock
        self._roster = roster
        self._lookout = lookout
        self._turn = turn
        self._waking = waking
        self._history = history

    async def run(
        self, agent_id: str | None, *, by: str, deliver: bool, within: timedelta | None
    ) -> dict[str, Any]:
        """Run a beat now; with ``within`` its record, if it ends in that time."""
        wake = self._wake(self._agent(agent_id), by, deliver=deliver)
        run = await self._waking.by_hand(wake, within)
        if run is None:
            return {"ok": True, "agentId": wake.agent_id, "ended": False}
        found = await self._database.read(lambda tx: with_delivery(tx, run))
        record = self._history.told(*found)
        return {"ok": True, "agentId": wake.agent_id, "ended": True, "record": record}

    async def rehearse(self, agent_id: str | None, *, by: str, ask: bool) -> dict[str, Any]:
        """Say what a beat by hand would do now; unless ``ask``, no model is asked."""
        agent, now = self._agent(agent_id), self._clock.now()
        wake = self._wake(agent, by, deliver=True)
        run = Run(
            id="",
            job_id=heartbeat.job_id(agent.agent_id),
            kind="heartbeat",
            agent_id=agent.agent_id,
            trigger=Trigger.WAKE,
            status=RunStatus.RUNNING,
        )
        view = await self._lookout.look(run, wake, now)
        decision = decided(view, wake, timedelta())
        told: dict[str, Any] = {
            "agentId": agent.agent_id,
            "dryRun": True,
            "runs": isinstance(decision, Go),
            "target": target_words(view),
        }
        if not isinstance(decision, Go):
            return {**told, "gate": decision.reason.value, "because": decision.because}
        fresh = new_id(now)
        return {**told, **await self._turn.rehearse(replace(run, id=fresh), view, now, ask=ask)}

    def _agent(self, agent_id: str | None) -> AgentProfile:
        roster = self._roster()
        if agent_id is not None:
            roster.refuse_stranger(agent_id, "no beat was run")
        return roster.agent(agent_id)

    def _wake(self, agent: AgentProfile, by: str, *, deliver: bool) -> Wake:
        return Wake(
            agent_id=agent.agent_id,
            session_key=main_key(agent.agent_id, main=self._roster().main_key),
            source="cli",
            intent=Intent.MANUAL,
            reason=MANUAL,
            requested_at=self._clock.now(),
            by=by,
            target=None if deliver else NOWHERE,
        )
