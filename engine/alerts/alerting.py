"""Sends alarms, and looks after jobs between their slots: pauses that end, deadlines that pass.

An alarm is a message like any other: committed with what it tells of, carried by the sender,
its receipt on record (cron.md §10.4: alerts are awaited and recorded).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any, Final

from engine.alerts import alarms
from engine.alerts.alarms import Alarm, AlertRules, Exceeded, PassedOver
from engine.events import Bus, Event
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.outbox import expiry
from engine.messages.route import NoRoute, webhook_route
from engine.outlet import route_in
from engine.roster.roster import Roster
from engine.scheduling import watching
from engine.store import holds, meta, outbox, route_tests
from jobs.crash import crash_point
from jobs.ledger import Run, RunStatus
from jobs.model import HeartbeatBeat, Job, StoredJob
from jobs.policies import FailureAlert
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx
from jobs.wallclock import MILLISECOND

log = logging.getLogger(__name__)

LOOK_AGAIN: Final = timedelta(seconds=1)
LATELY: Final = timedelta(hours=24)  # a way whose newest message failed since is passed over
TRIED_LATELY: Final = timedelta(days=8)  # a try a week, and a day
AFTER_FAILURE: Final = timedelta(minutes=1)  # one that cannot be looked after is tried again
_RUN_ACTIONS: Final = frozenset({"started", "finished", "skipped", "missed", "scheduled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An alarm on its way: its message, or why there is none."""

    delivery: Delivery | None
    because: str = ""


