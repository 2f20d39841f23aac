"""What the stores of jobs and runs take and give. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from jobs.ledger import Run
from jobs.model import StoredJob
from jobs.values import swift


@swift
@dataclass(frozen=True, slots=True)
class DueJob:
    """A job whose slot has come, as the due query reads it."""

    id: str
    kind: str  # cron | heartbeat
    definition: str
    revision: str
    next_run_at: datetime
    retry_at: datetime | None
    consecutive_errors: int
    seq: int = 0  # its place among those due at the same instant
    skips: str | None = None  # JSON: slots left out once
    fault: str = ""  # why its state cannot be read; its instants say nothing then


@swift
@dataclass(frozen=True, slots=True)
class Claim:
    """One job's step: advance it from one instant to the next and write its rows.

    ``rows`` are the runs to perform (several if a gap is made up) and the slots passed over.
    """

    job_id: str
    expect_next_run_at: datetime
    next_run_at: datetime | None
    rows: tuple[Run, ...]
    switch_off: bool = False  # a one-shot that may not run: its job is over (cron.md §9.1)


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a run ended, and what that does to its job."""

    run: Run  # as it shall stand
    job_columns: Mapping[str, Any] = field(default_factory=dict)  # beside the usual counters
    counts: bool = True  # False: the job's last run and counters stay as they are


class RunCost(NamedTuple):
    """A run as a budget sees it."""

    seq: int
    job_id: str
    at_ms: int  # when it was claimed
    status: str
    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs to list. Defaults: enabled cron jobs, next run first."""

    kinds: tuple[str, ...] = ("cron",)
    enabled: bool | None = True
    agent_id: str | None = None
    default_agent: str | None = None  # whose the jobs without an agent are
    source: str | None = None  # runtime | config | import | system
    schedule_kind: str | None = None  # at | every | cron
    last_status: str | None = None  # ok | error | skipped | unknown
    text: str | None = None
    sort: str = "next_run_at"  # next_run_at | updated_at | name
    descending: bool = False
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of the jobs a query matches."""

    jobs: tuple[StoredJob, ...]
    total: int
    unreadable: tuple[str, ...] = ()  # ids of rows whose definition cannot be understood
    snapshot: str = ""  # of a page: changes with the ids and revisions the query matches


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs to list, newest first."""

    job_id: str | None = None
    run_id: str | None = None
    kind: str | None = None
    agent_id: str | None = None
    statuses: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    descending: bool = True
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of the runs a query matches."""

    entries: tuple[Run, ...]
    total: int
