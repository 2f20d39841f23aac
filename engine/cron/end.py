"""How a job's run ends: where its words go, and one transaction for all it changes.

What it amounts to and what that means for the job is decided in `engine.cron.outcome`, who
is told of failures in `engine.alerts.alarms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.alerts import alarms
from engine.alerts.alerting import Alerting, Told, noted, warn_if_unsent
from engine.clock import Clock
from engine.cron.outcome import Consequences, Done, Fate, consequences, more_places, spoken
from engine.decisions.interrupted import counts_anew
from engine.messages.address import Route
from engine.messages.delivery import Delivery
from engine.messages.route import NoRoute, webhook_route
from engine.outlet import find_route
from engine.record import Also, Ending, Recorder
from engine.roster.roster import AgentProfile, Roster
from engine.scheduling.watching import next_watch
from jobs.ledger import Run, SkipReason
from jobs.model import Job, StoredJob
from jobs.retry import RetryPolicy
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Database, Tx
from jobs.values import changed
from jobs.wallclock import ms


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
        others: Callable[[str], bool],
        poke: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._recorder = recorder
        self._roster = roster
        self._alerting = alerting
        self._retry = retry
        self._others = others  # whether more than one run of a job goes on here
        self._poke = poke  # a job is due at another time than the timer knows

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
        """Write how a run ended, with its message and what that means for its job.

        That is judged in the transaction that writes it, by the job as it is then: somebody
        may have changed or removed it during the run. ``job`` is what the run went by.
        """
        now = run.ended_at or self._clock.now()
        unsent: list[Told] = []
        moved_on = False
        if self._others(job.id):
            also = [*also, lambda tx: run_rows.note_running(tx, job.id)]

        def judge(tx: Tx) -> Ending:
            nonlocal moved_on
            unsent.clear()  # a work may be run again
            stored = job_rows.readable(tx, job.id)
            if stored is None:
                end = Finish(run=changed(run, next_due_at=None))
                return Ending(end=end, deliveries=deliveries, also=also)
            ended = changed(run, next_due_at=stored.job.schedule.next_after(now))
            moved = stored.job.schedule != job.schedule or counts_anew(run, stored)
            after = consequences(
                stored.job, ended, failure, stored.state, now, self._retry(), moved=moved
            )
            if after.fate is Fate.REMOVED and deliveries and not stored.job.delivery.best_effort:
                # Its words are owed yet: it goes with their arrival (cron.md §9.1).
                after = changed(after, fate=Fate.SWITCHED_OFF)
            ended = _with_next(stored, ended, after)
            moved_on = "next_run_at" in after.columns
            columns, told = self._alarm(tx, stored, ended, after, failure)
            messages = [] if told is None or told.delivery is None else [told.delivery]
            if told is not None and told.delivery is None:
                unsent.append(told)
            return Ending(
                end=Finish(run=ended, job_columns={**after.columns, **columns}),
                deliveries=[*deliveries, *messages],
                also=[*also, lambda tx: _meet(tx, job.id, after.fate, now)],
                events=_meant(stored, ended, after),
            )

        await self._recorder.judged(judge)
        for told in unsent:
            warn_if_unsent(job, told)
        if job.policies.watched:
            self._alerting.look_again()
        if moved_on:
            self._poke()

    async def cut(self, job: Job, run: Run) -> None:
        """Write how a run ended that did not end by itself: cancelled, called off, broken."""
        await self.end(job, run, failure=str((run.error or {}).get("class", "")))

    def _alarm(
        self, tx: Tx, stored: StoredJob, run: Run, after: Consequences, failure: str
    ) -> tuple[dict[str, Any], Told | None]:
        """Return what the run's end changes about the job's alarms, and whom it tells."""
        job, before = stored.job, stored.state
        now = run.ended_at or self._clock.now()
        state, text = alarms.after_run(
            job,
            before,
            run,
            now,
            rule=self._alerting.rule_of(job),
            failure=failure,
            switched_off=after.fate is Fate.SWITCHED_OFF,
        )
        told: Told | None = None
        if state is not None and text is not None:
            told = self._alerting.message_in(tx, job, text, f"alarm:{run.id}", now)
            state = noted(state, told)
        columns: dict[str, Any] = {} if state is None else {"alarm": state or None}
        if job.policies.watched:
            then = before if state is None else changed(before, alarm=state)
            columns["watch_at"] = next_watch(job, then, now)
        return columns, told


def _with_next(stored: StoredJob, run: Run, after: Consequences) -> Run:
    """Return a run with when its job runs next: a failure brings that forward, or puts it off."""
    if after.fate is not Fate.KEPT:
        return changed(run, next_due_at=None)
    then = changed(
        stored.state,
        next_run_at=after.columns.get("next_run_at", stored.state.next_run_at),
        retry_at=after.columns.get("retry_at", stored.state.retry_at),
    )
    coming = then.runs_next_at
    if coming is not None and run.ended_at is not None and coming <= run.ended_at:
        return run  # a slot has come meanwhile: that after it is told
    return changed(run, next_due_at=coming)


def _meant(stored: StoredJob, run: Run, after: Consequences) -> list[dict[str, Any]]:
    """Return the event of what a run's end means for its job (cron.md §15)."""
    told: dict[str, Any] = {"jobId": stored.job.id, "runId": run.id}
    if after.fate is Fate.REMOVED:
        return [{"action": "removed", **told}]
    if reason := after.columns.get("auto_disabled"):
        errors = stored.state.consecutive_errors + 1
        return [{"action": "autoDisabled", **told, "reason": reason, "consecutiveErrors": errors}]
    if after.fate is Fate.SWITCHED_OFF:
        return [{"action": "updated", **told}]
    coming = after.columns.get("next_run_at", stored.state.next_run_at)
    if coming is None or not stored.job.enabled:
        return []
    waits = after.columns.get("retry_at")
    return [{"action": "scheduled", **told, "nextRunAtMs": ms(max(coming, waits or coming))}]


def _meet(tx: Tx, job_id: str, fate: Fate, now: datetime) -> None:
    match fate:
        case Fate.KEPT:
            return
        case Fate.SWITCHED_OFF:
            job_rows.switch_off(tx, job_id, now)
        case Fate.REMOVED:
            job_rows.delete(tx, job_id)
