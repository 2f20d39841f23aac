"""What a simulation recorded, in the shape a test or a person asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.messages.delivery import Delivery
from jobs.errors import JobNotFound
from jobs.ledger import Run, RunStatus, SkipReason
from jobs.model import Job

_RAN: Final = frozenset({RunStatus.OK, RunStatus.FAILED, RunStatus.RUNNING})
_DECLARED: Final = "cfg:"


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """One row of the ledger, told in the simulation's zone."""

    row: Run
    delivery: Delivery | None
    zone: ZoneInfo

    @property
    def at(self) -> datetime:
        """Its slot; for a wake or a manual run, when it was asked for. UTC."""
        run = self.row
        found = run.slot or run.requested_at or run.claimed_at or run.ended_at
        if found is None:
            raise AssertionError(f"run {run.id} has no instant")
        return found

    @property
    def local_at(self) -> datetime:
        """The same in the simulation's zone."""
        return self.at.astimezone(self.zone)

    @property
    def local(self) -> str:
        """Local time of day, for example ``09:00``."""
        return f"{self.local_at:%H:%M}"

    @property
    def day(self) -> str:
        """Local date, for example ``2026-03-29``."""
        return f"{self.local_at:%Y-%m-%d}"

    @property
    def job(self) -> str:
        """The key or name people call the job by."""
        run = self.row
        if run.kind == "heartbeat":  # rows of slots have the name, of wakes only the id
            return run.job_id.replace(":", " ", 1)
        return run.job_name or run.job_id

    @property
    def ran(self) -> bool:
        """Whether it began; if not, `reason` says why."""
        return self.row.status in _RAN

    @property
    def status(self) -> str:
        """ok, failed, skipped, missed; or claimed, running, deferred if it is not over."""
        return self.row.status.value

    @property
    def outcome(self) -> str | None:
        """What the agent's answer amounted to: acknowledged, empty, alert, failed."""
        return self.row.outcome.value if self.row.outcome else None

    @property
    def result(self) -> str:
        """In one word what came of it: the outcome of a turn that ended well, else the status."""
        return self.outcome if self.status == "ok" and self.outcome else self.status

    @property
    def reason(self) -> str | None:
        """Why it did not run, or why its words were not sent."""
        return self.row.reason.value if self.row.reason else None

    @property
    def because(self) -> str:
        """The evidence for the reason."""
        return self.row.because

    @property
    def text(self) -> str:
        """What was said, sent or not."""
        return str(self.row.reply.get("rawText") or "")

    def named(self, job: str) -> bool:
        """Whether it belongs to a job: by id, by name, or by its key in the config."""
        return job in (self.row.job_id, self.job) or self.row.job_id == _DECLARED + job


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message that reached a person, as far as the simulation goes."""

    at: datetime
    local: str
    channel: str
    account_id: str
    to: str
    text: str
    kind: str  # reply | cron | heartbeat | message
    job_id: str | None
    run_id: str | None
    state: str  # delivered; cancelled or expired for one that was not


@dataclass(frozen=True, slots=True)
class Beats:
    """The beats of all agents, or of one."""

    rows: tuple[SimulatedRun, ...]

    @property
    def ran(self) -> int:
        """How many took a turn."""
        return sum(row.ran for row in self.rows)

    @property
    def skipped(self) -> Counter[str]:
        """How many did not, by reason."""
        return _by_reason(row for row in self.rows if not row.ran)

    @property
    def unsent(self) -> Counter[str]:
        """How many had words that were not sent, by reason."""
        return _by_reason(row for row in self.rows if row.ran and row.outcome == "alert")

    @property
    def alerts(self) -> tuple[str, ...]:
        """What was said to a person, or would have been."""
        return tuple(row.text for row in self.rows if row.outcome == "alert")


@dataclass(frozen=True, repr=False)
class Report:
    """Everything since the simulation began, oldest first."""

    start: datetime
    until: datetime
    zone: ZoneInfo
    rows: tuple[SimulatedRun, ...]
    deliveries: tuple[Delivered, ...]
    known: tuple[Job, ...] = ()  # at the end, whether they have a row or not

    def __repr__(self) -> str:
        """Short: what it covers and how much there is."""
        span = f"{self.start:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"
        return f"<Report {span}: {len(self.rows)} rows, {len(self.deliveries)} messages>"

    @cached_property
    def beats(self) -> Beats:
        """The beats of all agents."""
        return Beats(tuple(row for row in self.rows if row.row.kind == "heartbeat"))

    def beats_of(self, agent_id: str) -> Beats:
        """The beats of one agent."""
        return Beats(tuple(row for row in self.beats.rows if row.row.agent_id == agent_id))

    def runs(self, job: str) -> list[SimulatedRun]:
        """The runs of a job that began: by its name, its id, or its key in the config.

        A job nobody has heard of is refused: no test passes because of a typing error.
        """
        return [row for row in self._of(job) if row.ran]

    def skips(self, job: str) -> list[SimulatedRun]:
        """The slots of a job that came to nothing, each with its reason."""
        return [row for row in self._of(job) if not row.ran]

    def _of(self, job: str) -> list[SimulatedRun]:
        found = [row for row in self.rows if row.named(job)]
        if not found and not self.knows(job):
            near = get_close_matches(job, self.names, 1)
            raise JobNotFound(
                f'the simulation has no job "{job}"',
                why=f"it has {', '.join(self.names) or 'none'}",
                fix=f'ask for "{near[0]}"' if near else "ask for one of them",
            )
        return found

    def knows(self, job: str) -> bool:
        """Whether there is or was such a job, by name, by id, or by its key in the config."""
        defined = any(job in (one.id, one.name, _key(one.id)) for one in self.known)
        return defined or any(row.named(job) for row in self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """What `runs` can be asked for."""
        defined = (_key(one.id) or one.name for one in self.known)
        return tuple(sorted({*defined, *(_key(row.row.job_id) or row.job for row in self.rows)}))

    @property
    def jobs(self) -> tuple[str, ...]:
        """Names of all jobs that have a row, in order of appearance."""
        return tuple(dict.fromkeys(row.job for row in self.rows))

    def timeline(self) -> list[dict[str, Any]]:
        """Return every row, JSON-ready, with its reason and what became of its words."""
        return [told(row) for row in self.rows]

    def summary(self) -> list[dict[str, Any]]:
        """Return how often each job ended in each way: status, reason, count, first time."""
        groups: dict[tuple[str, str, str], list[SimulatedRun]] = {}
        for row in self.rows:
            groups.setdefault((row.job, row.result, row.reason or ""), []).append(row)
        return [
            {
                "job": job,
                "result": what,
                "reason": reason or None,
                "count": sum(row.row.count for row in rows),
                "first": rows[0].local_at.isoformat(),
                "because": rows[0].because or None,
            }
            for (job, what, reason), rows in groups.items()
        ]


def _key(job_id: str) -> str | None:
    """The key in the config a declared job has its id from."""
    return job_id.removeprefix(_DECLARED) if job_id.startswith(_DECLARED) else None


def report_of(
    runs: Iterable[Run],
    deliveries: Sequence[Delivery],
    *,
    start: datetime,
    until: datetime,
    zone: ZoneInfo,
    known: Sequence[Job] = (),
) -> Report:
    """Put a report together from the rows of a store."""
    by_key = {delivery.key: delivery for delivery in deliveries}
    rows = [SimulatedRun(run, by_key.get(run.delivery_key or ""), zone) for run in runs]
    rows.sort(key=lambda row: row.at)
    # The store gives the newest first; of one instant, what was said first stands first.
    sent = list(reversed(deliveries))
    sent.sort(key=lambda one: one.created_at)
    return Report(
        start=start,
        until=until,
        zone=zone,
        rows=tuple(rows),
        deliveries=tuple(_delivered(one, zone) for one in sent),
        known=tuple(known),
    )


def told(row: SimulatedRun) -> dict[str, Any]:
    """Return one row, JSON-ready; what is not known is left out."""
    run, delivery = row.row, row.delivery
    words: Mapping[str, Any] = {
        "at": row.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "local": row.local_at.isoformat(),
        "job": row.job,
        "jobId": run.job_id,
        "kind": run.kind,
        "agentId": run.agent_id,
        "trigger": run.trigger.value,
        "status": row.status,
        "outcome": row.outcome,
        "reason": row.reason,
        "because": row.because or (run.reason.sentence if run.reason else None),
        "count": run.count if run.count > 1 else None,
        "dst": run.dst,
        "text": row.text or None,
        "delivery": None
        if delivery is None
        else {
            "state": delivery.state.value,
            "channel": delivery.route.channel,
            "to": delivery.route.to,
        },
    }
    return {key: value for key, value in words.items() if value is not None}


def _delivered(one: Delivery, zone: ZoneInfo) -> Delivered:
    at = one.ended_at or one.created_at
    return Delivered(
        at=at,
        local=f"{at.astimezone(zone):%H:%M}",
        channel=one.route.channel,
        account_id=one.route.account_id,
        to=one.route.to,
        text=one.text,
        kind=one.kind,
        job_id=one.job_id,
        run_id=one.run_id,
        state=one.state.value,
    )


def _by_reason(rows: Iterable[SimulatedRun]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for row in rows:
        if row.row.reason is not None:
            counted[SkipReason(row.row.reason).value] += row.row.count
    return counted
