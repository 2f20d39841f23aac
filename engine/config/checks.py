"""What one key cannot know about another: zones, windows, targets, accounts, bindings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Final
from zoneinfo import available_timezones

from engine.active_hours import minute_of
from engine.config import effective
from engine.config.issues import Issue, Note
from engine.config.json5 import Node, Place, locate
from engine.config.keypath import Key, dotted
from engine.config.paths import is_zone
from engine.config.schema import Config
from engine.config.schema.agents import ActiveHours, Agent, Heartbeat
from engine.config.schema.base import ZERO
from engine.config.schema.channels import AccountKeys, TelegramAccount
from engine.target import PREFIXES, parse_target
from jobs.errors import InvalidInput

_PHASE: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_NUMERIC: Final = re.compile(r"(?:(?:telegram|tg):)?-?\d+", re.IGNORECASE)
_WORDS: Final = ("none", "last", "owner")
_DEFAULTS: Final[Key] = ("agents", "defaults", "heartbeat")


@dataclass(slots=True)
class Check:
    """Collects findings about one config."""

    config: Config
    root: Node
    issues: list[Issue] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def refuse(self, key: Key, message: str, code: str = "invalid", *allowed: str) -> None:
        """The file cannot be used."""
        self.issues.append(
            Issue(
                path=dotted(key),
                message=message,
                code=code,
                place=self._place(key),
                allowed=allowed,
            )
        )

    def warn(self, key: Key, code: str, message: str) -> None:
        """The file can be used, and somebody should know."""
        self.notes.append(
            Note(
                code=code,
                path=dotted(key),
                message=message,
                level="warning",
                place=self._place(key),
            )
        )

    def _place(self, key: Key) -> Place:
        return locate(self.root, key)[1].place


def run(config: Config, root: Node, *, partial: bool = False) -> Check:
    """Every cross-check, in the order of the file's sections.

    ``partial``: parts of the file were taken out because they are wrong in themselves; only
    what does not look across sections is judged, so that nothing is blamed on the gap.
    """
    check = Check(config, root)
    for step in (_zones, _heartbeats) if partial else _STEPS:
        step(check)
    return check


# --- zones and windows -------------------------------------------------------------------


def _zone(check: Check, key: Key, name: str | None, *words: str) -> None:
    if name is None or not name.strip() or name.strip().lower() in words or is_zone(name):
        return
    near = get_close_matches(name, available_timezones(), 1)
    hint = f'; did you mean "{near[0]}"?' if near else "; use an IANA name such as Europe/London"
    check.refuse(key, f'unknown time zone "{name}"{hint}', "zone")


def _zones(check: Check) -> None:
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


# --- heartbeats --------------------------------------------------------------------------


def _blocks(config: Config) -> Iterator[tuple[Key, Heartbeat]]:
    if config.agents.defaults.heartbeat is not None:
        yield _DEFAULTS, config.agents.defaults.heartbeat
    for n, agent in enumerate(config.agents.list):
        if agent.heartbeat is not None:
            yield ("agents", "list", n, "heartbeat"), agent.heartbeat


def _heartbeats(check: Check) -> None:
    for key, block in _blocks(check.config):
        if block.active_hours is not None:
            _window(check, (*key, "activeHours"), block.active_hours)
        if block.phase != "auto" and not _PHASE.fullmatch(block.phase):
            check.refuse((*key, "phase"), f'invalid phase "{block.phase}" (use auto or HH:MM[:SS])')
        if block.every is not None and ZERO < block.every < timedelta(seconds=60):
            check.warn(
                (*key, "every"),
                "heartbeat.short_interval",
                "shorter than 60 s: each beat costs a turn",
            )
        _target(check, key, block)


def _recipient(check: Check, key: Key, channel: str, to: str | None) -> None:
    """A recipient nobody can read is told now, not when the first alert is due (channels.md §4)."""
    try:
        if to:
            parse_target(channel, to)
    except InvalidInput as error:
        check.refuse((*key, "to"), str(error), "target")


def _target(check: Check, key: Key, block: Heartbeat) -> None:
    wish = (block.target or "none").strip()
    head = wish.partition(":")[0].lower()
    if head in _WORDS:
        if head == "owner" and not _has_owner(check.config):
            check.warn(
                (*key, "target"),
                "heartbeat.no_owner",
                "neither commands.ownerAllowFrom nor an allowFrom names a person, so alerts have"
                " nowhere to go",
            )
        return
    channel = PREFIXES.get(head)
    if channel is None:
        allowed = (*_WORDS, *dict.fromkeys(PREFIXES.values()))
        near = get_close_matches(head, allowed, 1)
        hint = f' — did you mean "{near[0]}"?' if near else f" (use {', '.join(allowed)})"
        check.refuse((*key, "target"), f'unknown channel "{wish}"{hint}', "target", *allowed)
        return
    _recipient(check, key, channel, block.to)
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


def _has_owner(config: Config) -> bool:
    accounts = (
        *effective.telegram_accounts(config).values(),
        *effective.qq_accounts(config).values(),
    )
    lists = (config.commands.owner_allow_from, *(one.allow_from or () for one in accounts))
    return any(entry != "*" for entries in lists for entry in effective.clean(entries))


def beats(block: Heartbeat) -> bool:
    """False when a block's own words switch it off; such a block enrols nobody (§3 [E] 1)."""
    return block.enabled is not False and block.every != ZERO


