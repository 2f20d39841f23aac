"""What failures of an agent's beats mean for those to come: spaced out, suspended, told. Pure.

heartbeat.md §13 point 6 (classes), §2.1 (`backoff`, `onFailure`), §25 row 6. What passes by
itself is waited for, longer each time; what does not (credentials, billing, the model's name)
suspends the beats after the second time. A suspended agent is tried once a day, and at once when
its model or the model's provider is changed; whoever asks it to run is served. A trouble is told
once, and so is its end. State stands in the job's ``alarm``: ``suspended``, ``permanent``
(failures in a row that do not pass by themselves) beside the keys of `engine.alerts.alarms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from engine.agents.base import FailureClass
from engine.alerts import alarms
from engine.decisions.heartbeat import DEFAULT_EVERY
from engine.decisions.troubles import split_fix
from engine.roster.roster import AgentProfile, FailurePolicy
from jobs.ledger import Run
from jobs.model import Job, JobState
from jobs.retry import in_a_row
from jobs.wallclock import EPOCH, MILLISECOND, ms

PERMANENT: Final = frozenset(
    {FailureClass.AUTH, FailureClass.BILLING, FailureClass.MODEL_NOT_FOUND}
)
SUSPENDED_AFTER: Final = 2  # failures in a row that do not pass by themselves
PROBE: Final = timedelta(days=1)
_MOST: Final = 20  # doublings: any longest wait is reached by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What a beat's end changes about its job, and what a person is told."""

    columns: Mapping[str, Any]
    words: str | None = None


def suspended(
    alarm: Mapping[str, Any], model_print: str, now: datetime, zone: tzinfo
) -> str | None:
    """Say why no slot runs; None if none is suspended, or it is time for a try.

    ``model_print`` tells one model and its credentials from another.
    """
    held = alarm.get("suspended")
    if not held or held["print"] != model_print:
        return None
    probe = EPOCH + int(held["probeAtMs"]) * MILLISECOND
    if not timedelta() < probe - now <= PROBE:  # further off: the clock was set back since
        return None
    since = (EPOCH + int(held["atMs"]) * MILLISECOND).astimezone(zone)
    return (
        f"suspended since {since:%Y-%m-%d %H:%M} ({held['class']}: {held['message']});"
        f" it is tried again at {probe.astimezone(zone):%Y-%m-%d %H:%M} ({zone})"
    )


def spacing(
    policy: FailurePolicy, every: timedelta | None, failures: int, now: datetime
) -> datetime | None:
    """Return before when no slot runs, after so many failures in a row before this one."""
    period = every or DEFAULT_EVERY
    factor = policy.base * policy.factor ** min(failures, _MOST)
    wait = min(factor, policy.longest / period) * period
    # Half an interval less: a turn takes its time, and the slot meant must not be missed by it.
    return now + wait - period / 2 if wait > period else None


def after_failure(
    job: Job,
    agent: AgentProfile,
    before: JobState,
    run: Run,
    now: datetime,
    *,
    failure: FailureClass,
    retry_after: float | None = None,
) -> Consequences:
    """Say what follows a beat whose agent failed."""
    policy = agent.beat.failure
    alarm = dict(before.alarm)
    failures = before.consecutive_errors + 1
    lasting = int(alarm.get("permanent", 0)) + 1 if failure in PERMANENT else 0
    alarm["permanent"] = lasting
    ends = lasting >= SUSPENDED_AFTER or 0 < policy.pause_after <= failures
    retry_at = None if ends else spacing(policy, agent.beat.period, failures - 1, now)
    if not ends and retry_after is not None:
        stated = now + timedelta(seconds=retry_after)
        retry_at = stated if retry_at is None else max(stated, retry_at)
    words = None
    if not alarm.get("openMs") and (ends or failures >= policy.alert_after):
        told = [alarms.failed(job, failures, run, failure.value)]
        words = "\n".join([*told, _suspended_words(agent)] if ends else told)
        alarm = alarms.opened(alarm, now)
    if ends:
        alarm["suspended"] = _suspension(alarm, run, failure, agent.model_print, now)
    return Consequences(columns={"retry_at": retry_at, "alarm": alarm}, words=words)


def after_success(job: Job, before: JobState, now: datetime) -> Consequences:
    """Say what follows a beat whose agent answered: the trouble is over, and told if it was."""
    kept, words = alarms.succeeded(job, before.alarm, now)
    columns: dict[str, Any] = {"retry_at": None}
    if kept is not None or before.alarm:
        columns["alarm"] = kept or None
    return Consequences(columns=columns, words=words)


def _suspension(
    alarm: Mapping[str, Any], run: Run, failure: FailureClass, model_print: str, now: datetime
) -> dict[str, Any]:
    """A try that failed leaves it as it began, and puts the next try off."""
    earlier = alarm.get("suspended") or {}
    same = earlier.get("print") == model_print
    return {
        "atMs": earlier["atMs"] if same else ms(now),
        "class": failure.value,
        "message": split_fix(alarms.error_of(run))[0] or in_a_row(1),
        "print": model_print,
        "probeAtMs": ms(now + PROBE),
    }


def _suspended_words(agent: AgentProfile) -> str:
    try_now = f"engine system event --agent {agent.agent_id} --mode now --text retry"
    return (
        "Its beats are suspended: it is tried once a day, and as soon as its model or the"
        f" provider is changed. To try now: {try_now}"
    )


def still_alive(job: Job, before: JobState, now: datetime) -> Consequences:
    """Say what follows a beat that did not run for a good reason: the dead man is alive."""
    if job.policies.expect_within is None:
        return Consequences(columns={})
    kept = {key: value for key, value in before.alarm.items() if key != "overdueSinceMs"}
    return Consequences(columns={"alarm": {**kept, "lastOkMs": ms(now)}})
