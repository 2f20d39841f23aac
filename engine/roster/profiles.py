"""Reads who the agents are out of the config in force: its words become values here. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from engine.config import effective, windows
from engine.config.paths import Paths
from engine.config.schema import Config
from engine.config.schema.agents import Agent, CheckKeys, Heartbeat, MailKeys, OnFailure
from engine.config.schema.channels import AccountKeys
from engine.config.schema.tools import ToolRules
from engine.config.secrets import Secret
from engine.decisions.adaptive import Slack
from engine.decisions.heartbeat import DEFAULT_EVERY, AgentBlock, Enrolment, enrol
from engine.decisions.probes import Mailbox, MailSecurity, Probe, ProbeKind
from engine.decisions.tool_policy import Layer, ToolPolicy
from engine.messages.address import ChatType, Route
from engine.messages.route import AccountFacts, ChannelFacts, TargetWish, named_wish
from engine.messages.target import PREFIXES, parse_target, split_target
from engine.roster.roster import (
    DEDUPE_WINDOW,
    HEARTBEAT_EXPIRY,
    LONGEST_BACKOFF,
    LONGEST_BEAT,
    LONGEST_DEFERRAL,
    AgentProfile,
    BeatProfile,
    DigestPlan,
    EscalatePlan,
    FailurePolicy,
    Roster,
)
from engine.roster.spending import BeatBudget
from jobs import wallclock
from jobs.calendar import Calendar
from jobs.errors import InvalidInput
from jobs.policies import budget_of

TURN_TIMEOUT: Final = timedelta(minutes=10)
_PERSONAL: Final = ("telegram", "qqbot")  # where people write from


def roster_of(
    config: Config,
    paths: Paths,
    host_zone: str,
    *,
    calendars: Mapping[str, Calendar] | None = None,
) -> Roster:
    """Read the agents out of a config that has been validated.

    Without the calendars nobody asks when beats may run: their windows open on all days.
    """
    default_id = effective.default_agent(config).lower()
    agents = effective.agents(config)
    enrolled = {
        one.agent_id: one
        for one in enrol(
            [_block(config, agent, default_id) for agent in agents],
            defaults_present=config.agents.defaults.heartbeat is not None,
            everybody=_everybody(config),
        )
    }
    profiles = {}
    for agent in agents:
        agent_id = agent.id.lower()
        zone = wallclock.zone(effective.user_zone(config, agent) or host_zone)
        enrolment = enrolled[agent_id]
        beat = _beat(config, agent, zone, host_zone, enrolment, calendars or {})
        profiles[agent_id] = AgentProfile(
            agent_id=agent_id,
            is_default=agent_id == default_id,
            workspace=_workspace(config, agent, paths, is_default=agent_id == default_id),
            zone=zone,
            model=_model(config, agent)[0],
            fallbacks=_model(config, agent)[1],
            thinking=agent.thinking_default or config.agents.defaults.thinking_default,
            turn_timeout=_turn_timeout(config),
            beat=beat,
            tools=_tools(config, agent),
            sandbox=agent.sandbox.mode or config.agents.defaults.sandbox.mode or "off",
            name=(agent.identity.name if agent.identity else None) or agent.name,
            model_print=_print(config, (beat.model, *beat.fallbacks)),
            stamps=_stamps(config, host_zone),
            twelve=config.agents.defaults.time_format == "12",
        )
    configured = effective.configured_channels(config)
    external = [name for name in configured if name != "local"]
    return Roster(
        agents=profiles,
        default_id=default_id,
        main_key=effective.main_key(config),
        default_zone=wallclock.zone(effective.user_zone(config) or host_zone),
        local_fallback=not external or config.channels.local.fallback,
        by_tool=config.messages.visible_replies in ("message_tool", False),
        owners=_owners(config, configured),
        commanders=_named(config, configured),
        _channels={name: _channel(config, name) for name in configured},
        _bound={
            (agent_id, name): effective.bound_accounts(config, agent_id, name)
            for agent_id in profiles
            for name in configured
        },
        _prefix=config.messages.response_prefix or "",
        _prefixes={
            (channel, ident): account.response_prefix
            for channel in configured
            for ident, account in _people(config, channel).items()
            if account.response_prefix is not None
        },
    )


def _stamps(config: Config, host_zone: str) -> ZoneInfo | None:
    """The zone of event timestamps (heartbeat.md §2.4); None: each person's own."""
    wish = (config.agents.defaults.envelope_timezone or "user").strip()
    match wish.lower():
        case "user" | "":
            return None
        case "local":
            return wallclock.zone(host_zone)
        case "utc":
            return ZoneInfo("UTC")
        case _:
            return wallclock.zone(wish)


