"""What a job asks of its scheduler beside when and what: limits, gates, retries (cron.md §22).

Frozen values and their JSON. A job that asks for nothing shares one `PLAIN`, and costs nothing.
What may be asked for is judged by `jobs.policy_checks`; whether a run may begin under it is
the engine's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final, TypeVar

from jobs.duration import format_duration, parse_duration
from jobs.wallclock import EPOCH

_T = TypeVar("_T")
_MS: Final = timedelta(milliseconds=1)
LONGEST_GAP: Final = timedelta(minutes=10)  # of `refire_gap`: the loop remembers ends as long
KEYS: Final = frozenset(
    {
        "overlap",
        "jitterMs",
        "calendars",
        "until",
        "maxRuns",
        "maxRunsPerDay",
        "respectActiveHours",
        "gate",
        "after",
        "contextFrom",
        "budget",
        "mustFinishBy",
        "expectWithin",
        "tags",
        "failureAlert",
        "retry",
        "minRefireGapMs",
    }
)


OVERLAPS: Final = (
    "skip", "buffer-one", "buffer-all", "cancel-running", "terminate-running", "allow"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What a slot does while the run before it still goes on (row 3): one of `OVERLAPS`."""

    policy: str = "skip"
    most: int = 10  # waiting (buffer-all) or running (allow) at once


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRule:
    """The named calendars that must all allow a slot's day (row 7)."""

    names: tuple[str, ...]
    on_excluded: str = "skip"  # skip | next-allowed | previous-allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A command that says whether the job shall run: exit 0 yes, 1 no (row 16)."""

    argv: tuple[str, ...]
    on_change: bool = False  # a yes counts only if it printed something new
    timeout: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Another job that must have succeeded lately (row 17)."""

    job: str  # id, config key or exact name
    within: timedelta | None = None  # None: between the slots of the job that waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a job may spend in a day of its zone (row 14)."""

    tokens_per_day: int | None = None
    cost_per_day: float | None = None  # US dollars
    runs_per_day: int | None = None
    warn_only: bool = False
    fallback_model: str | None = None  # cheaper: used when the budget is spent, instead of a skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureAlert:
    """When a failing job is reported, and where (cron.md §10.4)."""

    after: int = 2
    cooldown: timedelta = timedelta(hours=1)
    include_skipped: bool = False
    mode: str | None = None
    channel: str | None = None
    to: str | None = None
    account_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How a job's failures are retried; what is not said is as in the config (cron.md §9)."""

    max_attempts: int | None = None
    backoff: tuple[timedelta, ...] | None = None
    retry_on: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Everything a job asks for. The defaults ask for nothing."""

    overlap: Overlap | None = None  # None: cron.overlap
    jitter: timedelta = timedelta()
    calendars: CalendarRule | None = None
    until: datetime | None = None
    max_runs: int | None = None
    max_runs_per_day: int | None = None
    active_hours: str | None = None  # skip | defer
    gate: Gate | None = None
    after: After | None = None
    context_from: tuple[str, ...] = ()  # jobs whose latest output is handed to the prompt
    budget: Budget | None = None
    must_finish_by: timedelta | time | None = None  # after the slot, or a local time of day
    expect_within: timedelta | None = None  # a success at least this often
    tags: tuple[str, ...] = ()
    failure_alert: FailureAlert | bool | None = None  # False: never; None: as the config says
    retry: Retries | None = None
    refire_gap: timedelta | None = None

    @property
    def watched(self) -> bool:
        """Whether somebody must look after the job between its slots."""
        return self.must_finish_by is not None or self.expect_within is not None


PLAIN: Final = Policies()


# -- JSON ----------------------------------------------------------------------------------------


def to_json(policies: Policies) -> dict[str, Any]:
    """Return what is asked for, in the keys of cron.md §1."""
    if policies is PLAIN:
        return {}
    p = policies
    told = {
        "overlap": None if p.overlap is None else _overlap_words(p.overlap),
        "jitterMs": p.jitter // _MS or None,
        "calendars": None if p.calendars is None else _calendar_words(p.calendars),
        "until": None if p.until is None else (p.until - EPOCH) // _MS,
        "maxRuns": p.max_runs,
        "maxRunsPerDay": p.max_runs_per_day,
        "respectActiveHours": p.active_hours,
        "gate": None if p.gate is None else _gate_words(p.gate),
        "after": None if p.after is None else _after_words(p.after),
        "contextFrom": list(p.context_from) or None,
        "budget": None if p.budget is None else _budget_words(p.budget),
        "mustFinishBy": None if p.must_finish_by is None else _deadline_words(p.must_finish_by),
        "expectWithin": None if p.expect_within is None else format_duration(p.expect_within),
        "tags": list(p.tags) or None,
        "failureAlert": _alert_words(p.failure_alert)
        if isinstance(p.failure_alert, FailureAlert)
        else p.failure_alert,
        "retry": None if p.retry is None else _retry_words(p.retry),
        "minRefireGapMs": None if p.refire_gap is None else p.refire_gap // _MS,
    }
    return _present(told)


def from_json(data: Mapping[str, Any]) -> Policies:
    """Return the policies among a job's keys, in their normal form.

    Raises `KeyError`, `TypeError` or `ValueError` for what is in no such form.
    """
    if KEYS.isdisjoint(data):
        return PLAIN
    get = data.get
    return Policies(
        overlap=_read(get("overlap"), _overlap),
        jitter=get("jitterMs", 0) * _MS,
        calendars=_read(get("calendars"), _calendars),
        until=_read(get("until"), lambda ms: EPOCH + ms * _MS),
        max_runs=get("maxRuns"),
        max_runs_per_day=get("maxRunsPerDay"),
        active_hours=get("respectActiveHours") or None,
        gate=_read(get("gate"), _gate),
        after=_read(get("after"), _after),
        context_from=tuple(get("contextFrom") or ()),
        budget=_read(get("budget"), budget_of),
        must_finish_by=_read(get("mustFinishBy"), deadline),
        expect_within=_read(get("expectWithin"), parse_duration),
        tags=tuple(get("tags") or ()),
        failure_alert=_alert(get("failureAlert")),
        retry=_read(get("retry"), _retry),
        refire_gap=_read(get("minRefireGapMs"), lambda ms: ms * _MS),
    )


def deadline(text: str) -> timedelta | time:
    """Return a deadline: ``HH:MM`` of the slot's day, or a duration after the slot."""
    if ":" in text:
        return time.fromisoformat(text.zfill(5))
    return parse_duration(text)