def shadowed(config: Config) -> tuple[Agent, ...]:
    """Agents that lose their heartbeat because another agent has a block of its own."""
    defaults = config.agents.defaults.heartbeat
    if defaults is not None and defaults.agents == "all":
        return ()
    owners = [
        a for a in config.agents.list if a.heartbeat and beats(effective.heartbeat(config, a))
    ]
    if not owners:
        return ()
    return tuple(a for a in config.agents.list if a.heartbeat is None)


def _shadows(check: Check) -> None:
    lost = shadowed(check.config)
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


# --- agents and bindings -----------------------------------------------------------------


def _agents(check: Check) -> None:
    seen: dict[str, int] = {}
    for n, agent in enumerate(check.config.agents.list):
        name = agent.id.lower()
        if name in seen:
            check.refuse(
                ("agents", "list", n, "id"), f'agent id "{agent.id}" is used twice', "duplicate"
            )
        seen.setdefault(name, n)
    marked = [n for n, a in enumerate(check.config.agents.list) if a.default]
    if len(marked) > 1:
        check.refuse(("agents", "list", marked[1], "default"), "only one agent can be the default")


def _bindings(check: Check) -> None:
    for n, binding in enumerate(check.config.bindings):
        if effective.find_agent(check.config, binding.agent_id) is None:
            known = ", ".join(a.id for a in effective.agents(check.config))
            check.refuse(
                ("bindings", n, "agentId"), f'no agent "{binding.agent_id}" (there is {known})'
            )


# --- channels ----------------------------------------------------------------------------


def default_account_warning(channel: str, first: str) -> str:
    """The text of channels.md §2, with the account that would be picked."""
    return (
        f"channels.{channel}: multiple accounts are configured but no explicit default is set."
        f" Set channels.{channel}.defaultAccount or add channels.{channel}.accounts.default"
        f' to avoid fallback routing. Outbound without an account uses "{first}".'
    )