def _owners(config: Config, configured: Sequence[str]) -> tuple[Route, ...]:
    """The owners' direct chats (heartbeat.md §14.2): the named ones, else who may write."""
    return _named(config, configured) or tuple(
        route
        for name in configured
        for account, listed in _allowed(config, name)
        for route in _direct(name, listed, account)
    )


def _named(config: Config, configured: Sequence[str]) -> tuple[Route, ...]:
    """Who may give owner commands: who is named for that, and nobody else (channels.md §3.1)."""
    named = config.commands.owner_allow_from
    return tuple(route for name in configured for route in _direct(name, named))


def _allowed(config: Config, channel: str) -> list[tuple[str, Sequence[str]]]:
    return [
        (ident, one.allow_from or ())
        for ident, one in _people(config, channel).items()
        if one.enabled is not False
    ]


def _people(config: Config, channel: str) -> Mapping[str, AccountKeys]:
    """The accounts of a channel people write from."""
    match channel:
        case "telegram":
            return effective.telegram_accounts(config)
        case "qqbot":
            return effective.qq_accounts(config)
        case _:
            return {}


def _direct(channel: str, entries: Sequence[str], account: str = "") -> Iterator[Route]:
    """The entries a channel recognises as direct chats; `*` is nobody."""
    for entry in effective.clean(tuple(entries)):
        try:
            peer = parse_target(channel, entry)
        except InvalidInput:
            continue  # of another channel, or `*`
        if channel in _PERSONAL and peer.chat_type is ChatType.DIRECT:
            yield Route(channel=channel, account_id=account, to=peer.to, chat_type=ChatType.DIRECT)


def _everybody(config: Config) -> bool:
    block = config.agents.defaults.heartbeat
    return block is not None and block.agents == "all"


def _block(config: Config, agent: Agent, default_id: str) -> AgentBlock:
    merged = effective.heartbeat(config, agent)
    return AgentBlock(
        agent_id=agent.id.lower(),
        is_default=agent.id.lower() == default_id,
        own_block=agent.heartbeat is not None,
        period=_period(merged),
    )


def _period(block: Heartbeat) -> timedelta | None:
    if block.enabled is False:
        return None
    every = DEFAULT_EVERY if block.every is None else block.every
    return every if every > timedelta() else None


def _model(config: Config, agent: Agent) -> tuple[str | None, tuple[str, ...]]:
    choice = agent.model if agent.model is not None else config.agents.defaults.model
    return choice.primary, tuple(choice.fallbacks or ())


def _tools(config: Config, agent: Agent) -> ToolPolicy:
    """All that is said about an agent's tools, the most general place first."""
    return ToolPolicy(
        layers=(
            _layer("tools", config.tools),
            _layer(f"agents.list.{agent.id}.tools", agent.tools),
        ),
        providers={
            name: _layer(f"tools.byProvider.{name}", rules)
            for name, rules in config.tools.by_provider.items()
        },
    )


def _layer(where: str, rules: ToolRules) -> Layer:
    return Layer(
        where=where,
        profile=rules.profile,
        allow=rules.allow,
        also=rules.also_allow,
        deny=rules.deny,
    )


