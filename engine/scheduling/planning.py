"""What a config would change about the stored jobs, and when they would run (cron.md §13)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from engine.config import jobs
from engine.config.schema import Config
from jobs import chains, declared
from jobs.declared import Act, Change, key_of
from jobs.errors import ConfigInvalid
from jobs.model import Job, Source
from jobs.store import jobs as rows
from jobs.store.base import JobQuery
from jobs.store.db import Tx
from jobs.wallclock import ms

_COMING: Final = 3


def planned(tx: Tx, config: Config, *, now: datetime, host_zone: str) -> dict[str, Any]:
    """Return what would change and what to know of it: ``{changes, unchanged, adopted, remarks}``.

    Raises `ConfigInvalid` where jobs are wrong.
    """
    cron = config.cron
    entries, problems = declared.expand(cron.jobs, jobs.rules_of(config, now, host_zone))
    stored = rows.select(tx, JobQuery(enabled=None)).jobs
    problems = (*problems, *declared.collisions(entries, stored))
    if problems:
        raise ConfigInvalid(
            "the jobs of the config cannot be applied",
            why="; ".join(f"cron.jobs.{each.key}: {each.text}" for each in problems),
            fix="correct them, then: engine config validate",
        )
    made = declared.plan(
        entries,
        stored,
        now=now,
        removal=cron.config_removal,
        orphan_retention=cron.orphan_retention,
    )
    wanted = [entry.job for entry in entries]
    others = [one.job for one in stored if one.job.source is not Source.CONFIG]
    find = chains.among([*wanted, *others])
    kept = sum(one.job.source is Source.CONFIG for one in stored)
    return {
        "changes": [_change(change, now) for change in made.changes],
        "unchanged": max(0, kept - sum(c.act is not Act.ADD for c in made.changes)),
        "adopted": sorted(declared.adopted(entries, stored)),
        "remarks": [
            {"key": key_of(job), "text": text} for job, text in chains.missing(wanted, find)
        ],
    }


def _change(change: Change, now: datetime) -> dict[str, Any]:
    return {
        "act": change.act.value,
        "key": key_of(change.job),
        "id": change.job.id,
        "name": change.job.name,
        "next": [] if change.next_run_at is None else _coming(change.job, change.next_run_at, now),
    }


def _coming(job: Job, first: datetime, now: datetime) -> list[int | None]:
    slots = [first]
    while len(slots) < _COMING and (slot := job.schedule.next_after(max(slots[-1], now))):
        slots.append(slot)
    return [ms(slot) for slot in slots]
