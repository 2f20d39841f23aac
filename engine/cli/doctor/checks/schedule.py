"""`scheduler.*` and `cron.*` (operations.md §10). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.facts import Facts, Reach
from engine.cli.doctor.finding import Act, Finding, Repair
from jobs.duration import format_duration

LATE: Final = timedelta(seconds=1)
AHEAD: Final = timedelta(minutes=5)


def check(facts: Facts) -> Iterator[Finding]:
    """Tell whether what is planned fires, and each job that does not."""
    yield from _timer(facts)
    yield from _clock(facts)
    program, schedule = facts.program, facts.schedule
    for job_id, why in schedule.unreadable:
        words = f"job {job_id} cannot be read and is set aside: {why}"
        yield finding("cron.job_invalid", words, f"{program} cron rm {job_id}")
    for job_id, name in schedule.never_fire:
        words = f"job {name} is switched on and has no next run"
        yield finding("cron.job_never_fires", words, f"{program} cron show {job_id}")
    if facts.state.legacy_jobs:
        yield finding(
            "cron.store_legacy",
            f"{facts.state.legacy_jobs} holds jobs of another engine that nothing here runs",
            f"{program} cron import {facts.state.legacy_jobs}",
        )


def _timer(facts: Facts) -> Iterator[Finding]:
    gateway = facts.gateway
    if not facts.schedule.cron_enabled:
        yield finding(
            "scheduler.disabled",
            "cron.enabled is false: no job fires",
            f"{facts.program} config set cron.enabled true",
            repair=Repair(act=Act.SET_KEY, subject="cron.enabled", value=True),
        )
    if gateway.reach is not Reach.OK:
        return
    if not gateway.armed:
        words = "the gateway runs and its timer is not set: nothing fires"
        yield finding("scheduler.not_armed", words, f"{facts.program} gateway restart")
    if gateway.lag > LATE:
        words = f"the last tick came {format_duration(gateway.lag)} late: the machine is overloaded"
        yield finding("scheduler.lag", words, "elsewhere: look what keeps this machine busy")
    if gateway.missed:
        count = gateway.missed
        yield finding(
            "scheduler.missed_runs",
            f"{count} run{'s were' if count > 1 else ' was'} missed in 24 h",
            f"{facts.program} cron audit",
        )


def _clock(facts: Facts) -> Iterator[Finding]:
    newest = facts.state.newest_row
    if newest is not None and newest - facts.now > AHEAD:
        yield finding(
            "scheduler.clock_skew",
            f"the clock of this machine stands {format_duration(_whole(newest - facts.now))}"
            " before what is on record",
            "timedatectl set-ntp true",
        )
    if facts.schedule.bad_zone:
        yield finding(
            "scheduler.tz_invalid",
            f"TZ={facts.schedule.bad_zone} is no zone this machine knows: times are taken for UTC",
            "elsewhere: set TZ to an IANA name such as Europe/London",
        )


def _whole(span: timedelta) -> timedelta:
    return timedelta(seconds=int(span.total_seconds()))
