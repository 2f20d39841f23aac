"""Jobs of the config judged as the gateway would: what the scheduler refuses, and targets.

A target nobody can read is told here, with its line, and not when the first message is due
(channels.md §4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.config import effective
from engine.config.calendars import calendars
from engine.config.issues import Note
from engine.config.models import ref_fault
from engine.config.schema import Config
from engine.decisions.tool_policy import known, nearest
from engine.messages.target import place_fault
from jobs import chains, declared
from jobs.checks import models as models_of, places, url_fault
from jobs.due import first_run
from jobs.edit import Rules
from jobs.errors import ConfigInvalid
from jobs.model import AgentTurn, Job, Misfire


def judge(
    config: Config, now: datetime, host_zone: str, folder: Path
) -> list[tuple[tuple[str, ...], str]]:
    """Return what is wrong with the jobs of a config, and their calendars, as (key, sentence).

    ``folder`` is where the config's .ics files are looked for.
    """
    try:
        calendars(config, folder, now, host_zone)
    except ConfigInvalid as error:
        return [(("cron", "calendars"), str(error))]
    jobs, problems = declared.expand(config.cron.jobs, rules_of(config, now, host_zone))
    found: list[tuple[tuple[str, ...], str]] = [
        (("cron", "jobs", each.key), each.text) for each in problems
    ]
    for each in jobs:
        entry = config.cron.jobs[each.key]
        if text := _dangling(entry):
            found.append((("cron", "jobs", each.key, "deliver"), text))
            continue
        found += [
            (("cron", "jobs", each.key, *_written(entry, what)), text)
            for what, text in name_faults(config, each.job)
        ]
    return [*found, *_for_all_jobs(config)]


def remarks(config: Config, now: datetime, host_zone: str) -> Iterator[Note]:
    """Yield what is worth knowing of the jobs of a valid config: those that never run, and others
    they name and it has not.

    One of those may have been added at run time; only the store knows (`engine cron plan`).
    """
    made, _ = declared.expand(config.cron.jobs, rules_of(config, now, host_zone))
    jobs = [each.job for each in made]
    for job in jobs:
        until = job.policies.until
        if until is not None and job.enabled and first_run(job, now) is None:
            yield Note(
                code="config.past_until",
                path=f"cron.jobs.{declared.key_of(job)}.until",
                message=f"it has no slot before {until:%Y-%m-%d %H:%M}Z: it will never run",
                level="warning",
            )
    for job, text in chains.missing(jobs, chains.among(jobs)):
        yield Note(
            code="config.unknown_job",
            path=f"cron.jobs.{declared.key_of(job)}",
            message=f"{text} (one added at run time counts: engine cron plan knows those)",
            level="warning",
        )


def name_faults(config: Config, job: Job) -> Iterator[tuple[str, str]]:
    """Return the chats, models and tools a job names and there are not, each with its key."""
    for what, place in places(job):
        if text := place_fault(place):
            yield what, text
    for ref in models_of(job):
        if text := ref_fault(ref, config):
            yield "model", text
    allowed = job.payload.tools_allow if isinstance(job.payload, AgentTurn) else None
    for entry in allowed or ():
        if not known(entry):
            yield "toolsAllow", f'no tool or group "{entry}"{nearest(entry)}'


def rules_of(config: Config, now: datetime, host_zone: str) -> Rules:
    """Return what jobs are judged against under a config, as its gateway would."""
    given = config.cron.misfire
    grace = Misfire().grace if given.grace is None else given.grace
    return Rules(
        now=now,
        default_tz=config.cron.tz or effective.user_zone(config) or host_zone,
        default_agent=effective.default_agent(config).lower(),
        agents=tuple(agent.id.lower() for agent in effective.agents(config)),
        channels=effective.configured_channels(config),
        calendars=tuple(config.cron.calendars),
        misfire=Misfire(policy=given.policy, grace=grace, max_catch_up=given.max_catch_up),
    )


def _dangling(entry: Any) -> str:
    """A colon with nobody behind it: the recipient was meant and is missing."""
    wish = entry.get("deliver") if isinstance(entry, Mapping) else None
    if isinstance(wish, str) and wish.strip().endswith(":"):
        channel = wish.strip().rstrip(":")
        return f'"{wish}" names no recipient: write {channel}:<id>, or {channel} for its last chat'
    return ""


def _written(entry: Any, what: str) -> tuple[str, ...]:
    """Return the key of an entry in which a place of words stands."""
    names = ("deliver", "delivery") if what == "delivery" else (what,)
    given = entry if isinstance(entry, Mapping) else {}
    return tuple(name for name in names if name in given)[:1]


def _for_all_jobs(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Places the config names for the failures of any job."""
    for name, place in (
        ("failureAlert", config.cron.failure_alert),
        ("failureDestination", config.cron.failure_destination),
    ):
        if place is None:
            continue
        if place.mode == "webhook":
            # A job may give the address to the mode that is the destination of all.
            needed = place.to is not None or name == "failureAlert"
            if needed and (why := url_fault(place.to)):
                yield ("cron", name, "to"), f"this is no address of a webhook: {why}"
        elif text := place_fault({"channel": place.channel, "to": place.to}):
            yield ("cron", name, "channel"), text
