"""The record keeper: one transaction for run row, outbox row and whatever else belongs to it.

Nothing that ran is told to anybody before its row has committed (style rule 4); bus events
follow the commit, `finished` after whatever it finished. A disk that refuses is asked again
until it takes the row: what happened is known nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from engine.agents.secrets import redacted
from engine.events import Bus
from engine.messages.delivery import Delivery
from engine.messages.kept import of_run
from engine.store import kept, outbox
from engine.vitals import Insist
from jobs.entries import completion, delivery_status, run_status, usage_words
from jobs.ledger import Outcome, Run, RunStatus
from jobs.store import runs
from jobs.store.base import Finish
from jobs.store.db import Database, Tx, Work
from jobs.values import swift
from jobs.wallclock import ms

log = logging.getLogger(__name__)

T = TypeVar("T")
Also = Callable[[Tx], None]


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ends, with its messages and whatever else its end changes."""

    end: Finish
    deliveries: Sequence[Delivery] = ()
    also: Sequence[Also] = ()
    events: Sequence[Mapping[str, Any]] = ()  # `cron` events of what it means for its job


class Recorder:
    """Writes what happened, then tells it."""

    def __init__(self, database: Database, bus: Bus, *, insist: Insist | None = None) -> None:
        self._database = database
        self._bus = bus
        self._insist = insist

    async def began(self, run: Run) -> None:
        """Note that a claimed run has begun."""
        started = run.started_at
        if started is None:
            raise AssertionError(f"run {run.id} began without an instant")
        await self._write(lambda tx: runs.start(tx, run))
        if run.kind == "cron":
            self._bus.publish(
                "cron",
                {
                    "action": "started",
                    "jobId": run.job_id,
                    "runId": run.id,
                    "runAtMs": ms(started),
                },
            )

    async def added(self, run: Run) -> None:
        """Write a run that has no slot: a wake, a manual run, a retry."""
        await self._write(lambda tx: runs.insert(tx, [run]))

    async def changed(self, run: Run) -> None:
        """Write a run that is not final yet as it stands."""
        await self._write(lambda tx: runs.change(tx, run))

    async def ended(
        self,
        end: Finish,
        *,
        deliveries: Sequence[Delivery] = (),
        also: Sequence[Also] = (),
    ) -> None:
        """Write how a run ended, together with its message and its consequences.

        An alert of a beat takes the place of older ones that still wait in its lane
        (channels.md §11); that all is well is no reason to drop one.
        """
        ending = Ending(end=end, deliveries=deliveries, also=also)
        await self.judged(lambda _tx: ending)

    async def judged(self, judge: Callable[[Tx], Ending]) -> None:
        """The same for an end that is judged inside the transaction, by what stands there.

        A run ends once. If it has ended already, that is told: whoever wrote it may have been
        cancelled before he could.
        """

        def work(tx: Tx) -> Ending | None:
            ending = judge(tx)
            if not runs.finish(tx, [ending.end]):
                return _as_it_ended(tx, ending.end.run.id)
            _deliver(tx, ending)
            for effect in ending.also:
                effect(tx)
            return ending

        ending = await self._write(work)
        if ending is None:
            return
        for delivery in ending.deliveries:
            self._bus.publish("outbox", {"key": delivery.key, "state": delivery.state.value})
        self.tell(ending.end.run)
        for event in ending.events:
            self._bus.publish("cron", event)

    async def all_ended(self, ends: Sequence[Finish]) -> None:
        """Write how many runs ended at once, in one transaction."""
        first = await self._write(lambda tx: runs.finish(tx, ends))
        for end in ends:
            if end.run.id in first:
                self.tell(end.run)

    def passed(self, rows: Sequence[Run], following: datetime | None) -> None:
        """Publish slots of a cron job that were passed over as they were claimed (§15)."""
        over = [run for run in rows if run.status.final and run.kind == "cron"]
        for run in over:
            self._bus.publish("cron", finished(run) | _coming(following))
        if over and len(over) == len(rows) and following is not None:
            told = {"action": "scheduled", "jobId": over[0].job_id}
            self._bus.publish("cron", told | _coming(following))

    async def _write(self, work: Work[T]) -> T:
        def attempt() -> Awaitable[T]:
            return self._database.write(work)

        return await (attempt() if self._insist is None else self._insist(attempt))

    def tell(self, run: Run) -> None:
        """Publish the end of a cron run; beats are told by the beat room."""
        if run.kind == "cron":
            _log_failure(run)
            self._bus.publish("cron", finished(run))


