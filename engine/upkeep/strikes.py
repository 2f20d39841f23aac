"""Jobs whose next slot cannot be computed: three strikes, and then they are switched off (§9.4).

The first strikes pass by themselves if what is missing comes back, a zone of the host's tz
database for one; the slot waits meanwhile. Whatever else cannot be read is set aside at once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from engine.agents.secrets import redacted
from engine.alerts.alerting import Alerting, Told, warn_if_unsent
from engine.events import Bus
from engine.store import outbox
from jobs import codec
from jobs.errors import EngineError, InvalidSchedule
from jobs.model import Command, DeliverySpec, Job
from jobs.schedule import At
from jobs.store import jobs as job_rows
from jobs.store.base import DueJob
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

MOST: Final = 3
APART: Final = timedelta(seconds=30)
REASON: Final = "schedule-errors"


@dataclass(frozen=True, slots=True)
class _Strike:
    count: int
    again_at: datetime


class Strikes:
    """Counts failures in a row to say when a job is due next; others are not held up."""

    def __init__(
        self, database: Database, *, bus: Bus | None = None, alerting: Alerting | None = None
    ) -> None:
        self._database = database
        self._bus = bus
        self._alerting = alerting
        self._struck: dict[str, _Strike] = {}

    def waits(self, job_id: str, now: datetime) -> bool:
        """Whether a job that failed lately is left alone for a moment."""
        struck = self._struck.get(job_id)
        return struck is not None and timedelta() < struck.again_at - now <= APART

    def again_at(self, now: datetime) -> datetime | None:
        """When the first of those is looked at again; one that is not due any more is forgotten."""
        if not self._struck:
            return None
        self._struck = {ref: one for ref, one in self._struck.items() if one.again_at > now}
        return min((struck.again_at for struck in self._struck.values()), default=None)

    async def strike(self, row: DueJob, error: Exception, now: datetime) -> None:
        """Note that a job's next slot could not be computed; the third time switches it off."""
        before = self._struck.get(row.id)
        count = 1 if before is None else before.count + 1
        words = f"schedule error: {_words(error)}"
        log.error("a schedule cannot be computed", extra=_told(row, words) | {"strike": count})
        if count < MOST:
            self._struck[row.id] = _Strike(count, now + APART)
            columns = {"schedule_errors": count, "last_error": words}
            await self._database.write(lambda tx: job_rows.set_state(tx, row.id, **columns))
            return
        self._struck.pop(row.id, None)
        told = await self._database.write(lambda tx: self._switch_off(tx, row, words, now))
        if told is not None:
            warn_if_unsent(_stand_in(row, now), told)
        if self._bus is None:
            return
        gone = {"action": "autoDisabled", "jobId": row.id, "reason": REASON, "error": words}
        self._bus.publish("cron", gone)
        if told is not None and told.delivery is not None:
            state = told.delivery.state.value
            self._bus.publish("outbox", {"key": told.delivery.key, "state": state})

    async def passed(self, job_ids: Iterable[str]) -> None:
        """Forget strikes of jobs that could be planned again."""
        well = [job_id for job_id in job_ids if self._struck.pop(job_id, None) is not None]
        if well:
            cleared = [(job_id, {"schedule_errors": 0, "last_error": None}) for job_id in well]
            await self._database.write(lambda tx: job_rows.set_states(tx, cleared))

    def _switch_off(self, tx: Tx, row: DueJob, words: str, now: datetime) -> Told | None:
        """Its definition stays as it is, for it cannot be read; its column says that it is off."""
        job_rows.set_state(
            tx,
            row.id,
            enabled=False,
            next_run_at=None,
            schedule_errors=MOST,
            last_error=words,
            auto_disabled=REASON,
        )
        if self._alerting is None:
            return None
        job = _stand_in(row, now)
        text = (
            f'Cron job "{job.name}" was switched off: its next run cannot be computed\n'
            f"Last error: {words}\nMend its schedule: engine cron edit {row.id}"
        )
        told = self._alerting.message_in(tx, job, text, f"alarm:{row.id}:{now:%Y%m%d%H%M%S}", now)
        if told.delivery is not None:
            outbox.add(tx, told.delivery)
        return told


def of_schedule(error: Exception) -> bool:
    """Whether it is the schedule of a definition that cannot be understood, and nothing else."""
    return isinstance(error, InvalidSchedule) or isinstance(error.__cause__, InvalidSchedule)


def _words(error: Exception) -> str:
    why = error.why or error.what if isinstance(error, EngineError) else ""
    return redacted(why or f"{type(error).__name__}: {error}")[:500]


def _told(row: DueJob, words: str) -> dict[str, Any]:
    return {"job_id": row.id, "because": words}


def _stand_in(row: DueJob, now: datetime) -> Job:
    """Return a job of the same name that is told of at the same places, as far as can be read."""
    try:
        found = json.loads(row.definition)
        data: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        delivery = codec.delivery_from_json(data.get("delivery") or {})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        data, delivery = {}, DeliverySpec()
    return Job(
        id=row.id,
        name=str(data.get("name") or row.id),
        schedule=At(now),
        payload=Command(argv=("",)),
        agent_id=data.get("agentId") if isinstance(data.get("agentId"), str) else None,
        delivery=delivery,
    )
