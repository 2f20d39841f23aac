"""What the engine does at an instant: a digest, an alert nobody acknowledged, one more look.

heartbeat.md §25 rows 12 and 13, §13 point 2 (`nextCheck`). All are jobs in the one store, each
slot a row of the ledger that says what became of it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.clock import Clock
from engine.decisions.wake import Intent, Wake
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.kept import Kept, Stage
from engine.messages.outbox import expiry
from engine.messages.route import NoRoute, found_words
from engine.outlet import route_in
from engine.record import Ending, Recorder
from engine.roster.roster import AgentProfile, Roster
from engine.sessions import main_key
from engine.store import audit, kept, outbox, sessions
from engine.store.kept import KeptQuery
from jobs.ledger import Outcome, Run, RunStatus, SkipReason
from jobs.model import Errand, Job, Misfire, Source
from jobs.schedule import At, Cron
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Tx
from jobs.written import whole_ms

log = logging.getLogger(__name__)

DIGEST: Final = "digest"
ESCALATE: Final = "escalate"
LOOK: Final = "look"  # the agent asked to be woken once before its next beat
LISTED: Final = 50  # alerts told one by one in a digest


class Errands:
    """Performs them. See `engine.running.Performer`."""

    def __init__(
        self,
        *,
        clock: Clock,
        recorder: Recorder,
        roster: Callable[[], Roster],
        wake: Callable[[Wake], Awaitable[object]],
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._recorder = recorder
        self._roster = roster

    def begin(self, job: Job, run: Run) -> Coroutine[Any, Any, None]:
        """Return the work that ends the run; all of it is one transaction."""
        return self._perform(job, run)

    async def _perform(self, job: Job, run: Run) -> None:
        errand = job.payload
        if not isinstance(errand, Errand):
            raise AssertionError(f"job {job.id} is no errand")
        now = self._clock.now()
        await self._recorder.judged(lambda tx: self._judge(tx, job, errand, run, now))
        if errand.what == LOOK:
            agent_id = self._roster().agent(errand.agent_id).agent_id
            await self._wake(
                Wake(
                    agent_id=agent_id,
                    session_key=main_key(agent_id, main=self._roster().main_key),
                    source="next-check",
                    intent=Intent.SCHEDULED,
                    reason="next-check",
                    requested_at=now,
                )
            )

    def _judge(self, tx: Tx, job: Job, errand: Errand, run: Run, now: datetime) -> Ending:
        agent = self._roster().agent(errand.agent_id)
        if errand.what == DIGEST:
            return self._digest(tx, agent, run, now)
        if errand.what == LOOK:
            ended = run.ended(RunStatus.OK, now, started_at=now)
            ending = Ending(end=Finish(run=ended))
        else:
            ending = self._escalation(tx, agent, errand.ref, run, now)
        return replace(ending, also=[*ending.also, lambda tx: _gone(tx, job.id)])

    # -- what was collected --------------------------------------------------------------

    def _digest(self, tx: Tx, agent: AgentProfile, run: Run, now: datetime) -> Ending:
        query = KeptQuery(
            agent_id=agent.agent_id,
            stages=(Stage.NOTED,),
            reason=SkipReason.DIGEST.value,
            limit=1000,
        )
        found = kept.page(tx, query, now)[0][::-1]
        if not found:
            return _skip(run, SkipReason.NO_PENDING_EVENT, "nothing was collected", now)
        way = self._way(tx, agent, agent)
        if isinstance(way, NoRoute):
            return _skip(run, way.reason, f"{way.because}; {len(found)} alerts wait", now)
        text = digest_text(found, agent.zone)
        message = _message(run, way, text, agent, now, key=f"digest:{run.id}")
        numbers = [one.number for one in found]
        ended = _said(run, way, text, message, now)
        return Ending(
            end=Finish(run=ended),
            deliveries=[message],
            also=[lambda tx: kept.resent(tx, message.key, numbers, now)],
        )

    def _way(self, tx: Tx, agent: AgentProfile, speaker: AgentProfile) -> Route | NoRoute:
        return route_in(tx, self._roster(), agent.beat.wish, agent_id=speaker.agent_id)

    # -- what nobody acknowledged --------------------------------------------------------

    def _escalation(
        self, tx: Tx, agent: AgentProfile, run_id: str, run: Run, now: datetime
    ) -> Ending:
        plan = agent.beat.escalate
        alert = _alert(tx, run_id)
        if plan is None or alert is None:
            because = "escalation is off" if plan is None else "the alert is gone from the record"
            return _skip(run, SkipReason.SUPERSEDED, because, now)
        if because := _known(tx, alert):
            return _skip(run, SkipReason.NO_PENDING_EVENT, because, now)
        way = route_in(tx, self._roster(), plan.wish, agent_id=agent.agent_id)
        if isinstance(way, NoRoute):
            log.warning(
                "an alert nobody acknowledged cannot be passed on",
                extra={"agent": agent.agent_id, "because": way.because},
            )
            return _skip(run, way.reason, way.because, now)
        text = escalation_text(alert, now, agent.zone)
        key = f"escalate:{run_id}"
        message = replace(
            _message(run, way, text, agent, now, key=key), run_id=run_id, priority=Priority.REPLY
        )
        detail = {"key": key, "to": f"{way.channel}:{way.to}"}

        def noted(tx: Tx) -> None:
            audit.note(
                tx,
                now=now,
                actor="engine",
                action="heartbeat.escalate",
                subject=run_id,
                detail=detail,
            )

        ended = _said(run, way, text, message, now)
        return Ending(end=Finish(run=ended), deliveries=[message], also=[noted])


def _gone(tx: Tx, job_id: str) -> None:
    job_rows.delete(tx, job_id)


def _alert(tx: Tx, run_id: str) -> Delivery | None:
    run = run_rows.get(tx, run_id)
    return None if run is None or run.delivery_key is None else outbox.get(tx, run.delivery_key)


def _known(tx: Tx, alert: Delivery) -> str:
    """Return how somebody showed that they know of an alert, or ''."""
    row = None if alert.run_id is None else kept.find(tx, alert.run_id)
    if row is not None and (row.seen_at or row.until or row.muted_at):
        return "it was acknowledged"
    route = alert.route
    wrote = sessions.last_contact(tx, route.channel, route.account_id, route.to)
    if wrote is not None and wrote >= alert.created_at:
        return "the person wrote in that chat since"
    return ""


def _skip(run: Run, reason: SkipReason, because: str, now: datetime) -> Ending:
    return Ending(end=Finish(run=run.skipped(reason, because, now)))


def _said(run: Run, way: Route, text: str, message: Delivery, now: datetime) -> Run:
    return replace(
        run,
        status=RunStatus.OK,
        outcome=Outcome.ALERT,
        started_at=now,
        ended_at=now,
        target={"requested": way.channel, "source": "config", **found_words(way)},
        reply={"rawText": text},
        delivery_key=message.key,
    )


def _message(
    run: Run, way: Route, text: str, agent: AgentProfile, now: datetime, *, key: str
) -> Delivery:
    return Delivery(
        key=key,
        route=way,
        text=text,
        kind="event",
        created_at=now,
        expires_at=expiry("event", now),
        agent_id=agent.agent_id,
        run_id=run.id,
        job_id=run.job_id,
        priority=Priority.HEARTBEAT,
    )


def digest_text(found: Sequence[Kept], zone: ZoneInfo) -> str:
    """Return what was collected as one message, oldest first."""
    lines = [_line(one, zone) for one in found[:LISTED]]
    if more := len(found) - LISTED:
        lines += [f"and {more} more: engine inbox list --state resent"] if more > 0 else []
    count = "1 alert" if len(found) == 1 else f"{len(found)} alerts"
    return "\n".join([f"Digest: {count}", *lines])


def _line(one: Kept, zone: ZoneInfo) -> str:
    at = (one.first_at or one.at).astimezone(zone)
    times = f" ({one.times} times)" if one.times > 1 else ""
    text = "\n  ".join(one.text.splitlines())
    return f"• {at:%H:%M} {text}{times}"


def escalation_text(alert: Delivery, now: datetime, zone: ZoneInfo) -> str:
    """Return an alert as somebody else hears it."""
    minutes = max(int((now - alert.created_at).total_seconds() // 60), 1)
    at = alert.created_at.astimezone(zone)
    return (
        f"Nobody has acknowledged this for {minutes} min"
        f" (sent to {alert.route.whom} at {at:%H:%M}):\n{alert.text}"
    )


# -- the jobs they are -----------------------------------------------------------------------


def digest_jobs(agent: AgentProfile) -> list[Job]:
    """Return the digests of an agent as jobs, one per time of day."""
    plan = agent.beat.digest
    return [
        Job(
            id=f"digest:{agent.agent_id}:{at:%H%M}",
            name=f"digest {agent.agent_id} {at:%H:%M}",
            schedule=Cron(f"{at.minute} {at.hour} * * *", agent.zone.key),
            payload=Errand(what=DIGEST, agent_id=agent.agent_id),
            source=Source.SYSTEM,
            misfire=Misfire(policy="run-once", grace=None),
        )
        for at in (plan.at if plan is not None else ())
    ]


def watch(tx: Tx, look: Job, now: datetime) -> None:
    """Plan to look, in the transaction that settles the beat; a newer look replaces an older."""
    at = look.schedule.at if isinstance(look.schedule, At) else None
    job_rows.delete(tx, look.id)
    job_rows.insert(tx, look, next_run_at=at, now=now)


def look_job(agent: AgentProfile, at: datetime) -> Job:
    """Return the look an agent asked for before its next beat, as a job."""
    return Job(
        id=f"look:{agent.agent_id}",
        name=f"look {agent.agent_id}",
        schedule=At(whole_ms(at)),
        payload=Errand(what=LOOK, agent_id=agent.agent_id),
        source=Source.SYSTEM,
        misfire=Misfire(policy="skip"),
    )


def escalation_job(agent: AgentProfile, run_id: str, at: datetime) -> Job:
    """Return the look at whether an alert was acknowledged, as a job."""
    return Job(
        id=f"escalate:{run_id}",
        name=f"escalate {agent.agent_id}",
        schedule=At(whole_ms(at)),
        payload=Errand(what=ESCALATE, agent_id=agent.agent_id, ref=run_id),
        source=Source.SYSTEM,
        misfire=Misfire(policy="run-once", grace=None),
    )