class Alerting:
    """Finds the way of an alarm, and raises those that no run raises."""

    def __init__(
        self,
        *,
        database: Database,
        bus: Bus,
        roster: Callable[[], Roster],
        rules: Callable[[], AlertRules],
        end_pauses: Callable[[], Awaitable[int]],
    ) -> None:
        self._database = database
        self._bus = bus
        self._roster = roster
        self._rules = rules
        self._end_pauses = end_pauses
        self._asked: datetime | None = None
        self._next: datetime | None = None
        self._overspent: dict[str, str] = {}  # what has been told of budgets
        bus.listen(self._noticed)

    def look_again(self) -> None:
        """A job wants a look at another time than before."""
        self._asked = None

    def _noticed(self, event: Event) -> None:
        if event.name == "cron" and event.payload.get("action") not in _RUN_ACTIONS:
            self.look_again()

    def rule_of(self, job: Job) -> FailureAlert | None:
        """Return the rule in force for a job; None if nobody wants to know of its failures."""
        return alarms.rule_of(job, self._rules())

    async def message(self, job: Job, text: str, key: str, now: datetime) -> Told:
        """Return the message of an alarm: to the first place on its list that can be reached."""
        told = await self._database.read(lambda tx: self.message_in(tx, job, text, key, now))
        warn_if_unsent(job, told)
        return told

    def message_in(self, tx: Tx, job: Job, text: str, key: str, now: datetime) -> Told:
        """Return the same inside the transaction that makes the alarm."""
        agent = self._roster().agent(job.agent_id).agent_id
        because = "nobody is named for it"
        rules = self._rules()
        failing: frozenset[str] | None = None
        passed: Route | None = None
        for place in alarms.wishes(job, alarms.rule_of(job, rules), rules):
            found = self._way(tx, job, place, agent)
            if isinstance(found, NoRoute):
                because = found.because
                continue
            failing = _failing(tx, now) if failing is None else failing
            if found.lane not in failing:
                return Told(delivery=_delivery(job, found, text, key, now))
            passed = passed or found
        if passed is not None:  # every way there is fails: the first of them, it may be mended
            return Told(delivery=_delivery(job, passed, text, key, now))
        return Told(delivery=None, because=because)

    def _way(self, tx: Tx, job: Job, place: Mapping[str, Any], agent: str) -> Route | NoRoute:
        if place.get("mode") == "webhook":
            return webhook_route(str(place.get("to") or ""))
        wish = alarms.target_of(place)
        return route_in(tx, self._roster(), wish, agent_id=agent, session_key=job.session_key)

    async def tell(
        self, job: Job, text: str, key: str, now: datetime, *, also: Callable[[Tx], object]
    ) -> Told:
        """Put an alarm that no run makes on its way, and return it.

        ``also`` is what it tells of, or that it was told: written with it or not at all.
        """

        def work(tx: Tx) -> Told:
            also(tx)
            told = self.message_in(tx, job, text, key, now)
            if told.delivery is not None:
                outbox.add(tx, told.delivery)
            return told

        told = await self._database.write(work)
        warn_if_unsent(job, told)
        if told.delivery is not None:
            state = told.delivery.state.value
            self._bus.publish("outbox", {"key": told.delivery.key, "state": state})
        return told

    async def look(self, now: datetime) -> datetime | None:
        """Look after every job that wants it by now; returns when the next one does."""
        asked = self._asked
        known = asked is not None and timedelta() <= now - asked < LOOK_AGAIN
        if known and (self._next is None or self._next > now):
            return self._next
        self._asked = now
        self._next = await self._database.read(job_rows.next_watch)
        if self._next is not None and self._next <= now:
            await self._look_after_all(now)
            self._next = await self._database.read(job_rows.next_watch)
        return self._next

    async def overspent(self, found: Sequence[Exceeded], now: datetime) -> None:
        """Tell once a day of each budget that is used up (row 14)."""
        news = [one for one in found if self._overspent.get(one.key) != one.told]
        if not news:
            return

        def work(tx: Tx) -> list[tuple[Exceeded, Told]]:
            made = []
            for one in news:
                if meta.get(tx, one.key) == one.told:
                    continue
                key = f"alarm:{one.key}:{one.told}"
                told = self.message_in(tx, one.job, alarms.overspent(one), key, now)
                meta.put(tx, one.key, one.told)
                if told.delivery is not None:
                    outbox.add(tx, told.delivery)
                made.append((one, told))
            return made

        made = await self._database.write(work)
        self._overspent.update({one.key: one.told for one in news})
        for one, told in made:
            self._sent(one.job, told)

    async def passed_over(self, found: Sequence[PassedOver]) -> None:
        """Raise what is wanted of slots that were skipped as they were claimed (`includeSkipped`).

        One transaction each, so that no end of a run of meanwhile is overwritten.
        """
        for job, rows in found:
            if skipped := alarms.skips(rows, self.rule_of(job)):
                now = skipped[-1].ended_at or skipped[-1].claimed_at
                told = await self._database.write(
                    lambda tx, of=job.id, some=rows, at=now: self._passed_in(tx, of, some, at)  # type: ignore[misc]  # bound now
                )
                if told is not None:
                    self._sent(job, told)

    def _passed_in(self, tx: Tx, job_id: str, rows: Sequence[Run], now: datetime) -> Told | None:
        stored = job_rows.readable(tx, job_id)
        if stored is None:
            return None
        job = stored.job
        state, text = alarms.after_claim(job, stored.state, rows, now, rule=self.rule_of(job))
        if state is None or text is None:
            return None
        told = self.message_in(tx, job, text, f"alarm:{rows[-1].id}", now)
        job_rows.set_state(tx, job.id, alarm=noted(state, told) or None)
        if told.delivery is not None:
            outbox.add(tx, told.delivery)
        return told

    def _sent(self, job: Job, told: Told) -> None:
        warn_if_unsent(job, told)
        if told.delivery is not None:
            state = told.delivery.state.value
            self._bus.publish("outbox", {"key": told.delivery.key, "state": state})

    async def _look_after_all(self, now: datetime) -> None:
        """Look after each job by itself: what ails one of them holds up no other and no slot."""
        await self._end_pauses()
        found, unreadable = await self._database.read(lambda tx: job_rows.to_watch(tx, now))
        if unreadable:
            aside = await self._database.write(lambda tx: job_rows.unwatch(tx, unreadable))
            for job_id, why in aside:
                log.error("job set aside", extra={"job_id": job_id, "because": why})
        for stored in found:
            try:
                await self._look_after(stored.job.id, now)
            except Exception:
                log.exception("a job was not looked after", extra={"job_id": stored.job.id})
                await self._put_off(stored.job.id, now)

    async def _put_off(self, job_id: str, now: datetime) -> None:
        later = now + AFTER_FAILURE
        await self._database.write(lambda tx: job_rows.set_state(tx, job_id, watch_at=later))

    async def _look_after(self, job_id: str, now: datetime) -> None:
        """Raise what is due. One transaction, so that no success of meanwhile is overwritten."""
        raised = await self._database.write(lambda tx: self._raise_in(tx, job_id, now))
        sent = [told.delivery for _, told in raised if told.delivery is not None]
        if sent:
            crash_point("after-alarm")
        for job, told in raised:
            warn_if_unsent(job, told)
        for message in sent:
            self._bus.publish("outbox", {"key": message.key, "state": message.state.value})

    def _raise_in(self, tx: Tx, job_id: str, now: datetime) -> list[tuple[Job, Told]]:
        stored = job_rows.get(tx, job_id)
        if stored is None or stored.state.watch_at is None or stored.state.watch_at > now:
            return []  # it was removed or changed since it was found
        job, state = stored.job, stored.state
        raised = []
        due = () if _held(tx, job, now) else _raised(tx, stored, now)
        for number, alarm in enumerate(due):
            key = f"alarm:{job.id}:{now:%Y%m%d%H%M%S}:{number}"
            told = self.message_in(tx, job, alarm.text, key, now)
            state = replace(state, alarm=noted({**state.alarm, **alarm.state}, told))
            if told.delivery is not None:
                outbox.add(tx, told.delivery)
            raised.append((job, told))
        watch_at = watching.next_watch(job, state, now)
        if watch_at is not None and watch_at <= now:  # a pause that could not be ended
            watch_at = now + AFTER_FAILURE
        job_rows.set_state(tx, job.id, alarm=state.alarm or None, watch_at=watch_at)
        return raised