def alert_of(data: Mapping[str, Any]) -> FailureAlert:
    """Return the alert rule behind JSON, also of the config's `cron.failureAlert`."""
    plain = FailureAlert()
    cooldown = data.get("cooldownMs")
    return FailureAlert(
        after=data.get("after") or plain.after,
        cooldown=plain.cooldown if cooldown is None else cooldown * _MS,
        include_skipped=bool(data.get("includeSkipped", False)),
        mode=data.get("mode"),
        channel=data.get("channel"),
        to=data.get("to"),
        account_id=data.get("accountId"),
    )


def _read(value: Any, made: Callable[[Any], _T]) -> _T | None:
    return None if value is None else made(value)


def _overlap(value: Mapping[str, Any]) -> Overlap:
    return Overlap(policy=value["policy"], most=value.get("max", Overlap().most))


def _calendars(value: Mapping[str, Any]) -> CalendarRule:
    return CalendarRule(names=tuple(value["names"]), on_excluded=value.get("onExcluded", "skip"))


def _gate(value: Mapping[str, Any]) -> Gate:
    return Gate(
        argv=tuple(value["command"]),
        on_change=value.get("on") == "change",
        timeout=value.get("timeoutSeconds", 30) * 1000 * _MS,
    )


def _after(value: Mapping[str, Any]) -> After:
    return After(job=value["job"], within=_read(value.get("within"), parse_duration))


def budget_of(value: Mapping[str, Any]) -> Budget:
    """Return the budget behind JSON, also of the config's `cron.budget`."""
    return Budget(
        tokens_per_day=value.get("tokensPerDay"),
        cost_per_day=value.get("costPerDay"),
        runs_per_day=value.get("runsPerDay"),
        warn_only=value.get("onExceed") == "warn",
        fallback_model=value.get("fallbackModel"),
    )


def _alert(value: Any) -> FailureAlert | bool | None:
    return alert_of(value) if isinstance(value, Mapping) else value


def _retry(value: Mapping[str, Any]) -> Retries:
    backoff, retry_on = value.get("backoffMs"), value.get("retryOn")
    return Retries(
        max_attempts=value.get("maxAttempts"),
        backoff=None if backoff is None else tuple(ms * _MS for ms in backoff),
        retry_on=None if retry_on is None else frozenset(retry_on),
    )


def _overlap_words(overlap: Overlap) -> dict[str, Any]:
    return {"policy": overlap.policy, "max": overlap.most}


def _calendar_words(rule: CalendarRule) -> dict[str, Any]:
    return {"names": list(rule.names), "onExcluded": rule.on_excluded}


def _gate_words(gate: Gate) -> dict[str, Any]:
    return {
        "command": list(gate.argv),
        "on": "change" if gate.on_change else "exit",
        "timeoutSeconds": gate.timeout.total_seconds(),
    }


def _after_words(after: After) -> dict[str, Any]:
    within = None if after.within is None else format_duration(after.within)
    return _present({"job": after.job, "within": within})


def _budget_words(budget: Budget) -> dict[str, Any]:
    return _present(
        {
            "tokensPerDay": budget.tokens_per_day,
            "costPerDay": budget.cost_per_day,
            "runsPerDay": budget.runs_per_day,
            "onExceed": "warn" if budget.warn_only else None,
            "fallbackModel": budget.fallback_model,
        }
    )


def _deadline_words(by: timedelta | time) -> str:
    return f"{by:%H:%M}" if isinstance(by, time) else format_duration(by)


def _alert_words(alert: FailureAlert) -> dict[str, Any]:
    return _present(
        {
            "after": alert.after,
            "cooldownMs": alert.cooldown // _MS,
            "includeSkipped": alert.include_skipped or None,
            "mode": alert.mode,
            "channel": alert.channel,
            "to": alert.to,
            "accountId": alert.account_id,
        }
    )


def _retry_words(retry: Retries) -> dict[str, Any]:
    return _present(
        {
            "maxAttempts": retry.max_attempts,
            "backoffMs": None if retry.backoff is None else [s // _MS for s in retry.backoff],
            "retryOn": None if retry.retry_on is None else sorted(retry.retry_on),
        }
    )


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
