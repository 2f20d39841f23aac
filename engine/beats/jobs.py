"""Heartbeats as the jobs they are: planned from the config, switched, listed.

design.md §1 (a heartbeat is a system-owned job), heartbeat.md §4 (when), §20 (`list`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from engine.beats.alive import PING, ping_words
from engine.beats.errands import digest_jobs
from engine.beats.failures import suspended
from engine.beats.look import Lookout
from engine.clock import Clock
from engine.decisions.adaptive import Lull, Slack
from engine.decisions.heartbeat import Cadence, job_id
from engine.ledger.history import History
from engine.roster.roster import AgentProfile, Roster
from engine.scheduling import Scheduling
from engine.store import audit, coming, holds, kept, outbox
from jobs.errors import InvalidInput
from jobs.model import DeliverySpec, Errand, HeartbeatBeat, Job, JobState, Misfire, Source
from jobs.policies import PLAIN, FailureAlert, Policies
from jobs.store import jobs as job_rows
from jobs.store.db import Database, Tx
from jobs.wallclock import MILLISECOND, ms

log = logging.getLogger(__name__)


class BeatJobs:
    """Keeps the stored beats those of the config, and tells what they are."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        roster: Callable[[], Roster],
        lookout: Lookout,
        scheduling: Scheduling,
        history: History,
        plan_tasks: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._roster = roster
        self._lookout = lookout
        self._scheduling = scheduling
        self._history = history
        self._plan_tasks = plan_tasks

    async def plan(self) -> None:
        """Make the stored beats those of the config, as the calendar stands now (§4)."""
        now = self._clock.now()
        jobs: list[Job] = []
        due: dict[str, datetime | None] = {}
        for agent in self._roster().agents.values():
            cadence = self._lookout.cadence(agent, now)
            due[agent.agent_id] = self._lookout.next_beat(agent, now)
            if cadence is None:
                continue
            jobs.append(beat_job(agent, cadence))
            if cadence.warning:
                log.warning(
                    "beats moved", extra={"agent": agent.agent_id, "because": cadence.warning}
                )
            jobs.extend(digest_jobs(agent))
        await self._scheduling.sync_heartbeats(jobs)
        await self._plan_tasks()
        collecting = [job.payload.agent_id for job in jobs if isinstance(job.payload, Errand)]

        def work(tx: Tx) -> None:
            kept.undigested(tx, collecting)
            coming.put(tx, due, now)

        await self._database.write(work)

    async def set_enabled(
        self, enabled: bool, *, agent_id: str | None = None, by: str
    ) -> dict[str, Any]:
        """Switch all heartbeats, or one agent's; remembered over restarts, with its author.

        ``stillOff`` names the switches that keep beats off after they were switched on.
        """
        if agent_id is not None:
            self._roster().refuse_stranger(agent_id, "the heartbeat was not switched")
        word = "on" if enabled else "off"

        def work(tx: Tx) -> list[str]:
            key = holds.switch(tx, agent_id, on=enabled)
            audit.note(tx, now=self._clock.now(), actor=by, action=key, detail={"set": word})
            return holds.still_off(tx, agent_id) if enabled else []

        off = await self._database.write(work)
        await self._plan_tasks()
        named = {"agentId": agent_id} if agent_id else {}
        return {"ok": True, "enabled": enabled, **named, **({"stillOff": off} if enabled else {})}

    async def pause(
        self, *, agent_id: str | None = None, by: str, note: str = "", until: datetime | None = None
    ) -> dict[str, Any]:
        """Hold all heartbeats, or one agent's, for good or ``until``; remembered over restarts.

        Slots go on being recorded, each with the pause as its reason; events still wake.
        """
        if agent_id is not None:
            self._roster().refuse_stranger(agent_id, "the heartbeat was not paused")
        now = self._clock.now()
        if until is not None and until <= now:
            raise InvalidInput(
                "the heartbeats were not paused",
                why="the end of the pause has passed already",
                fix="give a later end, or none",
            )

        def work(tx: Tx) -> None:
            key = holds.pause(tx, agent_id, now, by=by, note=note, until=until)
            audit.note(tx, now=now, actor=by, action=key, detail=told)

        told = {"note": note, "untilMs": ms(until)}
        await self._database.write(work)
        return {"ok": True, "agentId": agent_id, **told}

    async def resume(self, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        """End the pause of one agent's heartbeat; without an agent, every pause."""
        if agent_id is not None:
            self._roster().refuse_stranger(agent_id, "the heartbeat was not resumed")
        now = self._clock.now()

        def work(tx: Tx) -> tuple[list[str], bool]:
            ended = holds.resume(tx, agent_id, now)
            for key in ended:
                audit.note(tx, now=now, actor=by, action=key, detail={"set": "resumed"})
            return ended, holds.paused(tx, agent_id, now) is not None

        ended, held = await self._database.write(work)
        return {"ok": True, "agentId": agent_id, "resumed": len(ended), "stillPaused": held}

    async def listing(self) -> list[dict[str, Any]]:
        """Return every agent's heartbeat: cadence, window, next slot, where it would go, last."""
        return [await self._told(agent) for agent in self._roster().agents.values()]

    async def _told(self, agent: AgentProfile) -> dict[str, Any]:
        now = self._clock.now()
        standing = await self._database.read(lambda tx: _standing(tx, agent, now))
        on = standing["switchedOn"]
        beat = agent.beat
        health = await self._lookout.route_health(agent)
        lull, until = await self._lookout.lull(agent, now)
        rests = until if until is not None and until > now else None
        cadence = self._lookout.cadence(agent, now)
        period = None if beat.period is None else beat.period // MILLISECOND
        return {
            "agentId": agent.agent_id,
            "isDefault": agent.is_default,
            "enabled": on and beat.period is not None,
            **standing,
            "because": beat.because or None,
            "everyMs": period,
            **({"adaptive": _adaptive(beat.slack, lull, rests)} if beat.slack else {}),
            "cadence": cadence.schedule.describe() if cadence else None,
            "activeHours": beat.active_hours.describe() if beat.active_hours else None,
            "target": beat.wish.target,
            "targetSource": beat.wish.source,
            "route": await self._lookout.route_words(agent),
            "routeHealth": None if health is None else health.to_json(),
            **({"warning": cadence.warning} if cadence and cadence.warning else {}),
            "nextDueAtMs": ms(
                self._lookout.next_beat(agent, now if rests is None else rests - MILLISECOND)
            ),
            "last": await self._history.last(agent.agent_id),
        }


def _adaptive(slack: Slack, lull: Lull, rests: datetime | None) -> dict[str, Any]:
    return {
        "after": slack.after,
        "maxMs": slack.most // MILLISECOND,
        "quietPolls": lull.polls,
        "restsUntilMs": ms(rests),
    }


def _standing(tx: Tx, agent: AgentProfile, now: datetime) -> dict[str, Any]:
    """What lies over an agent's beats now, what became of its last sign of life and words."""
    paused = holds.paused(tx, agent.agent_id, now)
    stored = job_rows.readable(tx, job_id(agent.agent_id))
    state = stored.state if stored is not None else JobState()
    waits = state.retry_at is not None and state.retry_at > now
    sign = outbox.newest_of(tx, agent.agent_id, PING) if agent.beat.ping else None
    return {
        "switchedOn": holds.switched_on(tx, agent.agent_id),
        "paused": None if paused is None else dict(paused),
        "suspended": suspended(state.alarm, agent.model_print, now, agent.zone),
        "failures": state.consecutive_errors,
        "backoffUntilMs": ms(state.retry_at) if waits else None,
        "ping": None if sign is None else ping_words(sign),
        "lastArrivedAtMs": ms(outbox.last_arrived(tx, agent.agent_id)),
    }


def beat_job(agent: AgentProfile, cadence: Cadence) -> Job:
    """Return an agent's heartbeat as a job."""
    return Job(
        id=job_id(agent.agent_id),
        name=f"heartbeat {agent.agent_id}",
        schedule=cadence.schedule,
        payload=HeartbeatBeat(),
        agent_id=agent.agent_id,
        session_target="main",
        source=Source.SYSTEM,
        delivery=_delivery(agent),
        policies=_policies(agent),
        misfire=Misfire(
            policy="run-once" if agent.beat.catch_up else "skip", grace=agent.beat.period
        ),
    )


def _delivery(agent: AgentProfile) -> DeliverySpec:
    """Where its alarms go if nothing else is said: where its alerts do."""
    wish = agent.beat.wish
    if wish.target == "none":
        return DeliverySpec()
    return DeliverySpec(
        mode="announce", channel=wish.target, to=wish.to, account_id=wish.account_id
    )


def _policies(agent: AgentProfile) -> Policies:
    told = agent.beat.failure
    place = told.alert_to
    if place is None and agent.beat.expect_within is None:
        return PLAIN
    alert = FailureAlert(
        after=told.alert_after,
        channel=place.target if place else None,
        to=place.to if place else None,
    )
    return Policies(failure_alert=alert, expect_within=agent.beat.expect_within)
