"""Jobs of the config judged as the gateway would: what the scheduler refuses, and targets.

A target nobody can read is told here, with its line, and not when the first message is due
(channels.md §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config import effective
from engine.config.calendars import calendars
from engine.config.schema import Config
from engine.target import PREFIXES, parse_target
from jobs import declared
from jobs.edit import Rules
from jobs.errors import ConfigInvalid, InvalidInput
from jobs.model import DeliverySpec, Misfire


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
        if text := _dangling(entry) or target_fault(each.job.delivery):
            names = [name for name in ("deliver", "delivery") if _has(entry, name)]
            found.append((("cron", "jobs", each.key, *names[:1]), text))
    return found


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


def target_fault(delivery: DeliverySpec) -> str:
    """Return what is wrong with where a job's words should go, or ''."""
    if delivery.mode != "announce":
        return ""
    named = (delivery.channel or "last").strip().lower()
    if named in ("last", "owner", "none"):
        return ""
    channel = PREFIXES.get(named)
    if channel is None:
        known = sorted(dict.fromkeys(PREFIXES.values()))
        near = get_close_matches(named, [*known, "last"], 1)
        hint = f'did you mean "{near[0]}"?' if near else f"use last, {', '.join(known)}"
        return f'unknown channel "{delivery.channel}" — {hint}'
    try:
        if delivery.to:
            parse_target(channel, delivery.to)
    except InvalidInput as error:
        return str(error)
    return ""


def _has(entry: Any, name: str) -> bool:
    return isinstance(entry, Mapping) and name in entry
