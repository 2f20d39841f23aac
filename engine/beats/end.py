"""How a beat ends: its row, its messages, and what that means for those to come, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from engine.agents.base import FailureClass
from engine.alerts.alarms import Exceeded
from engine.alerts.alerting import Alerting, Told, noted, warn_if_unsent
from engine.beats.alive import lives, ping
from engine.beats.failures import Consequences, after_failure, after_success, still_alive
from engine.clock import Clock
from engine.messages.delivery import Delivery
from engine.record import Also, Ending, Recorder
from engine.roster.view import View
from engine.scheduling.watching import next_watch
from engine.store import events as event_rows
from jobs.ledger import Run
from jobs.model import Job, JobState
from jobs.store import jobs as job_rows
from jobs.store.base import Finish
from jobs.store.db import Tx
from jobs.values import changed

Decide = Callable[[Job, JobState], Consequences]


class BeatEnd:
    """Writes how beats end."""

    def __init__(self, *, clock: Clock, recorder: Recorder, alerting: Alerting) -> None:
        self._clock = clock
        self._recorder = recorder
        self._alerting = alerting

    async def skipped(self, run: Run, view: View) -> None:
        """End a beat that did not run: it says nothing about the model."""
        now = run.ended_at or self._clock.now()
        calm = bool(lives(run))
        await self._end(
            run,
            view,
            lambda job, state: still_alive(job, state, now) if calm else Consequences(columns={}),
            counts=not view.failures,
        )

    async def failed(
        self, run: Run, view: View, *, failure: FailureClass, retry_after: float | None = None
    ) -> None:
        """End a beat whose agent failed."""
        now = run.ended_at or self._clock.now()
        await self._end(
            run,
            view,
            lambda job, state: after_failure(
                job, view.agent, state, run, now, failure=failure, retry_after=retry_after
            ),
        )

    async def answered(
        self,
        run: Run,
        view: View,
        *,
        deliveries: Sequence[Delivery] = (),
        also: Sequence[Also] = (),
    ) -> None:
        """End a beat whose agent answered, with its messages and all else that it changes."""
        now = run.ended_at or self._clock.now()
        await self._end(
            run,
            view,
            lambda job, state: after_success(job, state, now),
            deliveries=deliveries,
            also=also,
        )

    async def over_budget(self, view: View, now: datetime) -> None:
        """Tell once a day that the budget of an agent is low, and once that it is used up."""
        purse = view.purse
        if purse is None or purse.low is None or purse.model is not None or view.job is None:
            return
        found = Exceeded(
            job=view.job,
            because=purse.low,
            day=now.astimezone(view.agent.zone).date(),
            own=True,
            warns=purse.stops is None,
            low=purse.empty is None,
        )
        await self._alerting.overspent([found], now)

    async def _end(
        self,
        run: Run,
        view: View,
        decide: Decide,
        *,
        deliveries: Sequence[Delivery] = (),
        also: Sequence[Also] = (),
        counts: bool = True,
    ) -> None:
        now = run.ended_at or self._clock.now()
        sign = ping(run, view.agent, now)
        if gone := [event.id for event in view.expired]:  # this row tells of them
            also = [*also, lambda tx: event_rows.consume(tx, gone, now)]
        outgoing = [*deliveries, *([sign] if sign is not None else ())]
        unsent: list[tuple[Job, Told]] = []
        watched = False

        def judge(tx: Tx) -> Ending:
            nonlocal watched
            unsent.clear()  # a work may be run again
            stored = job_rows.readable(tx, run.job_id)
            if stored is None:  # an agent without beats that an event woke
                end = Finish(run=run, counts=counts)
                return Ending(end=end, deliveries=outgoing, also=also)
            job, state = stored.job, stored.state
            found = decide(job, state)
            columns, messages = dict(found.columns), list[Delivery]()
            if found.words is not None:
                told = self._alerting.message_in(tx, job, found.words, f"alarm:{run.id}", now)
                columns["alarm"] = noted(columns.get("alarm") or {}, told)
                messages = [] if told.delivery is None else [told.delivery]
                if told.delivery is None:
                    unsent.append((job, told))
            watched = job.policies.watched
            if watched:
                then = changed(state, alarm=columns.get("alarm", state.alarm) or {})
                columns["watch_at"] = next_watch(job, then, now)
            return Ending(
                end=Finish(run=run, job_columns=columns, counts=counts),
                deliveries=[*outgoing, *messages],
                also=also,
            )

        await self._recorder.judged(judge)
        for job, told in unsent:
            warn_if_unsent(job, told)
        if watched:
            self._alerting.look_again()
