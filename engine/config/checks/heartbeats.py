"""Zones, windows, targets of heartbeats, and who has one (heartbeat.md §2, §3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from engine.config import effective, windows
from engine.config.checks.findings import Check
from engine.config.keypath import Key
from engine.config.paths import is_zone
from engine.config.schema import Config
from engine.config.schema.agents import ActiveHours, Agent, Heartbeat, MailKeys
from engine.config.schema.base import ZERO
from engine.messages.target import (
    PREFIXES,
    SERVED,
    WORDS,
    channel_fault,
    channel_named,
    parse_target,
)
from jobs.calendar import Calendar
from jobs.errors import InvalidInput
from jobs.hours import minute_of

_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_PHASE: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_LOCAL: Final = "local"
_UTC: Final = ZoneInfo("UTC")
_DEFAULTS: Final[Key] = ("agents", "defaults", "heartbeat")


def _zone(check: Check, key: Key, name: str | None, *words: str) -> None:
    if name is None or not name.strip() or name.strip().lower() in words or is_zone(name):
        return
    near = get_close_matches(name, available_timezones(), 1)
    hint = f'; did you mean "{near[0]}"?' if near else "; use an IANA name such as Europe/London"
    check.refuse(key, f'unknown time zone "{name}"{hint}', "zone")


def zones(check: Check) -> None:
    """Every zone that is named is one this machine knows."""
    defaults = check.config.agents.defaults
    _zone(check, ("agents", "defaults", "userTimezone"), defaults.user_timezone)
    _zone(
        check,
        ("agents", "defaults", "envelopeTimezone"),
        defaults.envelope_timezone,
        *("utc", "local", "user"),
    )
    for n, agent in enumerate(check.config.agents.list):
        _zone(check, ("agents", "list", n, "userTimezone"), agent.user_timezone)
    _zone(check, ("cron", "tz"), check.config.cron.tz)


def _window(check: Check, key: Key, hours: ActiveHours) -> None:
    _zone(check, (*key, "timezone"), hours.timezone, "user", "local")
    bounds: list[int] = []
    for name, text in (("start", hours.start), ("end", hours.end)):
        if text is None:
            continue
        try:
            bounds.append(minute_of(text, end=name == "end"))
        except InvalidInput as error:
            check.refuse((*key, name), error.what, "time")
    if (hours.start is None) != (hours.end is None):
        missing = "end" if hours.end is None else "start"
        check.refuse(key, f"only one bound is given: add {missing}, or remove activeHours", "time")
    elif len(bounds) == 2 and bounds[0] == bounds[1]:
        check.refuse(
            key,
            "start and end are the same, so the window never opens; remove activeHours for all day",
            "time",
        )
    else:
        _days(check, key, hours)


def _checks(check: Check, key: Key, block: Heartbeat) -> None:
    """Each look before a poll looks at one thing, and no two have one name."""
    names: set[str] = set()
    for n, one in enumerate(block.checks):
        given = [what for what in (one.command, one.url, one.file, one.mail) if what]
        if len(given) != 1:
            words = "it needs one of command, url, file and mail"
            check.refuse((*key, "checks", n), words, "required")
            continue
        if one.url is not None and not one.url.startswith(("http://", "https://")):
            check.refuse((*key, "checks", n, "url"), "it must begin with http:// or https://")
        if one.mail is not None:
            _mail(check, (*key, "checks", n, "mail"), one.mail)
        name = effective.check_name(one)
        if name in names:
            check.refuse(
                (*key, "checks", n), f'a second check named "{name}": give it a name', "duplicate"
            )
        names.add(name)
    slack = block.adaptive
    if slack is not None and block.every is not None and slack.max <= block.every:
        check.warn(
            (*key, "adaptive", "max"),
            "heartbeat.adaptive_unused",
            "it is no longer than every, so nothing comes of it",
        )


def _mail(check: Check, key: Key, mail: MailKeys) -> None:
    """A line break in a name or a folder would be a command of its own to the server."""
    for name in ("host", "user", "mailbox"):
        text = str(getattr(mail, name))
        if not text.strip() or not text.isprintable():
            check.refuse((*key, name), "it is empty, or has characters nobody can see", "mail")


def _days(check: Check, key: Key, hours: ActiveHours) -> None:
    """The days of a window can be read; a calendar nobody knows leaves it open (§5)."""
    for name in ("days", "excepted", "only", "every"):
        part = ActiveHours.model_construct(**{name: getattr(hours, name)})
        try:
            _, unknown = windows.window(part, _UTC, "UTC", _calendars(check.config))
        except InvalidInput as error:
            spelt = (*key, "except" if name == "excepted" else name)
            check.refuse(spelt, ": ".join(one for one in (error.why, error.fix) if one), "days")
            continue
        for calendar in unknown:
            check.warn(
                (*key, "except" if name == "excepted" else name),
                "heartbeat.unknown_calendar",
                f'cron.calendars has no "{calendar}", so the window opens on its days too',
            )


def _calendars(config: Config) -> dict[str, Calendar]:
    return {name: Calendar(name=name, tz="UTC") for name in config.cron.calendars}


def _several(block: Heartbeat) -> tuple[ActiveHours, ...]:
    return () if isinstance(block.active_hours, ActiveHours | None) else block.active_hours


def _blocks(config: Config) -> Iterator[tuple[Key, Heartbeat]]:
    if config.agents.defaults.heartbeat is not None:
        yield _DEFAULTS, config.agents.defaults.heartbeat
    for n, agent in enumerate(config.agents.list):
        if agent.heartbeat is not None:
            yield ("agents", "list", n, "heartbeat"), agent.heartbeat


def blocks(check: Check) -> None:
    """Every heartbeat block for itself: window, phase, interval, target."""
    for key, block in _blocks(check.config):
        if isinstance(block.active_hours, ActiveHours):
            _window(check, (*key, "activeHours"), block.active_hours)
        for n, hours in enumerate(_several(block)):
            _window(check, (*key, "activeHours", n), hours)
        for n, hours in enumerate(block.dayparts):
            _window(check, (*key, "dayparts", n), hours)
            if hours.every is None:
                check.refuse((*key, "dayparts", n), "it has no every: say how often", "required")
        _checks(check, key, block)
        if block.phase != "auto" and not _PHASE.fullmatch(block.phase):
            check.refuse((*key, "phase"), f'invalid phase "{block.phase}" (use auto or HH:MM[:SS])')
        if block.every is not None and ZERO < block.every < timedelta(seconds=60):
            check.warn(
                (*key, "every"),
                "heartbeat.short_interval",
                "shorter than 60 s: each beat costs a turn",
            )
        _target(check, key, block)
        _digest(check, key, block)
        _escalate(check, key, block)


def _digest(check: Check, key: Key, block: Heartbeat) -> None:
    """The times of a digest, and whom it would go to."""
    for n, text in enumerate(block.digest.at if block.digest is not None else ()):
        if not _TIME.fullmatch(text):
            check.refuse((*key, "digest", "at", n), f'invalid time "{text}" (use HH:MM)', "time")


def _escalate(check: Check, key: Key, block: Heartbeat) -> None:
    """Whom an escalation names: somebody who can be told."""
    asked = block.escalate
    if asked is None:
        return
    where = (*key, "escalate")
    if asked.after <= ZERO:
        check.refuse((*where, "after"), "it must be longer than nothing")
    head, _, behind = asked.target.strip().partition(":")
    if head.lower() in ("last", "owner"):
        return
    channel = channel_named(head)
    if channel is None:
        check.refuse((*where, "target"), channel_fault(head), "target", "last", "owner", *SERVED)
        return
    try:
        if behind:
            parse_target(channel, behind)
    except InvalidInput as error:
        check.refuse((*where, "target"), str(error), "target")


def _recipient(check: Check, key: Key, channel: str, to: str | None) -> None:
    """A recipient nobody can read is told now, not when the first alert is due (channels.md §4)."""
    try:
        if to:
            parse_target(channel, to)
    except InvalidInput as error:
        check.refuse((*key, "to"), str(error), "target")


def _target(check: Check, key: Key, block: Heartbeat) -> None:
    wish = (block.target or "none").strip()
    head, _, behind = wish.partition(":")
    if head.lower() in WORDS:
        if head.lower() == "owner":
            _owner(check, key)
        return
    channel = channel_named(head)
    if channel is None:
        text = channel_fault(head).replace("use last,", "use none, last, owner,")
        check.refuse((*key, "target"), text, "target", *WORDS, *SERVED)
        return
    if behind and block.to:
        check.refuse((*key, "to"), f'target "{wish}" already names the recipient', "target")
        return
    _recipient(check, key, channel, behind or block.to)
    ids = effective.account_ids(check.config, channel)
    if not ids:
        check.warn(
            (*key, "target"),
            "heartbeat.target_not_configured",
            f"channels.{channel} is not configured, so alerts have nowhere to go",
        )
    elif block.account_id and block.account_id.strip().lower() not in ids:
        check.warn(
            (*key, "accountId"),
            "heartbeat.unknown_account",
            f'channels.{channel} has no account "{block.account_id}" (it has {", ".join(ids)});'
            " alerts are not sent",
        )


def _owner(check: Check, key: Key) -> None:
    if not _has_owner(check.config):
        check.warn(
            (*key, "target"),
            "heartbeat.no_owner",
            "neither commands.ownerAllowFrom nor an allowFrom names a person, so alerts have"
            " nowhere to go",
        )


def recipients(check: Check) -> None:
    """What an agent's block and the defaults name together: a channel and somebody there."""
    told: set[Key] = set()
    for n, agent in enumerate(effective.agents(check.config)):
        block = effective.heartbeat(check.config, agent)
        found = _unaddressed(check.config, block)
        if found is None:
            continue
        name, code, text = found
        own = agent.heartbeat is not None and name in agent.heartbeat.model_fields_set
        key = (*(("agents", "list", n, "heartbeat") if own else _DEFAULTS), name)
        if key not in told:
            told.add(key)
            check.warn(key, code, text)


