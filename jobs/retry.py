"""After a failure: again when, or give up (cron.md §9). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

TRANSIENT: Final = frozenset({"rate_limit", "overloaded", "network", "timeout", "server_error"})
RECURRING: Final = tuple(timedelta(seconds=s) for s in (30, 60, 300, 900, 3600))
ONE_SHOT: Final = tuple(timedelta(seconds=s) for s in (30, 60, 300))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What the config says about retries (`cron.retry`, `cron.autoDisableAfter`)."""

    max_attempts: int = 3
    backoff: tuple[timedelta, ...] = ONE_SHOT
    retry_on: frozenset[str] = TRANSIENT
    recurring: tuple[timedelta, ...] = RECURRING  # floors of jobs that come again anyway
    auto_disable_after: int = 10  # 0: never


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job whose run failed."""

    retry_at: datetime | None = None
    disable: bool = False
    because: str = ""


def after_one_shot(failure: str, failures: int, ended_at: datetime, policy: RetryPolicy) -> Verdict:
    """Decide about a one-shot that failed for the ``failures``-th time (§9.1)."""
    if failure not in policy.retry_on:
        return Verdict(disable=True, because=f"{failure} does not pass by itself")
    if failures > policy.max_attempts:
        return Verdict(disable=True, because=f"it failed {failures} times")
    wait = policy.backoff[min(failures, len(policy.backoff)) - 1]
    return Verdict(retry_at=ended_at + wait, because=f"try {failures + 1} after {wait}")


def after_recurring(failures: int, ended_at: datetime, policy: RetryPolicy) -> Verdict:
    """Decide about a recurring job after its ``failures``-th failure in a row (§9.2, §9.4).

    ``retry_at`` is the floor below which no slot runs; slots before it are recorded, and if
    there were any, the job is tried then. It is a whole second: a run that failed at once must
    not cost the slot exactly at its delay.
    """
    if policy.auto_disable_after and failures >= policy.auto_disable_after:
        return Verdict(disable=True, because=in_a_row(failures))
    wait = policy.recurring[min(failures, len(policy.recurring)) - 1]
    return Verdict(retry_at=(ended_at + wait).replace(microsecond=0), because=in_a_row(failures))


def early(failure: str, failures: int, ended_at: datetime, policy: RetryPolicy) -> datetime | None:
    """Return when a recurring job is tried again before its next slot; None: it waits for that.

    What passes by itself is worth another try, and at most ``max_attempts`` of them (§9.2).
    """
    if failure not in policy.retry_on or failures > policy.max_attempts:
        return None
    wait = policy.backoff[min(failures, len(policy.backoff)) - 1]
    return (ended_at + wait).replace(microsecond=0)


def in_a_row(failures: int) -> str:
    """Say how often something failed."""
    return "it failed" if failures == 1 else f"{failures} failures in a row"
