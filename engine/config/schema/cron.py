"""Keys under `cron`: jobs, retries, alarms, what is missed (cron.md §12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from engine.config.schema.agents import Budget
from engine.config.schema.base import (
    YET,
    Bytes,
    Count,
    Millis,
    Names,
    Open,
    Positive,
    Retention,
    Section,
    Span,
    Text,
    key,
    section,
    table,
)
from engine.config.secrets import Secret

Transient = Literal["rate_limit", "overloaded", "network", "timeout", "server_error"]
DeliveryMode = Literal["announce", "webhook"]


_INSTEAD: Final = "no effect: give the jobs a delivery of mode webhook"


def _waits(given: tuple[int, ...]) -> tuple[int, ...]:
    if not 1 <= len(given) <= 10:
        raise ValueError(f"expected 1 to 10 entries, got {len(given)}")
    return given


class CronRetry(Section):
    """Retries of one-shot jobs."""

    max_attempts: Annotated[Count, Field(le=10)] = key(3, "Retries after a transient error.")
    backoff_ms: Annotated[tuple[Millis, ...], AfterValidator(_waits)] = key(
        (30_000, 60_000, 300_000), "Delay before each retry; the last one repeats.", unit="ms"
    )
    retry_on: tuple[Transient, ...] | None = key(
        None, "Classes of errors that are retried; all transient ones when unset."
    )


class FailureAlert(Section):
    """When a failing job is reported, and where."""

    enabled: bool = key(False, "Report failing jobs.")
    after: Positive = key(2, "Failures in a row before the report.")
    cooldown_ms: Millis = key(3_600_000, "Shortest time between two reports.", unit="ms")
    include_skipped: bool = key(False, "Count skipped runs as well.")
    mode: DeliveryMode | None = key(None, "How it is delivered; announce when unset.")
    channel: str | None = key(None, "Channel of the report.")
    to: Text | None = key(None, "Recipient of the report.")
    account_id: str | None = key(None, "Account that sends it.")


class FailureDestination(Section):
    """Where failures of jobs go that name no place themselves."""

    mode: DeliveryMode | None = key(None, "How it is delivered; announce when unset.")
    channel: str | None = key(None, "Channel.")
    to: Text | None = key(None, "Recipient.")
    account_id: str | None = key(None, "Account that sends it.")


class RunLog(Section):
    """How much of the run history is kept."""

    max_bytes: Bytes = key(2_000_000, "Largest history of one job.", unit="bytes", inert=YET)
    keep_days: Positive = key(30, "How long runs of jobs are kept.", unit="d")
    keep_per_job: Positive | None = key(None, "Runs kept per job; keepLines when unset.")
    keep_lines: Positive = key(2000, "The older name of keepPerJob.")

    @property
    def kept_for(self) -> timedelta:
        """How long runs of jobs are kept."""
        return timedelta(days=self.keep_days)

    @property
    def kept_per_job(self) -> int:
        """How many runs of one job are kept."""
        return self.keep_per_job or self.keep_lines


class SsrfPolicy(Section):
    """Which addresses webhooks may reach."""

    allowed_hostnames: Names = key((), "Hosts that may be reached even when private.")
    blocked_hostnames: Names = key((), "Hosts that are never reached.")
    dangerously_allow_private_network: bool = key(False, "Any private address may be reached.")


class MisfireKeys(Section):
    """What happens to slots that passed while nobody served them."""

    policy: Literal["run-once", "skip", "run-all"] = key("run-once", "Which missed slots run.")
    grace: Span | None = key(None, "Slots missed by more are not run; 1h when unset.")
    max_catch_up: Positive = key(10, "Most slots made up by `run-all`.")


Overlap = Literal[
    "skip", "buffer-one", "buffer-all", "cancel-running", "terminate-running", "allow"
]


class Cron(Section):
    """Scheduled jobs."""

    enabled: bool = key(True, "False: jobs are kept, none fires; heartbeats do.")
    tz: str | None = key(
        None, "IANA zone of jobs that name none; unset: userTimezone, else the host's."
    )
    max_concurrent_runs: Positive = key(4, "Jobs running at once.")
    retry: CronRetry = section(CronRetry, "Retries.")
    failure_alert: FailureAlert | None = key(None, "Reports of failing jobs.")
    failure_destination: FailureDestination | None = key(None, "Where failures go.")
    session_retention: Retention = key(
        timedelta(hours=24), "How long sessions of runs are kept; false = always.", unit="h"
    )
    run_log: RunLog = section(RunLog, "Run history.")
    webhook: str | None = key(None, "Deprecated: URL told about finished runs.", inert=_INSTEAD)
    webhook_token: Secret | None = key(None, "Bearer token and signing secret of job webhooks.")
    webhook_ssrf_policy: SsrfPolicy = section(SsrfPolicy, "Addresses webhooks may reach.")
    misfire: MisfireKeys = section(MisfireKeys, "Missed slots.")
    overlap: Overlap = key("skip", "What happens when the previous run still goes on.")
    calendars: dict[str, Any] = table("Named sets of dates to include or exclude.")
    budget: Budget | None = key(None, "Limits per day of all jobs together.")
    auto_disable_after: Count = key(10, "Failures in a row that switch a job off; 0 = never.")
    min_refire_gap_ms: Millis = key(2000, "Shortest time between two runs of a job.", unit="ms")
    allow_agent_commands: bool = key(False, "Agents may schedule commands and gates.")
    jobs: dict[str, Open] = table("Jobs declared here, by key; what each may say: jobs/KEYS.md.")
    jobs_dir: str | None = key(None, "Directory with one job per file; the file's stem is the key.")
    config_removal: Literal["disable", "delete"] = key(
        "disable", "What happens to a job whose entry is taken out."
    )
    orphan_retention: Span = key(timedelta(days=30), "When a disabled orphan is deleted.")