def _unaddressed(config: Config, block: Heartbeat) -> tuple[str, str, str] | None:
    """Return the key, code and words for a target without recipient, or the other way round."""
    wish = (block.target or "none").strip().lower()
    if wish == "none" and block.to:
        why = "is none" if block.target else "is not set, which means none"
        return "to", "heartbeat.to_unused", f"it has no effect: target {why}"
    channel = PREFIXES.get(wish)  # `telegram:123` names its recipient
    if channel in (None, _LOCAL) or block.to or not effective.account_ids(config, channel or ""):
        return None
    if channel == "telegram" and any(
        one.default_to for one in effective.telegram_accounts(config).values()
    ):
        return None
    text = (
        f"{channel} names nobody: until somebody has written to the agent there, alerts have"
        f" nowhere to go; set to, or channels.{channel}.defaultTo"
    )
    return "target", "heartbeat.no_recipient", text


def _has_owner(config: Config) -> bool:
    accounts = (
        *effective.telegram_accounts(config).values(),
        *effective.qq_accounts(config).values(),
    )
    lists = (config.commands.owner_allow_from, *(one.allow_from or () for one in accounts))
    return any(entry != "*" for entries in lists for entry in effective.clean(entries))


def _beats(block: Heartbeat) -> bool:
    """False when a block's own words switch it off; such a block enrols nobody (§3 [E] 1)."""
    return block.enabled is not False and block.every != ZERO


def _shadowed(config: Config) -> tuple[Agent, ...]:
    """Agents that lose their heartbeat because another agent has a block of its own."""
    defaults = config.agents.defaults.heartbeat
    if defaults is not None and defaults.agents == "all":
        return ()
    owners = [
        a for a in config.agents.list if a.heartbeat and _beats(effective.heartbeat(config, a))
    ]
    if not owners:
        return ()
    return tuple(a for a in config.agents.list if a.heartbeat is None)


def shadows(check: Check) -> None:
    """Agents that lose their heartbeat because another one has a block (§3)."""
    lost = _shadowed(check.config)
    if not lost:
        return
    owners = [a.id for a in check.config.agents.list if a.heartbeat is not None]
    check.warn(
        _DEFAULTS if check.config.agents.defaults.heartbeat else ("agents", "list"),
        "heartbeat.shadowed_agents",
        f"no heartbeat for {', '.join(a.id for a in lost)}: {', '.join(owners)} has a block"
        " of its own, and then only agents with a block beat."
        ' Set agents.defaults.heartbeat.agents to "all" to beat for every agent.',
    )