def _coming(following: datetime | None) -> dict[str, Any]:
    return {} if following is None else {"nextRunAtMs": ms(following)}


def _as_it_ended(tx: Tx, run_id: str) -> Ending | None:
    """Return the end of a run that stands; None: there is no such row any more."""
    run = runs.get(tx, run_id)
    if run is None:
        return None
    words = outbox.get(tx, run.delivery_key) if run.delivery_key else None
    return Ending(end=Finish(run=run), deliveries=[] if words is None else [words])


def _deliver(tx: Tx, ending: Ending) -> None:
    """Put what goes out on its way, and what was said and goes nowhere into the inbox."""
    if words := of_run(ending.end.run):
        kept.keep(tx, words)
    deliveries = ending.deliveries
    for delivery in deliveries:
        outbox.add(tx, delivery)
    alert = ending.end.run.outcome is Outcome.ALERT
    if alert and deliveries and deliveries[0].kind == "heartbeat":
        keys = [delivery.key for delivery in deliveries]
        outbox.supersede(tx, deliveries[0].lane, deliveries[0].created_at, keep=keys)


def _log_failure(run: Run) -> None:
    if run.status is RunStatus.FAILED:
        error = run.error or {}
        log.warning(
            "a cron run failed",
            extra={
                "job": run.job_name or run.job_id,
                "run_id": run.id,
                "because": error.get("message") or run.because,
            },
        )


def broken(run: Run, error: Exception, at: datetime) -> Run:
    """Return the row of a run that met a bug of ours: it must not stay open."""
    message = redacted(f"{type(error).__name__}: {error}")
    because = "the engine itself failed; the log has the details"
    return run.failed("internal", message, at, because=because)


def finished(run: Run) -> dict[str, Any]:
    """Return the `cron` event of an ended run (cron.md §15)."""
    action = {RunStatus.SKIPPED: "skipped", RunStatus.MISSED: "missed"}.get(run.status, "finished")
    payload: dict[str, Any] = {
        "action": action,
        "jobId": run.job_id,
        "runId": run.id,
        "status": run_status(run),
        "runAtMs": ms(run.started_at or run.slot or run.ended_at),
        "scheduledForMs": ms(run.slot),
        "trigger": run.trigger.value,
        "nextRunAtMs": ms(run.next_due_at),
    }
    if run.reason is not None:
        payload |= {"skipReason": run.reason.value, "summary": run.because}
    if run.error:
        payload["error"] = run.error.get("message", "")
    if run.started_at is not None and run.ended_at is not None:
        payload["durationMs"] = int((run.ended_at - run.started_at).total_seconds() * 1000)
    if run.reply or run.target:
        payload |= _words(run)
    if run.model:
        payload |= {"model": run.model, "provider": run.provider, "usage": usage_words(run)}
    return {key: value for key, value in payload.items() if value is not None}


def _words(run: Run) -> dict[str, Any]:
    """Return what is known of a run's words as it ends: those on their way have not arrived."""
    queued = None if run.delivery_key is None else "queued"
    status = delivery_status(run, queued)
    return {
        "summary": run.reply.get("preview") or run.because or None,
        "completionStatus": completion(run, status),
        "deliveryStatus": status,
        "delivery": {"resolved": dict(run.target)} if run.target else None,
        "sessionKey": run.session_key,
    }
