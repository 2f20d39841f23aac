"""How a job's run ends: where its words go, and one transaction for all it changes.

What it amounts to and what that means for the job is decided in `engine.cron_outcome`, who
is told of failures in `engine.alarms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine import alarms
from engine.address import Route
from engine.alerting import Alerting, noted
from engine.clock import Clock
from engine.cron_outcome import Consequences, Done, Fate, consequences, more_places, spoken
from engine.delivery import Delivery
from engine.outlet import find_route
from engine.record import Also, Recorder
from engine.roster import AgentProfile, Roster
from engine.route import NoRoute, webhook_route
from engine.scheduling.watching import next_watch
from jobs.ledger import Run, SkipReason
from jobs.model import Job, JobState
from jobs.retry import RetryPolicy
from jobs.store import jobs as job_rows
from jobs.store.base import Finish
from jobs.store.db import Database, Tx


class CronEnd:
    """Ends runs of jobs."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        recorder: Recorder,
        roster: Callable[[], Roster],
        alerting: Alerting,
        retry: Callable[[], RetryPolicy],
    ) -> None:
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._roster = roster
        self._alerting = alerting
        self._retry = retry

    async def settle(
        self,
        job: Job,
        agent: AgentProfile,
        done: Done,
        found: Route | NoRoute,
        *,
        also: Sequence[Also] = (),
    ) -> None:
        """End a run whose work is done; ``found`` is where its words go."""
        others = [
            (place, await self._way(job, agent, place)) for place in more_places(job.delivery)
        ]
        run, deliveries = spoken(job, done, found, self._clock.now(), others=others)
        await self.end(job, run, deliveries=deliveries, also=also, failure=done.failure)

    async def route(self, job: Job, agent: AgentProfile) -> Route | NoRoute:
        """Return where the words of a job would go now, or why they go nowhere."""
        spec = job.delivery
        if spec.mode == "none":
            return NoRoute(SkipReason.TARGET_NONE, "delivery is none")
        place = {
            "mode": spec.mode,
            "channel": spec.channel,
            "to": spec.to,
            "accountId": spec.account_id,
            "threadId": spec.thread_id,
        }
        return await self._way(job, agent, place)

    async def _way(
        self, job: Job, agent: AgentProfile, place: Mapping[str, Any]
    ) -> Route | NoRoute:
        """Return where words for a place would go now."""
        if place.get("mode") == "webhook":
            return webhook_route(str(place.get("to") or ""))
        return await find_route(
            self._database,
            self._roster(),
            alarms.target_of(place),
            agent_id=agent.agent_id,
            session_key=job.session_key,
        )

    async def end(
        self,
        job: Job,
        run: Run,
        *,
        deliveries: Sequence[Delivery] = (),
        also: Sequence[Also] = (),
        failure: str = "",
    ) -> None:
        """Write how a run ended, with its message and what that means for its job."""
        now = run.ended_at or self._clock.now()
        following = job.schedule.next_after(now)
        run = replace(run, next_due_at=following)
        stored = await self._database.read(lambda tx: job_rows.get(tx, job.id))
        before = stored.state if stored else JobState()
        after = consequences(job, run, failure, before, now, self._retry())
        columns, message = await self._alarm(job, run, before, after, failure, now)
        await self._recorder.ended(
            Finish(run=run, job_columns={**after.columns, **columns}),
            deliveries=[*deliveries, *message],
            also=[*also, lambda tx: _meet(tx, job, after.fate, now)],
        )

    async def _alarm(
        self,
        job: Job,
        run: Run,
        before: JobState,
        after: Consequences,
        failure: str,
        now: datetime,
    ) -> tuple[dict[str, Any], list[Delivery]]:
        """Return what the run's end changes about the job's alarms, and the message it makes."""
        state, text = alarms.after_run(
            job,
            before,
            run,
            now,
            rule=self._alerting.rule_of(job),
            failure=failure,
            switched_off=after.fate is Fate.SWITCHED_OFF,
        )
        messages: list[Delivery] = []
        if state is not None and text is not None:
            told = await self._alerting.message(job, text, f"alarm:{run.id}", now)
            state = noted(state, told)
            messages = [told.delivery] if told.delivery is not None else []
        columns: dict[str, Any] = {} if state is None else {"alarm": state or None}
        if job.policies.watched:
            then = before if state is None else replace(before, alarm=state)
            columns["watch_at"] = next_watch(job, then, now)
            self._alerting.look_again()
        return columns, messages


def _meet(tx: Tx, job: Job, fate: Fate, now: datetime) -> None:
    match fate:
        case Fate.KEPT:
            return
        case Fate.SWITCHED_OFF:
            job_rows.switch_off(tx, job.id, now)
        case Fate.REMOVED:
            job_rows.delete(tx, job.id)