def _turn_timeout(config: Config) -> timedelta:
    limit = config.agents.defaults.timeout_seconds
    return TURN_TIMEOUT if limit is None else timedelta(seconds=limit)


def _workspace(config: Config, agent: Agent, paths: Paths, *, is_default: bool) -> Path:
    own = agent.workspace or (config.agents.defaults.workspace if is_default else None)
    if own:
        return paths.expand(own)
    return paths.state / ("workspace" if is_default else f"workspace-{agent.id.lower()}")


def _beat(
    config: Config,
    agent: Agent,
    zone: ZoneInfo,
    host_zone: str,
    enrolment: Enrolment,
    calendars: Mapping[str, Calendar],
) -> BeatProfile:
    block = effective.heartbeat(config, agent)
    primary, fallbacks = _model(config, agent)
    if block.model is not None and block.model.primary:
        primary, fallbacks = block.model.primary, tuple(block.model.fallbacks or ())
    cadence = enrolment.period or DEFAULT_EVERY
    limit = block.timeout_seconds or config.agents.defaults.timeout_seconds
    default_limit = max(min(cadence, LONGEST_BEAT), timedelta(seconds=1))
    return BeatProfile(
        period=enrolment.period,
        because=enrolment.because,
        enrolled=enrolment.enrolled,
        phase=None if block.phase == "auto" else time.fromisoformat(block.phase),
        active_hours=windows.hours_of(block, zone, host_zone, calendars),
        probes=tuple(_probe(one) for one in block.checks),
        slack=_slack(block),
        dayparts=windows.dayparts_of(block, zone, host_zone, calendars),
        wish=_wish(block),
        prompt=(block.prompt or "").strip() or None,
        ack_max_chars=block.ack_max_chars,
        model=primary,
        fallbacks=fallbacks,
        session=block.session,
        isolated=block.isolated_session,
        light=block.light_context,
        told_in_chats=block.include_system_prompt_section,
        timeout=default_limit if limit is None else timedelta(seconds=limit),
        include_reasoning=block.include_reasoning,
        tools_allow=block.tools_allow,
        max_deferral=block.max_deferral or min(cadence, LONGEST_DEFERRAL),
        waits_for_subagents=block.skip_when_busy,
        without_route=block.run_without_route,
        restarts=block.after_wake == "restart-interval",
        dedupe_window=None if block.dedupe == "off" else block.dedupe_window or DEDUPE_WINDOW,
        digest=_digest(block),
        escalate=_escalate(block),
        dedupe_loosely=block.dedupe == "normalized",
        catch_up=block.catch_up == "one",
        expiry=min(cadence, HEARTBEAT_EXPIRY),
        budget=_budget(block),
        failure=_failure(block),
        expect_within=block.expect_within,
        self_test=block.self_test,
        ping=block.ping.reveal() if block.ping and block.ping.value else None,
        idle_pause_after=block.idle_pause_after,
        keys=_own_keys(agent),
    )


def _own_keys(agent: Agent) -> dict[str, str]:
    """Where each key stands that the agent's own heartbeat block sets (heartbeat.md §2)."""
    block = agent.heartbeat
    if block is None:
        return {}
    fields = type(block).model_fields
    given = [fields[name].alias or name for name in block.model_fields_set & fields.keys()]
    return {key: f"agents.list[id={agent.id}].heartbeat.{key}" for key in given}


def _budget(block: Heartbeat) -> BeatBudget | None:
    asked = block.budget
    if asked is None:
        return None
    return BeatBudget(
        hard=budget_of(asked.model_dump(by_alias=True)), warn_at=asked.warn_at_percent / 100
    )


def _failure(block: Heartbeat) -> FailurePolicy:
    asked, told = block.backoff, block.on_failure or OnFailure()
    return FailurePolicy(
        base=asked.base,
        factor=asked.factor,
        longest=asked.max or LONGEST_BACKOFF,
        pause_after=asked.pause_after,
        alert_after=told.after,
        alert_to=named_wish(told.target) if told.target else None,
    )