def _failing(tx: Tx, now: datetime) -> frozenset[str]:
    """Which ways do not work now: by their newest message, or the last time they were tried."""
    return outbox.failing_lanes(tx, now - LATELY) | route_tests.failing(tx, now - TRIED_LATELY)


def warn_if_unsent(job: Job, told: Told) -> None:
    """Say in the log that an alarm reaches nobody."""
    if told.delivery is None:
        extra = {"job_id": job.id, "because": told.because}
        log.warning("an alarm has nowhere to go", extra=extra)


def noted(state: Mapping[str, Any], told: Told) -> dict[str, Any]:
    """Remember which message told of it, or why nobody was told."""
    kept = {key: value for key, value in state.items() if key not in ("key", "because")}
    if told.delivery is None:
        return {**kept, "because": told.because}
    return {**kept, "key": told.delivery.key}


def _delivery(job: Job, route: Route, text: str, key: str, now: datetime) -> Delivery:
    return Delivery(
        key=key,
        route=route,
        text=text,
        kind="cron",
        created_at=now,
        expires_at=expiry("cron", now),
        agent_id=job.agent_id,
        job_id=job.id,
        priority=Priority.CRON,
    )


def _held(tx: Tx, job: Job, now: datetime) -> bool:
    """Whether somebody wants no beats now: then nobody misses any."""
    if not isinstance(job.payload, HeartbeatBeat):
        return False
    return not holds.switched_on(tx, job.agent_id) or bool(holds.paused(tx, job.agent_id, now))


def _raised(tx: Tx, stored: StoredJob, now: datetime) -> list[Alarm]:
    """Return the alarms of a job that are due by now."""
    job, state = stored.job, stored.state
    found = []
    if job.policies.expect_within is not None and watching.overdue_since(state) is None:
        by = watching.expected_by(job, state, now)
        if by <= now:
            found.append(alarms.overdue(job, state, now, by))
    if job.policies.must_finish_by is not None:
        since = (state.watch_at or now) - MILLISECOND
        slot = watching.last_deadline(job, now, since=since)
        if slot is not None and (what := _not_done(tx, job, slot)):
            found.append(alarms.late(job, state, slot, watching.deadline_of(job, slot), what))
    return found


def _not_done(tx: Tx, job: Job, slot: datetime) -> str:
    """Return what became of a slot that is not done by its deadline; nothing if it is done."""
    by = watching.deadline_of(job, slot)
    query = RunQuery(job_id=job.id, since=slot - timedelta(days=1), limit=500)
    rows = [run for run in run_rows.page(tx, query).entries if _serves(job, run, slot)]
    if any(run.status is RunStatus.OK and run.ended_at and run.ended_at <= by for run in rows):
        return ""
    if not rows:
        return "it has not begun"
    last = rows[0]
    return last.status.value + (f", {last.reason.value}" if last.reason else "")


def _serves(job: Job, run: Run, slot: datetime) -> bool:
    """Whether a run does the work of a slot; of a local deadline any slot between two of them."""
    if run.slot is None:
        return (run.claimed_at or slot) >= slot
    if isinstance(job.policies.must_finish_by, time):
        return slot <= run.slot < watching.deadline_of(job, slot)
    return run.slot == slot