def _channels(check: Check) -> None:
    for name in ("telegram", "qqbot"):
        section = getattr(check.config.channels, name)
        if section is None:
            continue
        key: Key = ("channels", name)
        _account(check, key, section, telegram=name == "telegram", inherited=None)
        for ident, account in section.accounts.items():
            where = (*key, "accounts", ident)
            _account(check, where, account, telegram=name == "telegram", inherited=section)
        ids = effective.account_ids(check.config, name)
        chosen = effective.default_account_of(check.config, name)
        if section.default_account and chosen is None:
            check.refuse(
                (*key, "defaultAccount"),
                f'no account "{section.default_account}" (there is {", ".join(ids)})',
            )
        elif len(ids) > 1 and chosen is None and effective.DEFAULT_ACCOUNT not in ids:
            check.warn(
                key, "channels.default_account_missing", default_account_warning(name, ids[0])
            )


def _account(
    check: Check, key: Key, keys: AccountKeys, *, telegram: bool, inherited: AccountKeys | None
) -> None:
    allow = keys.allow_from if keys.allow_from is not None else _allow_of(inherited)
    allow = effective.clean(allow or ())
    if keys.dm_policy == "allowlist" and not allow and not _accounts_allow(keys):
        check.refuse((*key, "dmPolicy"), "allowlist needs at least one entry in allowFrom")
    if keys.dm_policy == "open" and "*" not in allow:
        check.refuse((*key, "dmPolicy"), 'open needs "*" in allowFrom')
    if telegram:
        _telegram_lists(check, key, keys)
    if isinstance(keys, TelegramAccount) and re.search(r"/bot\d+:[^/]*/?$", keys.api_root or ""):
        check.refuse((*key, "apiRoot"), "apiRoot ends in /bot<token>: remove that part")


def _allow_of(keys: AccountKeys | None) -> tuple[str, ...] | None:
    return None if keys is None else keys.allow_from


def _accounts_allow(keys: AccountKeys) -> bool:
    """A channel whose accounts all have their own list needs none itself."""
    own = getattr(keys, "accounts", {})
    return bool(own) and all(effective.clean(a.allow_from or ()) for a in own.values())


def _telegram_lists(check: Check, key: Key, keys: AccountKeys) -> None:
    for name, entries in (
        ("allowFrom", keys.allow_from),
        ("groupAllowFrom", keys.group_allow_from),
    ):
        for n, entry in enumerate(entries or ()):
            if not entry or entry == "*" or entry.startswith("accessGroup:"):
                continue
            if not _NUMERIC.fullmatch(entry):
                check.refuse(
                    (*key, name, n),
                    f'"{entry}" is not a numeric Telegram id; @userinfobot tells people theirs',
                )
            elif name == "groupAllowFrom" and "-" in entry:
                check.refuse(
                    (*key, name, n),
                    f'"{entry}" is a chat, not a person; list it under groups and people here',
                )


# --- gateway and hooks -------------------------------------------------------------------


def _gateway(check: Check) -> None:
    gateway = check.config.gateway
    if gateway.bind == "custom" and not gateway.custom_bind_host:
        check.refuse(("gateway", "bind"), "custom needs gateway.customBindHost")
    auth = gateway.auth
    if auth.mode is None and auth.token and auth.password:
        check.refuse(
            ("gateway", "auth"),
            'token and password are both set: set mode to "token" or "password"',
        )
    if auth.mode == "trusted-proxy" and not (auth.trusted_proxy and auth.trusted_proxy.user_header):
        check.refuse(("gateway", "auth", "mode"), "trusted-proxy needs trustedProxy.userHeader")


def _hooks(check: Check) -> None:
    hooks = check.config.hooks
    if hooks.path.strip("/") == "":
        check.refuse(("hooks", "path"), 'the path cannot be "/"; use /hooks')
    if not hooks.enabled:
        return
    if not hooks.token:
        check.refuse(("hooks", "enabled"), "hooks need hooks.token")
    elif hooks.token.value and hooks.token == check.config.gateway.auth.token:
        check.refuse(("hooks", "token"), "must differ from gateway.auth.token")


_STEPS: Final[tuple[Callable[[Check], None], ...]] = (
    _zones,
    _agents,
    _heartbeats,
    _shadows,
    _bindings,
    _channels,
    _gateway,
    _hooks,
)