def _print(config: Config, models: Sequence[str | None]) -> str:
    """Return what tells these models and their credentials from others: a hash, no secret."""
    providers = config.models.providers
    known = [(ref, providers.get((ref or "").partition("/")[0])) for ref in models]
    facts = [
        (ref, [one.base_url, one.api, _known(one.api_key), *map(_known, one.headers.values())])
        for ref, one in known
        if one is not None
    ]
    return hashlib.sha256(repr((list(models), facts)).encode()).hexdigest()[:16]


def _known(secret: Secret | None) -> str:
    """A credential as it is in force; of one that was not looked up, where it is kept."""
    return "" if secret is None else secret.value or repr(secret.ref)


def _digest(block: Heartbeat) -> DigestPlan | None:
    asked = block.digest
    if asked is None or not asked.at:
        return None
    times = sorted({time.fromisoformat(one) for one in asked.at})
    return DigestPlan(at=tuple(times), urgent_during_quiet=asked.urgent_during_quiet)


def _escalate(block: Heartbeat) -> EscalatePlan | None:
    asked = block.escalate
    if asked is None:
        return None
    channel, behind = split_target(asked.target)
    target = behind.strip() if channel is None else channel
    wish = TargetWish(
        target=PREFIXES.get(target.lower(), target),
        to=None if channel is None else behind,
        source="config",
    )
    return EscalatePlan(after=asked.after, wish=wish, only_high=asked.priority == "high")


def _probe(check: CheckKeys) -> Probe:
    what: tuple[str, ...]
    if check.url is not None:
        kind, what = ProbeKind.URL, (check.url,)
    elif check.file is not None:
        kind, what = ProbeKind.FILE, (check.file,)
    elif check.mail is not None:
        kind, what = ProbeKind.MAIL, ()
    else:
        command = check.command or ()
        what = ("sh", "-lc", command) if isinstance(command, str) else command
        kind = ProbeKind.COMMAND
    return Probe(
        name=effective.check_name(check),
        kind=kind,
        what=what,
        timeout=timedelta(seconds=check.timeout_seconds),
        mailbox=None if check.mail is None else _mailbox(check.mail),
        runs_if_broken=check.on_failure == "run",
    )


def _mailbox(keys: MailKeys) -> Mailbox:
    security = MailSecurity(keys.security)
    return Mailbox(
        host=keys.host,
        port=keys.port or (993 if security is MailSecurity.TLS else 143),
        user=keys.user,
        password=keys.password.value or "",
        folder=keys.mailbox,
        security=security,
    )


def _slack(block: Heartbeat) -> Slack | None:
    keys = block.adaptive
    return None if keys is None else Slack(after=keys.after, most=keys.max)


def _wish(block: Heartbeat) -> TargetWish:
    """Where alerts go; `telegram:123` names the channel and the recipient at once."""
    channel, behind = split_target(block.target or "none")
    target = behind.strip() if channel is None else channel
    return TargetWish(
        target=PREFIXES.get(target.lower(), target),
        to=block.to if channel is None else behind,
        account_id=block.account_id,
        source="default" if block.target is None else "config",
        direct_policy=block.direct_policy,
    )


def _channel(config: Config, name: str) -> ChannelFacts:
    accounts = {
        ident: AccountFacts(id=ident, enabled=one.enabled is not False, default_to=one.default_to)
        for ident, one in _people(config, name).items()
    } or {ident: AccountFacts(id=ident) for ident in effective.account_ids(config, name)}
    chosen = effective.default_account_of(config, name)
    if chosen is None and effective.DEFAULT_ACCOUNT in accounts:
        chosen = effective.DEFAULT_ACCOUNT
    return ChannelFacts(id=name, accounts=tuple(accounts.values()), default_account=chosen)
